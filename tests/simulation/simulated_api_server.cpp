#include "simulation/simulated_api_server.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "api/group.h"
#include "base/mutex.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

using std::chrono::seconds;

constexpr std::size_t most_events = 2000;
// Rarer than a real one's minute, which is most of what is sent in a quiet time; the operator takes
// 150 seconds of silence for a dead connection.
constexpr base::Duration bookmark_period = seconds(120);
// How late: kube-apiserver gives a request up after its --request-timeout.
constexpr base::Duration latest_write = seconds(60);
constexpr std::string_view person = "kubectl-edit";

bool has_status(std::string_view plural) {
  return plural == api::rotations.plural || plural == api::connections.plural;
}

Reply failure(int code, std::string_view reason, const std::string& message, const Address& address,
              json causes = json::array()) {
  const json status{
      {"kind", "Status"},
      {"apiVersion", "v1"},
      {"metadata", json::object()},
      {"status", "Failure"},
      {"message", message},
      {"reason", reason},
      {"details",
       {{"name", address.key.name}, {"kind", address.plural}, {"causes", std::move(causes)}}},
      {"code", code}};
  return {code, status.dump(), {{"Content-Type", "application/json"}}};
}

Reply success(std::string object, int code = 200) {
  return {code, std::move(object), {{"Content-Type", "application/json"}}};
}

Reply not_found(const Address& address) {
  return failure(404, "NotFound", address.plural + " \"" + address.key.name + "\" not found",
                 address);
}

Reply conflict(const Address& address, const std::string& why) {
  return failure(409, "Conflict",
                 "Operation cannot be fulfilled on " + address.plural + " \"" + address.key.name +
                     "\": " + why,
                 address);
}

// A precondition of `wanted` that `live` does not meet.
std::optional<Reply> unmet(const Address& address, const json& wanted, const json& live) {
  const std::string uid = text_at(wanted, "/metadata/uid");
  if (!uid.empty() && uid != text_at(live, "/metadata/uid")) {
    return conflict(address, "Precondition failed: UID in precondition: " + uid);
  }
  const std::string version = text_at(wanted, "/metadata/resourceVersion");
  if (!version.empty() && version != text_at(live, "/metadata/resourceVersion")) {
    return conflict(address,
                    "the object has been modified; please apply your changes to the "
                    "latest version and try again");
  }
  return std::nullopt;
}

// What the API server never lets change in a Secret.
std::optional<Reply> forbidden_change(const Address& address, const json& before,
                                      const json& after) {
  if (address.plural != kube::secrets.plural) return std::nullopt;
  const std::string name = "Secret \"" + address.key.name + "\" is invalid: ";
  const json owners = after.value("/metadata/ownerReferences"_json_pointer, json::array());
  const auto controls = [](const json& owner) { return owner.value("controller", false); };
  if (std::ranges::count_if(owners, controls) > 1) {
    return failure(422, "Invalid",
                   name +
                       "metadata.ownerReferences: Invalid value: Only one reference can have "
                       "Controller set to true",
                   address);
  }
  if (before.value("type", "") != after.value("type", "")) {
    return failure(
        422, "Invalid",
        name + "type: Invalid value: \"" + after.value("type", "") + "\": field is immutable",
        address);
  }
  if (before.value("immutable", false) &&
      before.value("data", json()) != after.value("data", json())) {
    return failure(422, "Invalid",
                   name + "data: Forbidden: field is immutable when `immutable` is set", address);
  }
  return std::nullopt;
}

const json& spec_of(const json& object) {
  static const json none;
  const auto spec = object.find("spec");
  return spec == object.end() ? none : *spec;
}

bool selected(const json& object, const std::string& selector) {
  const std::size_t equals = selector.find('=');
  if (equals == std::string::npos) return true;
  const json::json_pointer labels("/metadata/labels");
  return object.contains(labels) &&
         object[labels].value(selector.substr(0, equals), "") == selector.substr(equals + 1);
}

}  // namespace

struct SimulatedApiServer::Watch {
  std::string plural;
  std::string name_space;
  std::string selector;
  std::uint64_t position = 0;  // the last version that was handed over or passed
  base::Duration lag{};
  base::MonotonicTime deadline;
  base::MonotonicTime next_bookmark;
  bool cut = false;
  bool mute = false;
  bool over = false;
  base::Mutex mutex;  // for the signal's sake
  std::unique_ptr<base::Signal> signal;

