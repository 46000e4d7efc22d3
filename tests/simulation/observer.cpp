#include "simulation/observer.h"

#include <algorithm>
#include <sstream>
#include <tuple>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "base/base64.h"
#include "base/fingerprint.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

const json::json_pointer ledger_pointer("/status/rotation");

// Of one regenerate call: see ReplicaOptions.
constexpr base::Duration request_deadline = std::chrono::seconds(30);
// The way back of Quay's answer, and there of the writes: at most 5 ms each.
constexpr base::Duration one_round = std::chrono::milliseconds(10);
// What is late or slow has come to an end after that. A watch that went mute is the last: it is
// given up after 150 s, and who lists again may find a Secret changed in the middle of a rotation.
constexpr base::Duration calm = std::chrono::minutes(3);

kube::ObjectKey key_of(const json& object) {
  return {text_at(object, "/metadata/namespace"), text_at(object, "/metadata/name")};
}

bool has_ledger(const json& rotation) {
  return rotation.contains(ledger_pointer) && !rotation[ledger_pointer].is_null();
}

bool condition_is_true(const json& object, std::string_view type) {
  const json::json_pointer conditions("/status/conditions");
  if (!object.contains(conditions)) return false;
  return std::ranges::any_of(object[conditions], [&](const json& condition) {
    return condition.value("type", "") == type && condition.value("status", "") == "True";
  });
}

// What changes with each due moment.
std::string dated(const json& rotation) {
  return text_at(rotation, "/status/lastRotationTime") +
         text_at(rotation, "/status/tokenFingerprint");
}

// What the operator's cache holds.
bool labelled(const json& secret) {
  const json labels = secret["metadata"].value("labels", json::object());
  return labels.value(std::string(api::managed_by_label), "") == api::managed_by_value;
}

std::vector<kube::ObjectKey> target_keys(const json& rotation) {
  std::vector<kube::ObjectKey> keys;
  for (const json& target : rotation["spec"]["targets"]) {
    keys.push_back({key_of(rotation).name_space, text_at(target, "/secret/name")});
  }
  return keys;
}

std::string request_of(const json& rotation) {
  const json annotations = rotation["metadata"].value("annotations", json::object());
  return annotations.value(std::string(api::rotate_requested_annotation), "");
}

// The mark itself, and what base64 makes of it at each of the three alignments.
std::vector<std::string> spellings(std::string_view mark) {
  std::vector<std::string> all{std::string(mark)};
  for (std::size_t before = 0; before < 3; ++before) {
    const auto encoded = base::base64_encode(std::string(before, '\0') + std::string(mark));
    const std::size_t first = (before * 8 + 5) / 6;
    const std::size_t last = (before + mark.size()) * 8 / 6;
    all.emplace_back(encoded.reveal().substr(first, last - first));
  }
  return all;
}

}  // namespace

std::string robot_of(const json& rotation) {
  const std::string organization = text_at(rotation, "/spec/robot/organization");
  return (organization.empty() ? "admin" : organization) + "+" +
         text_at(rotation, "/spec/robot/name");
}

kube::ObjectKey connection_of(const json& rotation) {
  return {key_of(rotation).name_space, text_at(rotation, "/spec/connectionRef/name")};
}

Observer::Observer(testing::VirtualExecutor& world, SimulatedApiServer& api, const Quays& quays)
    : world_(world),
      api_(api),
      quays_(quays),
      disturbed_(world.now()),
      leaks_(spellings(token_mark)) {
  api_.on_change = [this](const auto& change) { on_change(change); };
  api_.on_request = [this](const auto& message, const auto& address, const auto& caller) {
    on_request(message, address, caller);
  };
  api_.on_dry_run = [this](const kube::ObjectKey& secret) { dry_runs_[secret] = ++order_; };
  for (const auto& quay : quays_) watch(*quay);
}

void Observer::watch(SimulatedQuay& quay) {
  quay.on_regenerate = [this, &quay](const auto& post) {
    on_regenerate({quay.host(), post.robot}, post);
  };
  quay.on_commit = [this, &quay](const auto& post, const auto& token) {
    on_commit({quay.host(), post.robot}, post, token);
  };
  quay.on_request = [this](const Message& message) { check_public("a URL", message.target); };
}

