// Knows what Quay and the API server really hold, and holds every step against the promises.
//
//   I1 no loss        unsettled(): every target has Quay's token, every resource is
//                     Ready and has handled the request it was given; and at every step, a
//                     rotation is over only when each target has had its token, and only tokens
//                     are written
//   I2 single shot    each change of a token by a POST is charged to the ledger that its sender had
//                     written for it: a request that nobody has served yet, an interval that is
//                     over, or the one initial rotation. A POST whose sender was frozen between its
//                     last check and the socket until its ledger was older than the request
//                     deadline is charged to nobody: it may cost one more regeneration. While
//                     clocks are wrong, one due moment is what the status says, whatever the time.
//   I3 look first     every target has accepted a dry run since the last POST, before the ledger
//   I4 in place       no operator deletes a Secret that is a target, unless it became one again
//                     after that operator looked
//   I5 no leak        no token, nor its base64, in anything but a Secret's data
//   I6 short outage   from a commit to the last target's write, where nothing is in its way: the
//                     answer's way back and one round of requests, however many targets there are
//   I7 one owner      no Secret or ledger is written for a younger resource of the same robot
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/fingerprint.h"
#include "base/log.h"
#include "simulation/simulated_api_server.h"
#include "simulation/simulated_quay.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

// One robot of one Quay.
struct RobotId {
  std::string host;  // of the Quay; "": of none that there is
  std::string name;  // "acme+puller"

  auto operator<=>(const RobotId&) const = default;
  // For people: "acme+puller at quay.example.com".
  [[nodiscard]] std::string text() const { return name + " at " + host; }
};

// Also the sink of every replica's log. One world, one thread of control at a time: no locks.
class Observer final : public base::LogSink {
 public:
  // Adds itself to both. All must outlive it.
  Observer(testing::VirtualExecutor& world, SimulatedApiServer& api, const Quays& quays);
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  // Looks on at one more of the Quays that it was given.
  void watch(SimulatedQuay& quay);