  [[nodiscard]] bool sees(const Object& object) const {
    return object && selected(*object, selector);
  }
};

SimulatedApiServer::SimulatedApiServer(testing::VirtualExecutor& world, std::uint64_t seed,
                                       std::string cluster)
    : world_(world), dice_(seed), cluster_(std::move(cluster)) {
  const auto kube_system = std::make_shared<const json>(
      json{{"apiVersion", "v1"},
           {"kind", "Namespace"},
           {"metadata", {{"name", "kube-system"}, {"uid", cluster_}, {"resourceVersion", "1"}}}});
  collections_[std::string(kube::namespaces.plural)][{"", "kube-system"}] = {
      kube_system, std::make_shared<const std::string>(kube_system->dump()), {}};
}

void SimulatedApiServer::copy(const SimulatedApiServer& other, bool statuses) {
  for (const auto& [plural, collection] : other.collections_) {
    if (plural == kube::leases.plural || plural == kube::namespaces.plural) continue;
    for (const auto& [key, entry] : collection) {
      json object = *entry.object;
      json& metadata = object["metadata"];
      if (!statuses) {
        object.erase("status");
        metadata.erase("ownerReferences");
      }
      commit({plural, key, nullptr, nullptr, nullptr, ""}, &object, entry.owners);
    }
  }
}

void SimulatedApiServer::create(const kube::Resource& resource, json object) {
  const kube::ObjectKey key{text_at(object, "/metadata/namespace"),
                            text_at(object, "/metadata/name")};
  Owners owners;
  take_ownership(owners, json::object(), object, std::string(person));
  commit({std::string(resource.plural), key, nullptr, nullptr, nullptr, std::string(person)},
         &object, std::move(owners));
}

void SimulatedApiServer::edit(const kube::Resource& resource, const kube::ObjectKey& key,
                              const std::function<void(json&)>& change) {
  Collection& collection = collections_[std::string(resource.plural)];
  const auto found = collection.find(key);
  if (found == collection.end()) return;
  json object = *found->second.object;
  change(object);
  Owners owners = found->second.owners;
  take_ownership(owners, *found->second.object, object, std::string(person));
  commit({std::string(resource.plural), key, found->second.object, nullptr, nullptr,
          std::string(person)},
         &object, std::move(owners));
}

void SimulatedApiServer::remove(const kube::Resource& resource, const kube::ObjectKey& key) {
  const Object before = find(resource, key);
  if (!before) return;
  commit({std::string(resource.plural), key, before, nullptr, nullptr, ""}, nullptr, {});
}

std::optional<SimulatedApiServer::ObjectBackup> SimulatedApiServer::back_up(
    const kube::Resource& resource, const kube::ObjectKey& key) const {
  const auto collection = collections_.find(resource.plural);
  if (collection == collections_.end() || !collection->second.contains(key)) return std::nullopt;
  const Stored& entry = collection->second.at(key);
  ObjectBackup backup{*entry.object, entry.owners};
  backup.object.erase("status");
  for (const char* field : {"uid", "resourceVersion", "creationTimestamp", "ownerReferences"}) {
    backup.object["metadata"].erase(field);
  }
  return backup;
}

void SimulatedApiServer::restore(const kube::Resource& resource, const ObjectBackup& backup) {
  json object = backup.object;
  const kube::ObjectKey key{text_at(object, "/metadata/namespace"),
                            text_at(object, "/metadata/name")};
  if (find(resource, key)) return;
  commit({std::string(resource.plural), key, nullptr, nullptr, nullptr, ""}, &object,
         backup.owners);
}

SimulatedApiServer::Object SimulatedApiServer::find(const kube::Resource& resource,
                                                    const kube::ObjectKey& key) const {
  const auto collection = collections_.find(resource.plural);
  if (collection == collections_.end()) return nullptr;
  const auto found = collection->second.find(key);
  return found == collection->second.end() ? nullptr : found->second.object;
}

std::vector<SimulatedApiServer::Object> SimulatedApiServer::list(
    const kube::Resource& resource) const {
  std::vector<Object> objects;
  const auto collection = collections_.find(resource.plural);
  if (collection == collections_.end()) return objects;
  for (const auto& [key, entry] : collection->second) objects.push_back(entry.object);
  return objects;
}