SimulatedQuay& Observer::quay_of(const RobotId& robot) const {
  return **std::ranges::find(quays_, robot.host, [](const auto& quay) { return quay->host(); });
}

void Observer::violate(const std::string& what) {
  note("VIOLATION " + what);
  violations_.push_back(what);
}

void Observer::note(const std::string& text) {
  trace_.push_back(base::format_micro_time(world_.wall_now()) + " " + text);
}

void Observer::write(base::LogLevel /*level*/, std::string_view message,
                     const std::vector<base::LogField>& fields) {
  check_public("the log", message);
  for (const base::LogField& field : fields) {
    if (const auto* text = std::get_if<std::string>(&field.value)) check_public("the log", *text);
  }
  if (!trace_logs_) return;
  std::ostringstream line;
  line << "    log: " << message;
  for (const base::LogField& field : fields) {
    line << ' ' << field.key << '=';
    std::visit([&line](const auto& value) { line << value; }, field.value);
  }
  note(std::move(line).str());
}

void Observer::check_public(std::string_view where, std::string_view text) {
  for (const std::string& leak : leaks_) {
    if (text.find(leak) != std::string_view::npos)
      violate("I5 a token is in " + std::string(where));
  }
}

void Observer::check_texts(std::string_view where, const json& value) {
  if (value.is_string()) check_public(where, value.get_ref<const std::string&>());
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items()) {
    if (value.is_object()) check_public(where, key);
    check_texts(where, member);
  }
}

void Observer::on_request(const Message& message, const Address& address,
                          const base::Executor& caller) {
  if (message.method == http::Method::get && address.plural == kube::rotations.plural &&
      !address.key.name.empty()) {
    const auto rotation = api_.find(kube::rotations, address.key);
    read_[{&caller, address.key}] =
        rotation ? target_keys(*rotation) : std::vector<kube::ObjectKey>{};
  }
  check_public("a URL", message.target);
  const bool holds_a_token = address.plural == kube::secrets.plural &&
                             message.method == http::Method::patch &&
                             address.option("dryRun").empty();
  if (!holds_a_token) return check_public("a body for " + address.plural, message.body);
  const json object = json::parse(message.body);
  for (const auto& [key, value] : object.items()) {
    if (key != "data") check_texts("a Secret's metadata", value);
  }
}

void Observer::forget(const kube::ObjectKey& rotation) {
  const auto known = rotations_.find(rotation);
  if (known == rotations_.end()) return;
  rotations_of_[known->second.robot].erase(rotation);
  rotations_.erase(known);
}

void Observer::keep_up(const SimulatedApiServer::Change& rotation) {
  forget(rotation.key);
  if (!rotation.after) return;
  const RobotId robot{hosts_[connection_of(*rotation.after)], robot_of(*rotation.after)};
  rotations_of_[robot].insert(rotation.key);
  rotations_[rotation.key] = {
      rotation.key, robot, text_at(*rotation.after, "/metadata/creationTimestamp"), rotation.after};
}

void Observer::on_connection(const SimulatedApiServer::Change& change) {
  if (!change.after) return;  // its rotations do nothing until it is back
  const SimulatedQuay* quay = quay_at(quays_, text_at(*change.after, "/spec/url"));
  std::string host = quay == nullptr ? "" : quay->host();
  if (std::exchange(hosts_[change.key], host) == host) return;
  const auto all = rotations_;
  for (const auto& [key, rotation] : all) {
    if (connection_of(*rotation.object) != change.key) continue;
    keep_up({std::string(kube::rotations.plural), key, nullptr, rotation.object, nullptr, ""});
  }
}

std::vector<Observer::Live> Observer::claimants(const RobotId& robot) const {
  std::vector<Live> all;
  const auto keys = rotations_of_.find(robot);
  if (keys == rotations_of_.end()) return all;
  for (const kube::ObjectKey& key : keys->second) all.push_back(rotations_.at(key));
  std::ranges::sort(all, [](const Live& left, const Live& right) {
    return std::tie(left.created, left.key) < std::tie(right.created, right.key);
  });
  return all;
}

