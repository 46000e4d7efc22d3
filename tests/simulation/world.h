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

// A QuayConnection and, beside it, the Secret <name>-api of its API token.
struct ConnectionOptions {
  std::string name = "quay";
  std::string name_space = "team-a";
  std::size_t quay = 0;  // of World::quays
  std::string url = {};  // in place of that Quay's origin
  std::optional<double> requests_per_second = {};
  int burst = 10;                             // with requests_per_second
  std::optional<std::string> api_token = {};  // in place of the one that the Quay takes

  [[nodiscard]] kube::ObjectKey key() const { return {name_space, name}; }
};

struct RotationOptions {
  std::string name = "puller";
  std::string organization = "acme";  // "": a user's robot
  std::string robot = "puller";
  std::string standby = {};  // takes turns with it …
  std::string overlap = {};  // … "": until the next turn
  std::string interval = "24h";
  std::string jitter = "0s";
  bool initially_rotate = false;
  bool verify = true;
  std::vector<std::string> targets = {"quay-pull"};
  std::string name_space = "team-a";
  std::string connection = "quay";  // in that namespace, made before
  std::string deletion_policy = "Delete";
};

// To be used by the thread that made it.
class World {
 public:
  static constexpr const char* name_space = "team-a";  // where nothing else is said
  // Once faults have stopped everything is as it should be after that: a drift interval and the
  // tenth that it may be late, the hold and the longest back-off, a lease, and the longest wait for
  // a watch.
  static constexpr base::Duration time_to_settle = std::chrono::minutes(35);

  explicit World(std::uint64_t seed,
                 testing::VirtualExecutor::MakeRunners runners = testing::make_runners);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  testing::VirtualExecutor executor;
  SimulatedApiServer api;
  Quays quays;          // see add_quay()
  SimulatedQuay& quay;  // the first
  Observer observer;
  Dice dice;          // for what people do, and when
  Coverage coverage;  // which fault met which step
  // A replica enters a step of the protocol. May be empty.
  std::function<void(Step, Process&)> on_enter;

  // quay-2.example.com, quay-3.example.com, … Has its own troubles.
  SimulatedQuay& add_quay();
  kube::ObjectKey create_connection(const ConnectionOptions& options = {});
  // The robot too, if the connection's Quay does not have it.
  kube::ObjectKey create_rotation(const RotationOptions& options);
  void edit_rotation(const kube::ObjectKey& key,
                     const std::function<void(nlohmann::json&)>& change);
  void rotate_now(const kube::ObjectKey& key);
  // A Quay gets a new API token with replace_api_token(); here every connection gets what its Quay
  // takes, or its own.
  void store_api_tokens();
  void store_api_token(const kube::ObjectKey& connection, std::string_view token);

  // Replicas have a number; a pod of the same number keeps its name.
  void start(std::size_t replica, ReplicaOptions options = {}, Replica::DiesAfter dies_after = {});
  void crash(std::size_t replica);
  void stop(std::size_t replica);
  [[nodiscard]] Replica* replica(std::size_t number);
  void advance(base::Duration time) { executor.advance(time); }
  // Everything is reachable again and nothing more goes wrong; clocks are right.
  void stop_faults();
  // A fault that meets no request: it is counted for what each live replica, or that one, is doing.
  void struck(FaultKind kind);
  void struck(FaultKind kind, const Process& process);

  // The API server's storage, and putting it back to what it was then.
  void save();
  void put_back();
  // Deletes a rotation and its Secrets and makes them anew as a backup does: annotations are kept,
  // status, UIDs and owners are not.
  void restore_without_status(const kube::ObjectKey& rotation);
  // A second cluster with a copy of all objects, and one replica that leads there. Ends the one
  // before.
  void copy_cluster(bool with_statuses);
  void end_copy() { copys_replica_.reset(); }

  // Changes of a robot's token by the operator; a name alone is of the first Quay.
  [[nodiscard]] int commits(const std::string& robot) { return quay.commits(robot); }
  [[nodiscard]] int commits(const kube::ObjectKey& rotation) const;
  // What the rotation's Quay holds.
  [[nodiscard]] std::string token_of(const kube::ObjectKey& rotation) const;
  // To which a connection leads, or led when it was there. Null: to none of this world.
  [[nodiscard]] SimulatedQuay* quay_of(const kube::ObjectKey& connection) const;
  [[nodiscard]] nlohmann::json status(const kube::ObjectKey& key) const;
  // The token in the Secret's first registry entry; "" when there is none.
  [[nodiscard]] std::string token_in(const std::string& secret) const {
    return token_in(kube::ObjectKey{name_space, secret});
  }
  [[nodiscard]] std::string token_in(const kube::ObjectKey& secret) const;

 private:
  void count_faults(SimulatedQuay& of);
  [[nodiscard]] std::optional<base::MonotonicTime> serving_since() const;

  const std::uint64_t seed_;
  std::map<kube::ObjectKey, ConnectionOptions> connections_;  // as they were last made
  std::shared_ptr<const SimulatedApiServer::Backup> saved_;
  Observer::Done done_when_saved_;
  std::vector<std::unique_ptr<SimulatedApiServer>> copies_;
  // All that ever ran: what is late comes from a process that may be dead, and none gets another's
  // address.
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::unique_ptr<Replica> copys_replica_;
  bool elected_ = true;  // the replicas
  std::uint64_t requests_ = 0;
};

}  // namespace quay_rotator::simulation