void SimulatedApiServer::set_down(bool down) {
  down_ = down;
  if (down) cut_watches();
}

void SimulatedApiServer::compact() {
  events_.clear();
}

struct SimulatedApiServer::Backup {
  std::map<std::string, Collection, std::less<>> collections;
  std::deque<Event> events;
  std::uint64_t version = 0;
};

std::shared_ptr<const SimulatedApiServer::Backup> SimulatedApiServer::back_up() const {
  return std::make_shared<Backup>(Backup{collections_, events_, version_});
}

void SimulatedApiServer::restore(const Backup& backup) {
  const auto now = std::exchange(collections_, backup.collections);
  std::uint64_t version = oldest_version();
  for (const Event& event : events_)
    lost_.emplace(event.change.plural, event.change.key, version++);
  events_ = backup.events;
  version_ = backup.version;
  cut_watches();
  if (!on_change) return;
  // To whoever looks on it is as if a person had undone everything.
  const auto object_of = [](const auto& collections, const std::string& plural,
                            const kube::ObjectKey& key) {
    const auto collection = collections.find(plural);
    if (collection == collections.end()) return Object();
    const auto found = collection->second.find(key);
    return found == collection->second.end() ? Object() : found->second.object;
  };
  std::set<std::pair<std::string, kube::ObjectKey>> all;
  for (const auto* collections : {&now, &std::as_const(collections_)}) {
    for (const auto& [plural, collection] : *collections) {
      for (const auto& [key, entry] : collection) all.emplace(plural, key);
    }
  }
  for (const auto& [plural, key] : all) {
    const Object before = object_of(now, plural, key);
    const Object after = object_of(collections_, plural, key);
    if (before != after) on_change({plural, key, before, after, nullptr, std::string(person)});
  }
}

void SimulatedApiServer::cut_watches() {
  for (const auto& weak : watches_) {
    const auto watch = weak.lock();
    if (!watch) continue;
    watch->cut = true;
    watch->signal->notify_all();
  }
}

void SimulatedApiServer::lag_watches(base::Duration most) {
  for (const auto& weak : watches_) {
    const auto watch = weak.lock();
    if (!watch) continue;
    watch->lag = dice_.between({}, most);
    watch->signal->notify_all();
  }
}

Journey SimulatedApiServer::journey(const Message& message, Process& caller) {
  Journey journey = draw_journey(dice_, faults.network,
                                 {FaultKind::api_refused, FaultKind::api_request_lost,
                                  FaultKind::api_answer_lost, FaultKind::api_slow},
                                 message, caller);
  if (down_) {
    if (on_fault) on_fault(FaultKind::api_down, message, caller);
    journey.refused = true;
  }
  journey.late = message.method != http::Method::get &&
                 strikes(dice_, faults.late_write, FaultKind::api_late_write, message, caller);
  return journey;
}

void SimulatedApiServer::handle_late(const Message& message, Process& caller) {
  struct Copy {
    http::Method method;
    std::string target, authorization, content_type, body;
  };
  const Copy copy{message.method, std::string(message.target), std::string(message.authorization),
                  std::string(message.content_type), std::string(message.body)};
  const base::MonotonicTime time = world_.now() + dice_.between({}, latest_write);
  late_.push_back(world_.spawn("late", [this, copy, time, &caller](const std::stop_token& stop) {
    if (!world_.sleep_until(time, stop)) return;
    handle({copy.method, copy.target, copy.authorization, copy.content_type, copy.body}, caller);
  }));
}

