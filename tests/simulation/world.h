// A whole simulated cluster: an API server, a Quay, some replicas of the operator, people who
// create and break things, and an observer. One seed decides everything that is left to chance.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "simulation/network.h"
#include "simulation/observer.h"
#include "simulation/replica.h"
#include "simulation/simulated_api_server.h"
#include "simulation/simulated_quay.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

struct RotationOptions {
  std::string name = "puller";
  std::string organization = "acme";  // "": a user's robot
  std::string robot = "puller";
  std::string interval = "24h";
  std::string jitter = "0s";
  bool initially_rotate = false;
  bool verify = true;
  std::vector<std::string> targets = {"quay-pull"};
};

// To be used by the thread that made it.
class World {
 public:
  static constexpr const char* name_space = "team-a";
  // Once faults have stopped everything is as it should be after that: a drift interval and the
  // tenth that it may be late, the longest back-off, a lease, and the longest wait for a watch.
  static constexpr base::Duration time_to_settle = std::chrono::minutes(25);

  explicit World(std::uint64_t seed,
                 testing::VirtualExecutor::MakeRunners runners = testing::make_runners);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  testing::VirtualExecutor executor;
  SimulatedApiServer api;
  SimulatedQuay quay;
  Observer observer;
  Dice dice;          // for what people do, and when
  Coverage coverage;  // which fault met which step
  // A replica enters a step of the protocol. May be empty.
  std::function<void(Step, Process&)> on_enter;

  // The QuayConnection "quay" and the Secret of its API token.
  void create_connection();
  // The robot too, if Quay does not have it.
  kube::ObjectKey create_rotation(const RotationOptions& options);
  void edit_rotation(const kube::ObjectKey& key,
                     const std::function<void(nlohmann::json&)>& change);
  void rotate_now(const kube::ObjectKey& key);
  // Quay gets a new API token; the Secret gets it with store_api_token().
  void store_api_token() { store_api_token(quay.api_token()); }
  void store_api_token(std::string_view token);

  // Replicas have a number; a pod of the same number keeps its name.
  void start(std::size_t replica, ReplicaOptions options = {}, Replica::DiesAfter dies_after = {});
  void crash(std::size_t replica);
  void stop(std::size_t replica);
  [[nodiscard]] Replica* replica(std::size_t number);
  void advance(base::Duration time) { executor.advance(time); }
  // Everything is reachable again and nothing more goes wrong; clocks are right.
  void stop_faults();
  // A fault that meets no request: it is counted for what each live replica is doing.
  void struck(FaultKind kind);
  void struck(FaultKind kind, const Process& process);

  // Changes of a robot's token by the operator.
  [[nodiscard]] int commits(const std::string& robot) { return quay.commits(robot); }
  [[nodiscard]] nlohmann::json status(const kube::ObjectKey& key) const;
  // The token in the Secret's first registry entry; "" when there is none.
  [[nodiscard]] std::string token_in(const std::string& secret) const;

 private:
  // All that ever ran: what is late comes from a process that may be dead, and none gets another's
  // address.
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::uint64_t requests_ = 0;
};

}  // namespace quay_rotator::simulation
