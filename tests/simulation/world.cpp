#include "simulation/world.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "api/robot_token_rotation.h"
#include "base/base64.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

json metadata(const kube::ObjectKey& key) {
  return {{"name", key.name}, {"namespace", key.name_space}};
}

kube::ObjectKey api_token_of(kube::ObjectKey connection) {
  connection.name += "-api";
  return connection;
}

Quays first_quay(testing::VirtualExecutor& executor, std::uint64_t seed) {
  Quays quays;
  quays.push_back(std::make_unique<SimulatedQuay>(executor, seed));
  return quays;
}

}  // namespace

World::World(std::uint64_t seed, testing::VirtualExecutor::MakeRunners runners)
    : executor(seed, runners),
      api(executor, seed ^ 0xA1U),
      quays(first_quay(executor, seed ^ 0xB2U)),
      quay(*quays.front()),
      observer(executor, api, quays),
      dice(seed ^ 0xC3U),
      seed_(seed) {
  api.on_fault = [this](FaultKind kind, const Message& message, const Process& caller) {
    coverage.add(kind, caller.steps.step_of(message));
    observer.calm().disturb();
  };
  count_faults(quay);
  observer.ask_who_serves([this] { return serving_since(); });
}

void World::count_faults(SimulatedQuay& of) {
  of.on_fault = [this, &of](FaultKind kind, const Message& message, const Process& caller) {
    coverage.add(kind, caller.steps.step_of(message));
    // Of one connection: whoever breaks its token says whom that disturbs.
    const bool of_the_caller =
        kind == FaultKind::api_token_replaced || kind == FaultKind::api_token_foreign;
    if (!of_the_caller) observer.calm().disturb_quay(of.host());
  };
}

std::optional<base::MonotonicTime> World::serving_since() const {
  if (!elected_ && replicas_.size() > 1) return std::nullopt;
  std::optional<base::MonotonicTime> since;
  for (const auto& replica : replicas_) {
    if (!replica || !replica->leading()) continue;
    if (since) return std::nullopt;  // two of them
    since = replica->serving_since();
    if (!since) return std::nullopt;
  }
  return since;
}

World::~World() {
  end_copy();
  replicas_.clear();
}

void World::struck(FaultKind kind, const Process& process) {
  for (const Step step : process.steps.current()) coverage.add(kind, step);
}

void World::struck(FaultKind kind) {
  bool anybody = false;
  for (const auto& replica : replicas_) {
    if (!replica || replica->dead()) continue;
    anybody = true;
    struck(kind, replica->process());
  }
  if (!anybody) coverage.add(kind, Step::idle);
}

SimulatedQuay& World::add_quay() {
  const std::uint64_t number = quays.size() + 1;
  SimulatedQuay& added = *quays.emplace_back(
      std::make_unique<SimulatedQuay>(executor, seed_ ^ (number << 32U) ^ 0xB2U,
                                      "quay-" + std::to_string(number) + ".example.com"));
  count_faults(added);
  observer.watch(added);
  return added;
}

kube::ObjectKey World::create_connection(const ConnectionOptions& options) {
  const kube::ObjectKey key = options.key();
  const kube::ObjectKey secret = api_token_of(key);
  const SimulatedQuay& target = *quays.at(options.quay);
  connections_[key] = options;
  api.create(kube::secrets, {{"apiVersion", "v1"},
                             {"kind", "Secret"},
                             {"metadata", metadata(secret)},
                             {"type", "Opaque"},
                             {"data", json::object()}});
  store_api_token(key, options.api_token.value_or(target.api_token()));
  json spec{{"url", options.url.empty() ? target.origin() : options.url},
            {"credentialsSecretRef", {{"name", secret.name}}}};
  if (options.requests_per_second) {
    spec["rateLimit"] = {{"requestsPerSecond", *options.requests_per_second},
                         {"burst", options.burst}};
  }
  api.create(api::connections, {{"apiVersion", api::connections.api_version()},
                                {"kind", api::connections.kind},
                                {"metadata", metadata(key)},
                                {"spec", std::move(spec)}});
  return key;
}

void World::store_api_token(const kube::ObjectKey& connection, std::string_view token) {
  api.edit(kube::secrets, api_token_of(connection),
           [&](json& secret) { secret["data"]["token"] = base::base64_encode(token).reveal(); });
}

void World::store_api_tokens() {
  for (const auto& [key, options] : connections_) {
    store_api_token(key, options.api_token.value_or(quays.at(options.quay)->api_token()));
  }
}

kube::ObjectKey World::create_rotation(const RotationOptions& options) {
  json robot{{"name", options.robot}};
  if (!options.organization.empty()) robot["organization"] = options.organization;
  json targets = json::array();
  for (const std::string& name : options.targets) targets.push_back({{"secret", {{"name", name}}}});
  json object{{"apiVersion", api::rotations.api_version()},
              {"kind", api::rotations.kind},
              {"metadata", metadata({options.name_space, options.name})},
              {"spec",
               {{"connectionRef", {{"name", options.connection}}},
                {"robot", std::move(robot)},
                {"schedule", {{"interval", options.interval}, {"jitter", options.jitter}}},
                {"initial", options.initially_rotate ? "Rotate" : "Adopt"},
                {"deletionPolicy", options.deletion_policy},
                {"verify", {{"level", options.verify ? "Login" : "None"}}},
                {"targets", std::move(targets)}}}};
  if (!options.standby.empty()) {
    json alternate{{"standby", {{"name", options.standby}}}};
    if (!options.overlap.empty()) alternate["overlap"] = options.overlap;
    object["spec"]["strategy"] = {{"type", "Alternate"}, {"alternate", std::move(alternate)}};
  }
  SimulatedQuay* its_quay = quay_of({options.name_space, options.connection});
  for (const std::string& name : {robot_of(object), standby_of(object)}) {
    if (its_quay != nullptr && !name.empty() && its_quay->token(name).empty()) {
      its_quay->add_robot(name);
    }
  }
  api.create(api::rotations, object);
  return {options.name_space, options.name};
}