Reply SimulatedApiServer::handle(const Message& message, Process& caller) {
  ++requests_;
  const auto address = Address::parse(message.target);
  if (!address) return failure(404, "NotFound", "the server could not find the resource", {});
  if (on_request) on_request(message, *address, caller);
  if (strikes(dice_, faults.too_many, FaultKind::api_too_many, message, caller)) {
    Reply reply = failure(429, "TooManyRequests", "too many requests", *address);
    reply.headers.push_back({"Retry-After", "1"});
    return reply;
  }
  if (strikes(dice_, faults.broken, FaultKind::api_broken, message, caller)) {
    return failure(500, "InternalError", "etcdserver: request timed out", *address);
  }
  const bool broken_after = dice_.chance(faults.broken_after);
  Reply reply = [&] {
    switch (message.method) {
      case http::Method::get:
        if (address->option("watch") == "true") return watch(*address, message, caller);
        return address->key.name.empty() ? get_list(*address, message, caller) : get(*address);
      case http::Method::post:
        return post(*address, message, caller);
      case http::Method::put:
        return put(*address, message, caller);
      case http::Method::patch:
        return message.content_type == "application/apply-patch+yaml"
                   ? apply_manifest(*address, message, caller)
                   : merge(*address, message, caller);
      case http::Method::del:
        return del(*address, message, caller);
    }
    return not_found(*address);
  }();
  if (broken_after && reply.status < 300 && !reply.source) {
    if (on_fault) on_fault(FaultKind::api_broken_after, message, caller);
    return failure(500, "InternalError", "etcdserver: request timed out", *address);
  }
  return reply;
}

const SimulatedApiServer::Stored* SimulatedApiServer::stored(const Address& address) const {
  const auto collection = collections_.find(address.plural);
  if (collection == collections_.end()) return nullptr;
  const auto found = collection->second.find(address.key);
  return found == collection->second.end() ? nullptr : &found->second;
}

Reply SimulatedApiServer::get(const Address& address) const {
  const Stored* entry = stored(address);
  if (entry == nullptr) return not_found(address);
  if (entry->owners.empty()) return success(*entry->text);
  json managed = json::array();
  for (const auto& [manager, fields] : entry->owners) managed.push_back({{"manager", manager}});
  std::string text = *entry->text;
  constexpr std::string_view metadata = R"("metadata":{)";  // before it nothing is named so
  text.insert(text.find(metadata) + metadata.size(), R"("managedFields":)" + managed.dump() + ",");
  return success(std::move(text));
}

Reply SimulatedApiServer::get_list(const Address& address, const Message& message,
                                   Process& caller) {
  if (unlisted.contains(address.plural) || unlisted.contains(address.key.name_space)) {
    return failure(500, "InternalError", "etcdserver: request timed out", address);
  }
  if (address.option("resourceVersionMatch") == "Exact") {
    constexpr std::string_view by_name = "metadata.name=";
    return get_past(
        address, {address.key.name_space, address.option("fieldSelector").substr(by_name.size())},
        std::strtoull(address.option("resourceVersion").c_str(), nullptr, 10));
  }
  std::vector<std::string> items;
  const std::string given = address.option("continue");
  std::string version = std::to_string(version_);
  if (given.empty()) {
    const auto collection = collections_.find(address.plural);
    if (collection != collections_.end()) {
      for (const auto& [key, entry] : collection->second) {
        if (!address.key.name_space.empty() && key.name_space != address.key.name_space) continue;
        if (!selected(*entry.object, address.option("labelSelector"))) continue;
        const std::string field = address.option("fieldSelector");
        if (!field.empty() && field != "metadata.name=" + key.name) continue;
        items.push_back(*entry.text);
      }
    }
  } else {
    const auto rest = pages_.find(given);
    if (rest == pages_.end() ||
        strikes(dice_, faults.page_expired, FaultKind::page_expired, message, caller)) {
      return failure(410, "Expired", "The provided continue parameter is too old", address);
    }
    items = std::move(rest->second);
    version = given.substr(0, given.find('-'));
    pages_.erase(rest);
  }
  // A server may send fewer than the limit allows.
  const std::string limit = address.option("limit");
  const bool paged = faults.page_expired > 0 && !limit.empty() && limit != "0";
  std::string next;
  if (paged && items.size() > 1) {
    next = version + "-" + std::to_string(++next_uid_);
    pages_[next].assign(items.begin() + 1, items.end());
    items.resize(1);
  }
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return {200, R"({"kind":"List","apiVersion":")" + address.api_version +
                   R"(","metadata":{"resourceVersion":")" + version + R"(","continue":")" + next +
                   R"("},"items":[)" + text + "]}"};
}

