// What Quay and the API server really hold, and what was sent for what: all that the checkers of
// the promises share. It is told of everything before they are.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "simulation/promises/calm.h"
#include "simulation/simulated_api_server.h"
#include "simulation/simulated_quay.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

using Change = SimulatedApiServer::Change;

// One robot of one Quay.
struct RobotId {
  std::string host;  // of the Quay; "": of none that there is
  std::string name;  // "acme+puller"

  auto operator<=>(const RobotId&) const = default;
  // For people: "acme+puller at quay.example.com".
  [[nodiscard]] std::string text() const { return name + " at " + host; }
};

// A RobotTokenRotation as the API server holds it.
struct Rotation {
  kube::ObjectKey key;
  RobotId robot;    // whose token the targets are to hold
  RobotId standby;  // the other of two that take turns; without a name there is none
  std::string created;
  SimulatedApiServer::Object object;
  // Its place among the proofs of a claim to a robot, as the API server got them; 0: none.
  std::uint64_t proof = 0;
  base::MonotonicTime proven_at{};
  bool by_own_name = false;  // the connection's url has the name that the Quay gives itself

  [[nodiscard]] std::string uid() const { return text_at(*object, "/metadata/uid"); }
};

// A ledger, as one process wrote it.
struct Ledger {
  std::string uid;  // of the resource
  nlohmann::json content;
  base::MonotonicTime time;
  std::uint64_t order = 0;  // among POSTs and dry runs
  bool used = false;        // by a POST
  bool lost = false;        // the API server was put back since
};

// A POST that Quay performs.
struct Sent {
  RobotId robot;
  std::optional<Ledger> ledger;  // the one that its sender wrote for it; nothing: none
  base::WallTime at{};           // when
  std::uint64_t order = 0;
  // Its sender was frozen between its last check and the socket, or its commit came after the hold.
  bool excused = false;
  bool undone = false;     // the API server was put back since its ledger; excused once committed
  bool late = false;       // its commit came after its sender had given up
  std::string token = {};  // once it is committed
  std::optional<Rotation> holder = {};  // … whose ledger that is, if it is still there
};

// The full name of the robot whose token the targets of a RobotTokenRotation are to hold, and of
// the one that takes turns with it, or ""; user robots are admin's.
std::string robot_of(const nlohmann::json& rotation);
std::string standby_of(const nlohmann::json& rotation);
// A ledger whose new token goes nowhere.
bool retires(const nlohmann::json& ledger);
// The fingerprint of the token that its status tells of; "" for none.
std::string token_of(const nlohmann::json& rotation);
kube::ObjectKey connection_of(const nlohmann::json& rotation);
std::vector<kube::ObjectKey> targets_of(const nlohmann::json& rotation);
// The value of its rotate request; "" for none.
std::string request_of(const nlohmann::json& rotation);
bool has_ledger(const nlohmann::json& rotation);
const nlohmann::json& ledger_of(const nlohmann::json& rotation);
// A ledger that was not there before, or another one.
bool begins_ledger(const Change& rotation);
bool condition_is_true(const nlohmann::json& object, std::string_view type);

class Knowledge {
 public:
  using Requests = std::map<std::string, std::set<std::string>>;  // by uid

  // All must outlive it.
  Knowledge(const testing::VirtualExecutor& given_world, const SimulatedApiServer& given_api,
            const Quays& given_quays)
      : world(given_world), api(given_api), quays(given_quays), calm(given_world) {}

  void take(const Change& change);
  Sent& take_post(const std::string& host, const SimulatedQuay::Post& post);
  Sent take_commit(const std::string& host, const SimulatedQuay::Post& post,
                   const std::string& token);
  // What a commit was for is done.
  void settle(const Sent& sent);
  // Whoever accepts a dry run, writes a ledger or sends a POST takes the next number.
  std::uint64_t next_order() { return ++order_; }

  [[nodiscard]] const std::map<kube::ObjectKey, Rotation>& rotations() const { return rotations_; }
  // Null when there is none.
  [[nodiscard]] const Rotation* rotation(const kube::ObjectKey& key) const;
  // Of the robot: by the Quay's own name before others, the first proof first, who has none last.
  [[nodiscard]] std::vector<Rotation> claimants(const RobotId& robot) const;
  // Null: nobody has proven a claim.
  [[nodiscard]] std::optional<Rotation> owner(const RobotId& robot) const;
  // Of a robot whose host is not "".
  [[nodiscard]] SimulatedQuay& quay_of(const RobotId& robot) const;
  // Somebody asked this resource (by uid) for that rotation; a regeneration was made for it.
  [[nodiscard]] bool requested(const std::string& uid, const std::string& request) const {
    return has(requested_, uid, request);
  }
  [[nodiscard]] bool served(const std::string& uid, const std::string& request) const {
    return has(served_, uid, request);
  }
  // Somebody gave the robot a token whose cause cannot be told: a frozen sender's POST, another
  // cluster, a life that the API server has lost.
  [[nodiscard]] bool had_excused(const RobotId& robot) const { return excused_.contains(robot); }
  void excuse(const RobotId& robot) { excused_.insert(robot); }
  // Its connection has one.
  [[nodiscard]] bool has_rate_limit(const Rotation& rotation) const;
  // The resource was made anew from a backup, and its life goes on: what it was asked for before
  // is not to be done again.
  void carry_over(const std::string& old_uid, const std::string& new_uid);
  // What was done, to be put back together with the API server.
  [[nodiscard]] Requests done() const { return served_; }
  void put_back(Requests done);
  // Since that time people have changed the spec: what set out before does not know its targets.
  [[nodiscard]] bool edited_since(const kube::ObjectKey& key, base::MonotonicTime time) const {
    const auto edited = edited_.find(key);
    return edited != edited_.end() && edited->second >= time;
  }
  [[nodiscard]] base::MonotonicTime disturbed(const Rotation& rotation) const {
    return calm.disturbed(rotation.robot.host, rotation.key.name_space);
  }

  const testing::VirtualExecutor& world;
  const SimulatedApiServer& api;
  const Quays& quays;
  Calm calm;
  bool clocks_lie = false;

 private:
  using Sender = std::pair<RobotId, const base::Executor*>;  // the robot, and whose POST it is

  static bool has(const Requests& all, const std::string& uid, const std::string& request) {
    const auto found = all.find(uid);
    return found != all.end() && found->second.contains(request);
  }
  void take_rotation(const kube::ObjectKey& key, const SimulatedApiServer::Object& after);
  void take_connection(const Change& change);

  std::map<kube::ObjectKey, std::string> hosts_;  // of connections' Quays, ever
  std::map<kube::ObjectKey, std::string> urls_;   // of connections, ever
  std::map<kube::ObjectKey, Rotation> rotations_;
  std::map<RobotId, std::set<kube::ObjectKey>> rotations_of_;
  std::map<kube::ObjectKey, base::MonotonicTime> edited_;       // a rotation's spec, by people
  std::map<Sender, Ledger> ledgers_;                            // the last that each wrote
  std::map<std::pair<std::string, std::uint64_t>, Sent> sent_;  // by Quay and the POST's number
  Requests requested_;
  Requests served_;
  std::set<RobotId> excused_;
  std::uint64_t order_ = 0;
};

}  // namespace quay_rotator::simulation
