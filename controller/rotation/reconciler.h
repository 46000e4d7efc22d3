// Looks at one RobotTokenRotation, decides by plan(), has the Driver do it, and says when to look
// again. Everything is decided from the cache, the status and this object's short memory; a process
// that starts with an empty memory decides the same, later at the most.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "connection/findings.h"
#include "connection/newcomers.h"
#include "connection/session.h"
#include "kube/event_recorder.h"
#include "rotation/departed.h"
#include "rotation/driver.h"
#include "rotation/memory.h"
#include "rotation/plan.h"
#include "rotation/status.h"
#include "runtime/metrics.h"
#include "runtime/status_writer.h"
#include "runtime/store.h"
#include "runtime/work_queue.h"
#include "target/allowed_metadata.h"
#include "target/publisher.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// The parts it works with; all must outlive it.
struct ReconcilerParts {
  runtime::Store<api::RobotTokenRotation>& rotations;
  runtime::Store<api::QuayConnection>& connections;
  runtime::Store<api::ManagedSecret>& secrets;
  runtime::WorkQueue& queue;
  runtime::Lanes& lanes;
  connection::Sessions& sessions;
  connection::Findings& findings;
  connection::Newcomers& newcomers;
  Driver& driver;
  target::Publisher& publisher;
  runtime::StatusWriter<api::RobotTokenRotation>& status;
  kube::EventRecorder& events;
  runtime::Metrics& metrics;
  base::Executor& executor;
  base::Log log;
  target::AllowedMetadata allowed_metadata{};
  std::size_t namespaces = 1;  // that see() will tell of
};

// Thread-safe for different keys; the work queue keeps one key with one worker.
class Reconciler {
 public:
  // Adds its listeners to the stores: make it before the reflectors start.
  explicit Reconciler(ReconcilerParts parts);

  // What identifies this cluster; to be called before the first reconcile().
  void look_after(const std::string& cluster);
  // No other cluster does.
  [[nodiscard]] bool looked_after(const api::RobotTokenRotation& rotation) const;
  // How far the caches of a namespace have come ("" is all namespaces). With its connections its
  // ledgers are settled, with everything all else is done there, and missed due times are spread
  // from then on. While another namespace is not known, a robot's owner may be in it: then only
  // resources that were found to own theirs before this process started regenerate. Thread-safe;
  // may be called again.
  enum class Sight { connections, everything };
  void see(const std::string& name_space, Sight sight);
  // What is missing of it does not come, for the reason `why`: told on its resources, as far as
  // they are known, until see() has told of everything. Thread-safe.
  void cannot_see(const std::string& name_space, const std::string& why);
  void reconcile(const kube::ObjectKey& key, const std::stop_token& stop);
  // The last look ended with an exception of that type: told, and tried again after a back-off.
  void failed(const kube::ObjectKey& key, const std::string& exception);
  // The organization's list says that Quay does not hold the token of the status: look. `listed`
  // is what it shows; nothing: no such robot.
  void note_drift(const kube::ObjectKey& key, std::optional<base::Fingerprint> listed);
  // There is something new in the findings about it: look.
  void note_news(const kube::ObjectKey& key);
  // Quay refuses what it would take to see that token: look, if others claim the robot too.
  void note_refusal(const kube::ObjectKey& key);