Reply SimulatedApiServer::get_past(const Address& address, const kube::ObjectKey& key,
                                   std::uint64_t version) const {
  if (version > version_) {
    return failure(500, "InternalError", "etcdserver: mvcc: required revision is a future revision",
                   address);
  }
  if (version + 1 < oldest_version()) {
    return failure(410, "Expired", "The provided resource version is too old", address);
  }
  Address now = address;
  now.key = key;
  const Stored* entry = stored(now);
  Object object = entry == nullptr ? nullptr : entry->object;
  for (std::uint64_t undone = version_; undone > version; --undone) {
    const Change& change = events_[undone - oldest_version()].change;
    if (change.plural == address.plural && change.key == key) object = change.before;
  }
  const bool shown = object && selected(*object, address.option("labelSelector"));
  return {200, R"({"kind":"List","apiVersion":")" + address.api_version +
                   R"(","metadata":{"resourceVersion":")" + std::to_string(version) +
                   R"("},"items":[)" + (shown ? object->dump() : "") + "]}"};
}

Reply SimulatedApiServer::watch(const Address& address, const Message& message, Process& caller) {
  auto watch = std::make_shared<Watch>();
  watch->plural = address.plural;
  watch->name_space = address.key.name_space;
  watch->selector = address.option("labelSelector");
  watch->position = std::strtoull(address.option("resourceVersion").c_str(), nullptr, 10);
  if (watch->position + 1 < oldest_version()) {
    if (on_fault) on_fault(FaultKind::history_lost, message, caller);
  }
  if (watch->position + 1 < oldest_version() && dice_.chance(0.5)) {
    return failure(410, "Expired", "too old resource version", address);
  }
  watch->lag = dice_.between({}, faults.watch_lag);
  const base::MonotonicTime now = world_.now();
  watch->deadline =
      now + seconds(std::strtoll(address.option("timeoutSeconds").c_str(), nullptr, 10));
  watch->next_bookmark = now + bookmark_period;
  watch->signal = caller.make_signal();
  std::erase_if(watches_, [](const auto& weak) { return weak.expired(); });
  watches_.push_back(watch);
  Reply reply;
  reply.source = [this, watch, &caller](base::MonotonicTime silence, const std::stop_token& stop) {
    return next_piece(*watch, caller, silence, stop);
  };
  return reply;
}

tl::expected<std::optional<std::string>, http::Error> SimulatedApiServer::next_piece(
    Watch& watch, Process& caller, base::MonotonicTime silence, const std::stop_token& stop) {
  const Message message{http::Method::get, "", "", "", "", {}};
  const auto line = [&](std::string_view type, const std::string& object) {
    watch.cut =
        watch.cut || strikes(dice_, faults.watch_cut, FaultKind::watch_cut, message, caller);
    watch.mute =
        watch.mute || strikes(dice_, faults.watch_mute, FaultKind::watch_mute, message, caller);
    return R"({"type":")" + std::string(type) + R"(","object":)" + object + "}\n";
  };
  base::Lock lock(watch.mutex);
  for (;;) {
    const base::MonotonicTime now = caller.now();
    if (watch.cut) {
      return tl::unexpected(
          http::Error{http::Error::Kind::connection_lost, "the connection was lost", true});
    }
    if (watch.over || now >= watch.deadline) return std::nullopt;
    if (now >= silence) return std::string();
    base::MonotonicTime wake = std::min(silence, watch.deadline);
    if (!watch.mute) {
      if (watch.position + 1 < oldest_version()) {
        watch.over = true;
        return line("ERROR", failure(410, "Expired", "too old resource version", {}).body);
      }
      for (; watch.position < version_; ++watch.position) {
        const Event& event = events_[watch.position + 1 - oldest_version()];
        if (event.time + watch.lag > now) {
          if (on_fault) on_fault(FaultKind::watch_lag, message, caller);
          wake = std::min(wake, event.time + watch.lag);
          break;
        }
        const Change& change = event.change;
        if (change.plural != watch.plural ||
            (!watch.name_space.empty() && change.key.name_space != watch.name_space)) {
          continue;
        }
        const bool had = watch.sees(change.before);
        const bool has = watch.sees(change.after);
        if (!had && !has) continue;
        ++watch.position;
        if (has) return line(had ? "MODIFIED" : "ADDED", *event.after);
        json gone = change.after ? *change.after : *change.before;
        gone["metadata"]["resourceVersion"] = std::to_string(watch.position);
        return line("DELETED", gone.dump());
      }
      const bool is_to_come = watch.position > version_;
      if (now >= watch.next_bookmark && !is_to_come) {
        watch.next_bookmark = now + bookmark_period;
        // A watch from a version that there is not yet is silent.
        if (watch.position > version_) continue;
        return line("BOOKMARK", R"({"metadata":{"resourceVersion":")" +
                                    std::to_string(watch.position) + R"("}})");
      }
      wake = std::min(wake, is_to_come ? silence : watch.next_bookmark);
    }
    watch.signal->wait_until(lock, wake, stop);
    if (stop.stop_requested()) return std::nullopt;
  }
}

