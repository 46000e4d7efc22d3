#include "simulation/world.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "api/robot_token_rotation.h"
#include "base/base64.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

json metadata(const std::string& name) {
  return {{"name", name}, {"namespace", World::name_space}};
}

}  // namespace

World::World(std::uint64_t seed, testing::VirtualExecutor::MakeRunners runners)
    : executor(seed, runners),
      api(executor, seed ^ 0xA1U),
      quay(executor, seed ^ 0xB2U),
      observer(executor, api, quay),
      dice(seed ^ 0xC3U) {
  const auto count = [this](FaultKind kind, const Message& message, const Process& caller) {
    coverage.add(kind, caller.steps.step_of(message));
    observer.disturb();
  };
  api.on_fault = count;
  quay.on_fault = count;
}

World::~World() {
  replicas_.clear();
}

void World::struck(FaultKind kind, const Process& process) {
  for (const Step step : process.steps.current()) coverage.add(kind, step);
  observer.disturb();
}

void World::struck(FaultKind kind) {
  observer.disturb();
  bool anybody = false;
  for (const auto& replica : replicas_) {
    if (!replica || replica->dead()) continue;
    anybody = true;
    struck(kind, replica->process());
  }
  if (!anybody) coverage.add(kind, Step::idle);
}

void World::create_connection() {
  api.create(kube::secrets, {{"apiVersion", "v1"},
                             {"kind", "Secret"},
                             {"metadata", metadata("quay-api")},
                             {"type", "Opaque"},
                             {"data", json::object()}});
  store_api_token();
  api.create(
      kube::connections,
      {{"apiVersion", kube::connections.api_version()},
       {"kind", kube::connections.kind},
       {"metadata", metadata("quay")},
       {"spec",
        {{"url", SimulatedQuay::origin}, {"credentialsSecretRef", {{"name", "quay-api"}}}}}});
}

void World::store_api_token(std::string_view token) {
  api.edit(kube::secrets, {name_space, "quay-api"},
           [&](json& secret) { secret["data"]["token"] = base::base64_encode(token).reveal(); });
}

kube::ObjectKey World::create_rotation(const RotationOptions& options) {
  json robot{{"name", options.robot}};
  if (!options.organization.empty()) robot["organization"] = options.organization;
  json targets = json::array();
  for (const std::string& name : options.targets) targets.push_back({{"secret", {{"name", name}}}});
  const json object{{"apiVersion", kube::rotations.api_version()},
                    {"kind", kube::rotations.kind},
                    {"metadata", metadata(options.name)},
                    {"spec",
                     {{"connectionRef", {{"name", "quay"}}},
                      {"robot", std::move(robot)},
                      {"schedule", {{"interval", options.interval}, {"jitter", options.jitter}}},
                      {"initial", options.initially_rotate ? "Rotate" : "Adopt"},
                      {"verify", {{"level", options.verify ? "Login" : "None"}}},
                      {"targets", std::move(targets)}}}};
  if (quay.token(robot_of(object)).empty()) quay.add_robot(robot_of(object));
  api.create(kube::rotations, object);
  return {name_space, options.name};
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
      std::make_unique<Replica>(std::move(options), process, api, quay, std::move(dies_after));
}

void World::crash(std::size_t replica) {
  if (this->replica(replica) == nullptr) return;
  observer.disturb();
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
  quay.faults = {};
  while (!quay.troubles.robots_missing.empty()) {
    quay.restore_robot(*quay.troubles.robots_missing.begin());
  }
  quay.troubles = {};
  for (const auto& process : processes_) {
    process->set_clock({});
    process->unfreeze();
  }
  store_api_token();
  // Who was frozen has watches that died meanwhile, and caches that know nothing of it.
  observer.disturb();
}

json World::status(const kube::ObjectKey& key) const {
  const auto object = api.find(kube::rotations, key);
  return object ? object->value("status", json::object()) : json::object();
}

std::string World::token_in(const std::string& secret) const {
  const auto object = api.find(kube::secrets, {name_space, secret});
  return object ? testing::token_in(*object) : "";
}

}  // namespace quay_rotator::simulation
