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
}

void World::count_faults(SimulatedQuay& of) {
  of.on_fault = [this, &of](FaultKind kind, const Message& message, const Process& caller) {
    coverage.add(kind, caller.steps.step_of(message));
    observer.calm().disturb_quay(of.host());
  };
}

World::~World() {
  replicas_.clear();
}

void World::struck(FaultKind kind, const Process& process) {
  for (const Step step : process.steps.current()) coverage.add(kind, step);
  observer.calm().disturb();
}

void World::struck(FaultKind kind) {
  observer.calm().disturb();
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
  api.create(kube::connections, {{"apiVersion", kube::connections.api_version()},
                                 {"kind", kube::connections.kind},
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
  const json object{{"apiVersion", kube::rotations.api_version()},
                    {"kind", kube::rotations.kind},
                    {"metadata", metadata({options.name_space, options.name})},
                    {"spec",
                     {{"connectionRef", {{"name", options.connection}}},
                      {"robot", std::move(robot)},
                      {"schedule", {{"interval", options.interval}, {"jitter", options.jitter}}},
                      {"initial", options.initially_rotate ? "Rotate" : "Adopt"},
                      {"deletionPolicy", options.deletion_policy},
                      {"verify", {{"level", options.verify ? "Login" : "None"}}},
                      {"targets", std::move(targets)}}}};
  SimulatedQuay* its_quay = quay_of({options.name_space, options.connection});
  if (its_quay != nullptr && its_quay->token(robot_of(object)).empty()) {
    its_quay->add_robot(robot_of(object));
  }
  api.create(kube::rotations, object);
  return {options.name_space, options.name};
}

void World::edit_rotation(const kube::ObjectKey& key, const std::function<void(json&)>& change) {
  api.edit(kube::rotations, key, change);
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
  const auto object = api.find(kube::rotations, key);
  return object ? object->value("status", json::object()) : json::object();
}

SimulatedQuay* World::quay_of(const kube::ObjectKey& connection) const {
  const auto object = api.find(kube::connections, connection);
  return object ? quay_at(quays, text_at(*object, "/spec/url")) : nullptr;
}

int World::commits(const kube::ObjectKey& rotation) const {
  const auto object = api.find(kube::rotations, rotation);
  return quay_of(connection_of(*object))->commits(robot_of(*object));
}

std::string World::token_of(const kube::ObjectKey& rotation) const {
  const auto object = api.find(kube::rotations, rotation);
  return quay_of(connection_of(*object))->token(robot_of(*object));
}

std::string World::token_in(const kube::ObjectKey& secret) const {
  const auto object = api.find(kube::secrets, secret);
  return object ? testing::token_in(*object) : "";
}

}  // namespace quay_rotator::simulation