std::optional<Reply> SimulatedApiServer::refused_creation(const Address& address,
                                                          const Message& message, Process& caller) {
  if (terminating.contains(address.key.name_space)) {
    if (on_fault) on_fault(FaultKind::namespace_gone, message, caller);
    return failure(403, "Forbidden",
                   address.plural + " \"" + address.key.name +
                       "\" is forbidden: unable to create new content in namespace " +
                       address.key.name_space + " because it is being terminated",
                   address, {{{"reason", "NamespaceTerminating"}}});
  }
  if (quota_exceeded && address.plural == kube::secrets.plural) {
    if (on_fault) on_fault(FaultKind::quota_denied, message, caller);
    return failure(403, "Forbidden",
                   "secrets \"" + address.key.name +
                       "\" is forbidden: exceeded quota: few, requested: secrets=1, used: "
                       "secrets=9, limited: secrets=9",
                   address);
  }
  return std::nullopt;
}

Reply SimulatedApiServer::post(const Address& address, const Message& message,
                               const base::Executor& caller) {
  if (address.plural == kube::events.plural) {
    return success(std::string(message.body), 201);  // nobody reads them
  }
  json object = json::parse(message.body);
  Address named = address;
  named.key.name = text_at(object, "/metadata/name");
  if (stored(named) != nullptr) {
    return failure(409, "AlreadyExists",
                   address.plural + " \"" + named.key.name + "\" already exists", named);
  }
  if (has_status(address.plural)) object.erase("status");
  return success(*commit({address.plural, named.key, nullptr, nullptr, &caller, ""}, &object, {}),
                 201);
}

Reply SimulatedApiServer::put(const Address& address, const Message& message,
                              const base::Executor& caller) {
  const Stored* entry = stored(address);
  if (entry == nullptr) return not_found(address);
  json object = json::parse(message.body);
  if (auto refused = unmet(address, object, *entry->object)) return *refused;
  return success(
      *commit({address.plural, address.key, entry->object, nullptr, &caller, ""}, &object, {}));
}

Reply SimulatedApiServer::merge(const Address& address, const Message& message,
                                const base::Executor& caller) {
  const Stored* entry = stored(address);
  if (entry == nullptr) return not_found(address);
  const json patch = json::parse(message.body);
  if (auto refused = unmet(address, patch, *entry->object)) return *refused;
  json object = *entry->object;
  if (address.status) {
    object["status"].merge_patch(patch.value("status", json::object()));
  } else {
    object.merge_patch(patch);
    if (has_status(address.plural)) {
      object["status"] = entry->object->value("status", json::object());
    }
  }
  return success(*commit({address.plural, address.key, entry->object, nullptr, &caller,
                          address.option("fieldManager")},
                         &object, entry->owners));
}