void Observer::on_change(const SimulatedApiServer::Change& change) {
  if (change.plural == kube::rotations.plural) {
    keep_up(change);
    on_rotation(change);
  }
  if (change.plural == kube::connections.plural) on_connection(change);
  if (change.plural == kube::secrets.plural) on_secret(change);
}

void Observer::on_rotation(const SimulatedApiServer::Change& change) {
  if (!change.after) return;
  const json& after = *change.after;
  Account& account = accounts_[text_at(after, "/metadata/uid")];
  if (const std::string request = request_of(after); !request.empty()) {
    account.requests.insert(request);
  }
  if (!change.before) {
    account.last = world_.wall_now();
  } else if (dated(*change.before) != dated(after)) {
    ++account.due;
  }
  check_finished(change, account);
  if (!has_ledger(after)) return;
  if (change.before && has_ledger(*change.before) &&
      (*change.before)[ledger_pointer] == after[ledger_pointer]) {
    return;
  }
  const RobotId& robot = rotations_.at(change.key).robot;
  ledgers_[{robot, change.caller}] = {text_at(after, "/metadata/uid"), after[ledger_pointer],
                                      world_.now(), ++order_};
  account.unseen.clear();
  for (const kube::ObjectKey& target : target_keys(after)) {
    if (dry_runs_[target] <= posts_[robot]) account.unseen.push_back(target);
  }
  const auto all = claimants(robot);
  if (all.front().key != change.key) violate("I7 a ledger in the younger " + change.key.text());
}

// A rotation that ends with a new token ends when every target has it.
void Observer::check_finished(const SimulatedApiServer::Change& change, Account& account) {
  const json& after = *change.after;
  const std::vector<kube::ObjectKey> targets = target_keys(after);
  if (!change.before || !has_ledger(*change.before)) {
    account.promised = targets;
    return;
  }
  std::erase_if(account.promised, [&](const kube::ObjectKey& target) {
    return std::ranges::find(targets, target) == targets.end();
  });
  const std::string token = text_at(after, "/status/tokenFingerprint");
  if (has_ledger(after) || token == text_at(*change.before, "/status/tokenFingerprint")) return;
  for (const kube::ObjectKey& target : account.promised) {
    const std::vector<base::Fingerprint>& held = held_[target];
    const auto fingerprint = base::Fingerprint::parse(token);
    if (fingerprint && std::ranges::find(held, *fingerprint) != held.end()) continue;
    violate("I1 the rotation of " + change.key.text() + " is over and Secret " + target.text() +
            " never had its token");
  }
}

void Observer::on_secret(const SimulatedApiServer::Change& change) {
  const std::string token = change.after ? testing::token_in(*change.after) : "";
  if (!token.empty()) {
    std::vector<base::Fingerprint>& held = held_[change.key];
    const auto fingerprint = base::Fingerprint::of(token);
    if (held.empty() || held.back() != fingerprint) held.push_back(fingerprint);
  }
  if (change.caller == nullptr) return disturb();
  end_outages(change);
  if (!token.empty() && !token.starts_with(token_mark)) {
    violate("I1 what the operator wrote in " + change.key.text() + " is no token");
  }
  const auto has = [&](const std::vector<kube::ObjectKey>& keys) {
    return std::ranges::find(keys, change.key) != keys.end();
  };
  if (!change.after) {
    for (const auto& [key, rotation] : rotations_) {
      if (!has(target_keys(*rotation.object))) continue;
      const auto read = read_.find({change.caller, rotation.key});
      if (read == read_.end() || has(read->second)) {
        violate("I4 the operator deleted the target " + change.key.text());
      }
    }
    return;
  }
  if (change.before &&
      text_at(*change.before, "/metadata/uid") != text_at(*change.after, "/metadata/uid")) {
    violate("I4 another UID for " + change.key.text());
  }
  const json& annotations = (*change.after)["metadata"]["annotations"];
  const std::string owner = annotations.value(std::string(api::owner_annotation), "");
  const auto named = rotations_.find({change.key.name_space, owner});
  if (named == rotations_.end()) return;
  const Live& rotation = named->second;
  // Written for a resource of the same name that was deleted while the request was on its way?
  if (!is_owned_by(*change.after, text_at(*rotation.object, "/metadata/uid"))) return;
  if (claimants(rotation.robot).front().key != rotation.key) {
    violate("I7 the younger " + rotation.key.text() + " wrote " + change.key.text());
  }
}