void World::edit_rotation(const kube::ObjectKey& key, const std::function<void(json&)>& change) {
  api.edit(api::rotations, key, change);
}

void World::rotate_now(const kube::ObjectKey& key) {
  edit_rotation(key, [&](json& rotation) {
    rotation["metadata"]["annotations"][std::string(api::rotate_requested_annotation)] =
        "request-" + std::to_string(++requests_);
  });
}

void World::start(std::size_t replica, ReplicaOptions options, Replica::DiesAfter dies_after) {
  if (replicas_.size() <= replica) replicas_.resize(replica + 1);
  crash(replica);
  elected_ = options.leader_elect;
  if (options.name.empty()) options.name = "quay-rotator-" + std::to_string(replica);
  Process& process = *processes_.emplace_back(std::make_unique<Process>(executor, observer));
  process.steps.on_enter = [this, &process](Step step) {
    if (on_enter) on_enter(step, process);
  };
  replicas_[replica] =
      std::make_unique<Replica>(std::move(options), process, api, quays, std::move(dies_after));
}

void World::crash(std::size_t replica) {
  if (this->replica(replica) == nullptr) return;
  observer.calm().disturb();
  // Now and then: it costs as much as a dozen requests.
  if (api.requests() % 8 == 0) {
    observer.check_public("the metrics", replicas_[replica]->metrics());
  }
  replicas_[replica].reset();
}

void World::stop(std::size_t replica) {
  if (this->replica(replica) == nullptr) return;
  replicas_[replica]->stop();
  crash(replica);
}

void World::save() {
  saved_ = api.back_up();
  done_when_saved_ = observer.done();
}

void World::put_back() {
  if (!saved_) return;
  observer.calm().disturb();
  api.restore(*saved_);
  observer.put_back(done_when_saved_);  // after that: what comes back is nothing new
  api.terminating.clear();              // no namespace was then
}

void World::restore_without_status(const kube::ObjectKey& rotation) {
  const auto before = api.find(api::rotations, rotation);
  if (!before) return;
  std::vector<SimulatedApiServer::ObjectBackup> secrets;
  for (const kube::ObjectKey& target : targets_of(*before)) {
    if (auto backup = api.back_up(kube::secrets, target)) secrets.push_back(std::move(*backup));
  }
  const auto backup = api.back_up(api::rotations, rotation);
  api.remove(api::rotations, rotation);
  for (const auto& secret : secrets) api.restore(kube::secrets, secret);
  api.restore(api::rotations, *backup);
  // Else its life had not begun.
  const json annotations = (*before)["metadata"].value("annotations", json::object());
  if (annotations.contains(std::string(api::initialized_annotation))) {
    observer.carry_over(text_at(*before, "/metadata/uid"),
                        text_at(*api.find(api::rotations, rotation), "/metadata/uid"));
  }
}

void World::copy_cluster(bool with_statuses) {
  end_copy();
  SimulatedApiServer& copy = *copies_.emplace_back(std::make_unique<SimulatedApiServer>(
      executor, seed_ ^ 0xF6U, "uid-of-copy-" + std::to_string(copies_.size() + 1)));
  copy.copy(api, with_statuses);
  observer.watch_copy(copy);
  Process& process = *processes_.emplace_back(std::make_unique<Process>(executor, observer));
  observer.add_to_copy(process);
  copys_replica_ = std::make_unique<Replica>(
      ReplicaOptions{.name = "copy", .leader_elect = false, .cluster = copy.cluster()}, process,
      copy, quays, Replica::DiesAfter());
}

Replica* World::replica(std::size_t number) {
  return number < replicas_.size() ? replicas_[number].get() : nullptr;
}

void World::stop_faults() {
  api.faults = {};
  api.denied.clear();
  api.quota_exceeded = false;
  api.terminating.clear();
  api.lag_watches({});
  api.set_down(false);
  for (const auto& one : quays) {
    one->faults = {};
    while (!one->troubles.robots_missing.empty()) {
      one->restore_robot(*one->troubles.robots_missing.begin());
    }
    one->troubles = {};
    one->hostility = {};
  }
  for (const auto& process : processes_) {
    process->set_clock({});
    process->unfreeze();
  }
  store_api_tokens();
  // Who was frozen has watches that died meanwhile, and caches that know nothing of it.
  observer.calm().disturb();
}

json World::status(const kube::ObjectKey& key) const {
  const auto object = api.find(api::rotations, key);
  return object ? object->value("status", json::object()) : json::object();
}

SimulatedQuay* World::quay_of(const kube::ObjectKey& connection) const {
  if (const auto object = api.find(api::connections, connection)) {
    return quay_at(quays, text_at(*object, "/spec/url"));
  }
  const auto made = connections_.find(connection);
  return made == connections_.end() ? nullptr : quays.at(made->second.quay).get();
}

int World::commits(const kube::ObjectKey& rotation) const {
  const auto object = api.find(api::rotations, rotation);
  return quay_of(connection_of(*object))->commits(robot_of(*object));
}

std::string World::token_of(const kube::ObjectKey& rotation) const {
  const auto object = api.find(api::rotations, rotation);
  return quay_of(connection_of(*object))->token(robot_of(*object));
}

std::string World::token_in(const kube::ObjectKey& secret) const {
  const auto object = api.find(kube::secrets, secret);
  return object ? testing::token_in(*object) : "";
}

}  // namespace quay_rotator::simulation