 private:
  void on_rotation(const runtime::Store<api::RobotTokenRotation>::Pointer& before,
                   const runtime::Store<api::RobotTokenRotation>::Pointer& after,
                   runtime::ChangeCause cause);
  void on_connection(const runtime::Store<api::QuayConnection>::Pointer& before,
                     const runtime::Store<api::QuayConnection>::Pointer& after,
                     runtime::ChangeCause cause);
  void on_secret(const runtime::Store<api::ManagedSecret>::Pointer& before,
                 const runtime::Store<api::ManagedSecret>::Pointer& after,
                 runtime::ChangeCause cause);
  // `ledger_open`: but for how long its ledger has been seen.
  void forget(const kube::ObjectKey& key, bool ledger_open);
  // When the caches of its namespace were complete; its entry, or that of all.
  struct Seen {
    std::optional<base::WallTime> complete;
  };
  [[nodiscard]] const Seen* seen(const std::string& name_space) const;  // with the mutex held
  // Waits for its caches.
  void await_caches(const api::RobotTokenRotation& rotation, int sights,
                    const std::stop_token& stop);
  // Looked at again when see() tells more than it had told by `sights_`.
  void postpone(const kube::ObjectKey& key, runtime::Urgency urgency, int sights);
  void claim(const api::RobotTokenRotation& rotation, runtime::ChangeCause cause);
  void wake(const std::vector<kube::ObjectKey>& rotations);
  [[nodiscard]] tenancy::Way way_of(const api::RobotTokenRotation& rotation) const;
  [[nodiscard]] PlanInput look_at(const api::RobotTokenRotation& rotation, base::WallTime now,
                                  const std::vector<target::DesiredSecret>& targets,
                                  bool drifted) const;
  void mark(const api::RobotTokenRotation& rotation, const std::stop_token& stop);
  // Tells why nothing is done.
  void halt(const api::RobotTokenRotation& rotation, Halt::Why why,
            const std::optional<kube::ObjectKey>& owner, const std::stop_token& stop);

  // Changes what is remembered about it, and returns what is then. `change` must not call back.
  Memory remember(const kube::ObjectKey& key, const std::function<void(Memory&)>& change);
  // What a person can change to end a back-off early.
  [[nodiscard]] std::string inputs_of(const api::RobotTokenRotation& rotation) const;
  [[nodiscard]] std::vector<target::DesiredSecret> desired(
      const api::RobotTokenRotation& rotation) const;
  [[nodiscard]] bool targets_current(const api::RobotTokenRotation& rotation,
                                     const std::vector<target::DesiredSecret>& targets) const;
  [[nodiscard]] bool has_former_targets(const api::RobotTokenRotation& rotation,
                                        const std::vector<target::DesiredSecret>& targets) const;

  void work(const api::RobotTokenRotation& rotation, const Work& work, const Memory& memory,
            const std::stop_token& stop);
  // What a list tells of a robot that waits for its adoption: nothing, for most robots. False: not
  // yet; the key comes back.
  bool look_in_list(const api::RobotTokenRotation& rotation,
                    const std::shared_ptr<connection::Session>& session,
                    std::optional<quay::RobotCredential>& listed, const std::stop_token& stop);
  // `memory`: from before the run.
  void finish(const api::RobotTokenRotation& before, DriverResult result, const Work& work,
              RunResult run, const Memory& memory, const std::stop_token& stop);
  // Takes to memory what the run has shown, and says how long to wait should it be repeated.
  base::Duration learn(const api::RobotTokenRotation& before, const DriverResult& result);
  // Writes a status that needed no run, announces it, and waits for `delay`.
  // As report(), but not twice without a pause: two processes that know different things, as when
  // one takes over from another, would write in turns for as long as that lasts.
  void tell(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
            const std::stop_token& stop);
  void report(api::RobotTokenRotation rotation, const StatusUpdate& update,
              const std::stop_token& stop);
  void announce(const api::RobotTokenRotation& rotation, const std::vector<Notice>& notices,
                const std::stop_token& stop);
  // `news`: of the memory from before the look; what came since is not to wait.
  void retry(const api::RobotTokenRotation& rotation, std::uint64_t news, base::Duration delay);
  void rest(const api::RobotTokenRotation& rotation, std::optional<base::WallTime> until);

  ReconcilerParts parts_;
  tenancy::Owners claims_;
  mutable std::mutex mutex_;
  std::unordered_map<kube::ObjectKey, Memory>
      memories_;                                // of those that have something to remember
  std::unordered_map<std::size_t, int> owned_;  // Secrets that name it, by the rotation's hash
  std::map<std::string, Seen> seen_;
  std::map<std::string, std::string> unreadable_;  // namespaces, and why
  int sights_ = 0;                                 // how often see() told more
  bool owners_known_ = false;                      // every namespace is complete
  std::set<kube::ObjectKey> owners_;               // until then: of whose robot it is known
  std::map<kube::ObjectKey, runtime::Urgency> postponed_;
  Departed departed_;
  std::string cluster_;
};

}  // namespace quay_rotator::rotation