void Observer::on_regenerate(const RobotId& robot, const SimulatedQuay::Post& post) {
  note("POST regenerate " + robot.text());
  const auto ledger = ledgers_.find({robot, post.caller});
  Sent& sent = sent_[{robot.host, post.number}];
  sent.at = world_.wall_now();
  if (ledger != ledgers_.end()) sent.written = ledger->second;
  if (post.held > base::Duration{} && sent.written &&
      world_.now() - sent.written->time >= request_deadline) {
    note("… whose sender was frozen after its last check");
    ++late_sends_;
    sent.excused = true;
    // Others who try their targets know nothing of it: it counts from when it was to be sent.
    posts_[robot] = std::max(posts_[robot], sent.written->order);
    return;
  }
  posts_[robot] = ++order_;
  if (sent.written && std::exchange(ledger->second.used, true)) sent.written.reset();
  for (const Live& rotation : claimants(robot)) {
    if (!has_ledger(*rotation.object)) continue;
    for (const auto& target : accounts_[text_at(*rotation.object, "/metadata/uid")].unseen) {
      violate("I3 no dry run of " + target.text() + " before " + robot.text() + " was regenerated");
    }
  }
}

void Observer::on_commit(const RobotId& robot, const SimulatedQuay::Post& post,
                         const std::string& token) {
  note("Quay has a new token for " + robot.text());
  const Sent sent = std::move(sent_.extract({robot.host, post.number}).mapped());
  if (!sent.written) return violate("I2 " + robot.text() + " was regenerated without a ledger");
  if (sent.excused) late_tokens_.insert(robot);
  const std::vector<Live> all = claimants(robot);
  const auto holder = std::ranges::find_if(all, [&](const Live& rotation) {
    return text_at(*rotation.object, "/metadata/uid") == sent.written->uid;
  });
  if (holder == all.end()) return;  // deleted while the request was on its way
  charge(*holder, sent);
  if (post.late) disturb();
  begin_outage(*holder, token);
}

void Observer::charge(const Live& holder, const Sent& sent) {
  const json& ledger = sent.written->ledger;
  Account& account = accounts_[text_at(*holder.object, "/metadata/uid")];
  const std::string request = ledger.value("rotateRequest", "");
  const bool initial = ledger.value("reason", "") == "Initial";
  if (sent.excused) {
    const bool again =
        request.empty() ? (initial && account.initial) : account.served.contains(request);
    const bool without = !has_ledger(*holder.object);
    if (again || without) {
      note("an extra regeneration");
      ++extra_;
    }
    account.excused.insert(request);
    return;
  }
  const base::WallTime now = world_.wall_now();
  const base::Duration interval =
      *base::parse_duration(text_at(*holder.object, "/spec/schedule/interval"));
  const std::string what = "I2 " + holder.robot.text() + " was regenerated ";
  if (!request.empty()) {
    if (!account.requests.contains(request)) violate(what + "for a request that nobody made");
    if (!account.served.insert(request).second) violate(what + "again for request " + request);
    if (account.excused.contains(request)) {
      note("an extra regeneration");
      ++extra_;
    }
  } else if (initial) {
    if (std::exchange(account.initial, true)) violate(what + "initially again");
  } else {
    if (std::exchange(account.charged_due, account.due) == account.due) {
      violate(what + "again for one due moment");
    }
    // What was on its way while another request was served was not too early.
    if (!clocks_lie_ && sent.at > account.last &&
        sent.at - account.last < interval - std::chrono::seconds(1)) {
      violate(what + "before its interval was over");
    }
  }
  account.last = now;
}