Reply SimulatedApiServer::apply_manifest(const Address& address, const Message& message,
                                         Process& caller) {
  const json manifest = json::parse(message.body);
  const std::string manager = address.option("fieldManager");
  const bool dry_run = address.option("dryRun") == "All";
  const Stored* entry = stored(address);
  if (entry != nullptr) {
    if (auto refused = unmet(address, manifest, *entry->object)) return *refused;
  } else if (!text_at(manifest, "/metadata/uid").empty() ||
             !text_at(manifest, "/metadata/resourceVersion").empty()) {
    return conflict(address, "uid mismatch: no existing object was found");
  } else if (auto refused = refused_creation(address, message, caller)) {
    return *refused;
  }
  json object =
      entry != nullptr
          ? *entry->object
          : json{{"apiVersion", manifest["apiVersion"]},
                 {"kind", manifest["kind"]},
                 {"metadata", {{"name", address.key.name}, {"namespace", address.key.name_space}}}};
  Owners owners = entry != nullptr ? entry->owners : Owners{};
  const bool force = address.option("force") == "true";
  if (const auto clash = apply(object, owners, manifest, manager, force)) {
    const std::string message_text =
        "conflict with \"" + clash->manager + "\" using v1: " + clash->field;
    return failure(
        409, "Conflict", "Apply failed with 1 conflict: " + message_text, address,
        {{{"reason", "FieldManagerConflict"}, {"message", message_text}, {"field", clash->field}}});
  }
  if (entry != nullptr) {
    if (auto refused = forbidden_change(address, *entry->object, object)) return *refused;
  }
  if (denied.contains(address.key)) {
    if (on_fault) on_fault(FaultKind::admission_denied, message, caller);
    return failure(403, "Forbidden",
                   "admission webhook \"policy.example.com\" denied the request: not today: " +
                       object.value("data", json::object()).dump(),
                   address);
  }
  if (dry_run) {
    if (on_dry_run) on_dry_run(address.key);
    return success(object.dump());
  }
  return success(*commit({address.plural, address.key, entry != nullptr ? entry->object : nullptr,
                          nullptr, &caller, manager},
                         &object, std::move(owners)));
}

Reply SimulatedApiServer::del(const Address& address, const Message& message,
                              const base::Executor& caller) {
  const Stored* entry = stored(address);
  if (entry == nullptr) return not_found(address);
  const json options = message.body.empty() ? json::object() : json::parse(message.body);
  const json wanted{{"metadata", options.value("preconditions", json::object())}};
  if (auto refused = unmet(address, wanted, *entry->object)) return *refused;
  commit({address.plural, address.key, entry->object, nullptr, &caller, ""}, nullptr, {});
  return success(R"({"kind":"Status","apiVersion":"v1","status":"Success"})");
}

SimulatedApiServer::Text SimulatedApiServer::commit(Change change, json* object, Owners owners) {
  Collection& collection = collections_[change.plural];
  Text text;
  if (object == nullptr) {
    collection.erase(change.key);
  } else {
    json& metadata = (*object)["metadata"];
    if (!change.before) {
      metadata["uid"] = "uid-" + std::to_string(next_uid_++);
      metadata["creationTimestamp"] = base::format_time(world_.wall_now());
      metadata["generation"] = 1;
    } else {
      metadata["uid"] = (*change.before)["metadata"]["uid"];
      metadata["creationTimestamp"] = (*change.before)["metadata"]["creationTimestamp"];
      metadata["resourceVersion"] = (*change.before)["metadata"]["resourceVersion"];
      if (has_status(change.plural) && spec_of(*object) != spec_of(*change.before)) {
        metadata["generation"] = metadata.value("generation", 1) + 1;
      }
      if (*object == *change.before) {
        Stored& entry = collection[change.key];
        entry.owners = std::move(owners);
        return entry.text;
      }
    }
    while (lost_.contains({change.plural, change.key, version_ + 1})) add_event({}, nullptr);
    metadata["resourceVersion"] = std::to_string(version_ + 1);
    change.after = std::make_shared<const json>(std::move(*object));
    text = std::make_shared<const std::string>(change.after->dump());
    collection[change.key] = {change.after, text, std::move(owners)};
  }
  add_event(change, text);
  for (const auto& weak : watches_) {
    const auto watch = weak.lock();
    if (watch && watch->plural == change.plural) watch->signal->notify_all();
  }
  if (on_change) on_change(change);
  if (!change.after) collect_garbage(text_at(*change.before, "/metadata/uid"));
  return text;
}

void SimulatedApiServer::add_event(const Change& change, Text text) {
  ++version_;
  if (events_.size() == most_events) events_.pop_front();
  events_.push_back({change, std::move(text), world_.now()});
}

// As the controller-manager does it for what names a deleted owner.
void SimulatedApiServer::collect_garbage(const std::string& owner_uid) {
  std::vector<std::pair<kube::ObjectKey, Object>> orphans;
  for (const auto& [key, entry] : collections_[std::string(kube::secrets.plural)]) {
    if (is_owned_by(*entry.object, owner_uid)) {
      orphans.emplace_back(key, entry.object);
    }
  }
  for (const auto& [key, object] : orphans) {
    commit({std::string(kube::secrets.plural), key, object, nullptr, nullptr, ""}, nullptr, {});
  }
}

}  // namespace quay_rotator::simulation