  // What went against a promise: "I2 …", the oldest first.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  // Everything is calm and reachable: what does not hold what it should? "I1 …", "I7 …"
  [[nodiscard]] std::vector<std::string> unsettled();
  void violate(const std::string& what);
  // Something has gone wrong or was changed by somebody: what follows is not to be timed. From when
  // that is over, if it lasts.
  void disturb(base::Duration lasting = {});
  void clocks_lie() { clocks_lie_ = true; }
  // How often a frozen process sent what it should not have; how often that cost a token more.
  [[nodiscard]] int late_sends() const { return late_sends_; }
  [[nodiscard]] int extra_regenerations() const { return extra_; }
  [[nodiscard]] int outages_timed() const { return outages_timed_; }
  // `text` is public: a metric, a message.
  void check_public(std::string_view where, std::string_view text);
  // … and so are all keys and texts in it.
  void check_texts(std::string_view where, const nlohmann::json& value);
  // A line for the trace, with the virtual time; and whether the replicas' logs go there too.
  void note(const std::string& text);
  void trace_logs(bool on) { trace_logs_ = on; }
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }
  void forget_trace() { trace_.clear(); }

  void write(base::LogLevel level, std::string_view message,
             const std::vector<base::LogField>& fields) override;

 private:
  struct Account {                          // of one RobotTokenRotation, by uid
    std::set<std::string> requests;         // asked for by somebody …
    std::set<std::string> served;           // … and done
    base::WallTime last{};                  // its last regeneration, or its creation
    std::set<std::string> excused;          // … perhaps by a process that was frozen
    bool initial = false;                   // the initial rotation is done
    int due = 0;                            // the due moment that the status speaks of …
    int charged_due = -1;                   // … and the one that was used up
    std::vector<kube::ObjectKey> unseen;    // targets without a dry run when it wrote its ledger
    std::vector<kube::ObjectKey> promised;  // its targets ever since it wrote its ledger
  };
  struct Written {  // a ledger, by one process
    std::string uid;
    nlohmann::json ledger;
    base::MonotonicTime time;
    std::uint64_t order = 0;  // among POSTs and dry runs
    bool used = false;        // by a POST
  };
  struct Sent {                      // a POST
    std::optional<Written> written;  // the ledger that it was sent for; nothing: none
    base::WallTime at{};             // when
    bool excused = false;            // its sender was frozen
  };
  struct Outage {
    base::MonotonicTime began;
    base::Duration allowed{};
    std::string token;
    std::set<kube::ObjectKey> pending;
    bool undisturbed = false;
  };
  using Sender = std::pair<RobotId, const base::Executor*>;  // the robot, and whose POST it is
  struct Live {  // a RobotTokenRotation as the API server holds it
    kube::ObjectKey key;
    RobotId robot;
    std::string created;
    SimulatedApiServer::Object object;
  };

  void on_change(const SimulatedApiServer::Change& change);
  void on_rotation(const SimulatedApiServer::Change& change);
  void check_finished(const SimulatedApiServer::Change& change, Account& account);
  void on_secret(const SimulatedApiServer::Change& change);
  void on_request(const Message& message, const Address& address, const base::Executor& caller);
  void on_regenerate(const RobotId& robot, const SimulatedQuay::Post& post);
  void on_commit(const RobotId& robot, const SimulatedQuay::Post& post, const std::string& token);
  void charge(const Live& holder, const Sent& sent);
  void begin_outage(const Live& holder, const std::string& token);
  void end_outages(const SimulatedApiServer::Change& secret);
  void keep_up(const SimulatedApiServer::Change& rotation);
  void forget(const kube::ObjectKey& rotation);
  // A connection is there, perhaps with another URL.
  void on_connection(const SimulatedApiServer::Change& change);
  [[nodiscard]] SimulatedQuay& quay_of(const RobotId& robot) const;
  // Of the robot, the oldest first.
  [[nodiscard]] std::vector<Live> claimants(const RobotId& robot) const;
  // What is wrong with a Secret; "" for nothing.
  [[nodiscard]] std::string check_target(const Live& rotation, const kube::ObjectKey& target,
                                         const std::string& token) const;

  testing::VirtualExecutor& world_;
  SimulatedApiServer& api_;
  const Quays& quays_;
  std::map<kube::ObjectKey, std::string> hosts_;  // of connections' Quays, ever
  std::map<kube::ObjectKey, Live> rotations_;     // as the API server has them
  std::map<RobotId, std::set<kube::ObjectKey>> rotations_of_;
  std::map<std::string, Account> accounts_;
  std::map<kube::ObjectKey, std::uint64_t> dry_runs_;  // the last that was accepted
  // The tokens that a Secret has ever had: none comes twice.
  std::map<kube::ObjectKey, std::vector<base::Fingerprint>> held_;
  std::map<RobotId, std::uint64_t> posts_;  // the last
  std::uint64_t order_ = 0;
  // The targets that a replica read in a rotation, by its process.
  std::map<std::pair<const base::Executor*, kube::ObjectKey>, std::vector<kube::ObjectKey>> read_;
  std::map<Sender, Written> ledgers_;
  std::map<std::pair<std::string, std::uint64_t>, Sent> sent_;  // by Quay and the POST's number
  std::set<RobotId> late_tokens_;                               // with a token of an excused POST
  std::map<RobotId, Outage> outages_;
  base::MonotonicTime disturbed_;
  bool clocks_lie_ = false;
  int late_sends_ = 0;
  int extra_ = 0;
  int outages_timed_ = 0;
  std::vector<std::string> leaks_;  // texts that must not be seen
  std::vector<std::string> violations_;
  std::vector<std::string> trace_;
  bool trace_logs_ = false;
};

// The full name of the robot that a RobotTokenRotation names; user robots are admin's.
std::string robot_of(const nlohmann::json& rotation);
kube::ObjectKey connection_of(const nlohmann::json& rotation);

}  // namespace quay_rotator::simulation