void Observer::disturb(base::Duration lasting) {
  disturbed_ = std::max(disturbed_, world_.now() + lasting);
  for (auto& [robot, outage] : outages_) outage.undisturbed = false;
}

void Observer::begin_outage(const Live& holder, const std::string& token) {
  Outage outage{world_.now(), one_round, token, {}, world_.now() - disturbed_ > calm};
  for (const kube::ObjectKey& target : target_keys(*holder.object)) {
    outage.pending.insert(target);
    // Whether there is one that is not ours takes a look at it, all at once again.
    const auto secret = api_.find(kube::secrets, target);
    if (!secret || !labelled(*secret)) outage.allowed = 2 * one_round;
  }
  outages_[holder.robot] = std::move(outage);
}

void Observer::end_outages(const SimulatedApiServer::Change& secret) {
  if (!secret.after) return;
  for (auto& [robot, outage] : outages_) {
    if (!outage.pending.contains(secret.key) || testing::token_in(*secret.after) != outage.token)
      continue;
    outage.pending.erase(secret.key);
    if (!outage.pending.empty() || !outage.undisturbed) continue;
    ++outages_timed_;
    if (world_.now() - outage.began > outage.allowed) {
      violate("I6 the outage of " + robot.text() + " was " +
              base::format_duration(world_.now() - outage.began));
    }
  }
}

std::vector<std::string> Observer::unsettled() {
  std::vector<std::string> problems;
  const auto expect = [&](bool good, const std::string& otherwise) {
    if (!good) problems.push_back(otherwise);
  };
  for (const auto& [key, rotation] : rotations_) {
    if (rotation.robot.host.empty()) continue;  // no Quay of this world
    const json& object = *rotation.object;
    const std::string who = rotation.key.text();
    const bool owner = claimants(rotation.robot).front().key == rotation.key;
    const bool conflict = condition_is_true(object, "Conflict");
    expect(conflict || owner, "I7 no Conflict in " + who);
    if (!owner) continue;
    expect(!conflict, "I7 the owner " + who + " says Conflict");
    expect(!has_ledger(object), "I1 " + who + " still has its ledger");
    expect(condition_is_true(object, "Ready"), "I1 " + who + " is not Ready");
    const std::string token = quay_of(rotation.robot).token(rotation.robot.name);
    expect(text_at(object, "/status/tokenFingerprint") == base::Fingerprint::of(token).text(),
           "I1 the status of " + who + " knows another token than Quay");
    const std::string request = request_of(object);
    const Account& account = accounts_[text_at(object, "/metadata/uid")];
    expect(text_at(object, "/status/lastHandledRotateRequest") == request,
           "I1 " + who + " has not handled " + request);
    // Whose new token it was that a lost answer left behind cannot be told apart.
    expect(request.empty() || account.served.contains(request) ||
               late_tokens_.contains(rotation.robot) ||
               quay_of(rotation.robot).regenerated_in_ui(rotation.robot.name),
           "I1 " + who + " says that it has handled " + request + " and has not");
    for (const kube::ObjectKey& target : target_keys(object)) {
      const std::string problem = check_target(rotation, target, token);
      expect(problem.empty(), "I1 Secret " + target.text() + " " + problem);
    }
  }
  return problems;
}

std::string Observer::check_target(const Live& rotation, const kube::ObjectKey& target,
                                   const std::string& token) const {
  const auto secret = api_.find(kube::secrets, target);
  if (!secret) return "is missing";
  const auto data =
      base::base64_decode((*secret)["data"].value(std::string(api::docker_config_key), ""));
  const json config =
      data ? json::parse(data->reveal(), nullptr, /*allow_exceptions=*/false) : json();
  const std::string& name = rotation.robot.name;
  const json wanted{{"auths",
                     {{rotation.robot.host,
                       {{"username", name},
                        {"password", token},
                        {"auth", base::base64_encode(name + ":" + token).reveal()}}}}}};
  return config == wanted ? "" : "does not hold Quay's token";
}

}  // namespace quay_rotator::simulation
