// Keeps a QuayConnection's Ready condition true to what Quay says, and reads drift: one list call
// for each organization and drift interval tells the tokens of all its robots.
//
// The connection's condition speaks of the connection. What concerns one organization stands on the
// resources that name it, through Findings; so does what ails the whole connection.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "connection/findings.h"
#include "connection/newcomers.h"
#include "connection/session.h"
#include "runtime/lane.h"
#include "runtime/metrics.h"
#include "runtime/status_writer.h"
#include "runtime/store.h"
#include "runtime/work_queue.h"

namespace quay_rotator::connection {

struct ReconcilerParts {
  runtime::Store<api::QuayConnection>& connections;
  runtime::Store<api::RobotTokenRotation>& rotations;
  runtime::WorkQueue& queue;  // of its own
  runtime::Lanes& lanes;
  Sessions& sessions;
  runtime::StatusWriter<api::QuayConnection>& status;
  Findings& findings;
  Newcomers& newcomers;
  runtime::Metrics& metrics;
  base::Executor& executor;
  base::Log log;
  base::Duration drift_interval;
  // `listed`: the token that the list shows; nothing: no such robot.
  std::function<void(const kube::ObjectKey& rotation, std::optional<base::Fingerprint> listed)>
      on_drift;
  // Of a resource that another cluster looks after nothing is read.
  std::function<bool(const api::RobotTokenRotation& rotation)> looked_after;
  // Quay refuses to tell, and will not without somebody's doing.
  std::function<void(const kube::ObjectKey& rotation)> on_refusal;
  // There is something new in `findings` for it.
  std::function<void(const kube::ObjectKey& rotation)> on_news;
};

// Thread-safe for different keys. A connection that was Ready before the process started is looked
// at within one drift interval, not at once: a restart asks Quay nothing.
class Reconciler {
 public:
  // Adds its listener to the store: make it before the reflectors start.
  explicit Reconciler(ReconcilerParts parts);
  runtime::Next reconcile(const kube::ObjectKey& key, const std::stop_token& stop);
  // The last look ended with an exception of that type: told.
  runtime::Next failed(const kube::ObjectKey& key, const std::string& exception);

 private:
  // What was found out about a connection: nothing is wrong with it, or what is.
  using Finding = std::optional<Trouble>;
  // One that may drift.
  struct Robot {
    kube::ObjectKey rotation;
    std::string name;  // full
    base::Fingerprint token;
  };
  using Robots = std::vector<Robot>;  // of one organization
  void on_connection(const runtime::Store<api::QuayConnection>::Pointer& before,
                     const runtime::Store<api::QuayConnection>::Pointer& after,
                     runtime::ChangeCause cause);
  // By organization, all that somebody names.
  [[nodiscard]] std::map<std::string, Robots> robots_of(const kube::ObjectKey& connection) const;
  Finding examine(const kube::ObjectKey& connection,
                  const std::map<std::string, Robots>& organizations, const std::stop_token& stop);
  Finding read_all(const kube::ObjectKey& connection, const std::shared_ptr<Session>& session,
                   const std::map<std::string, Robots>& organizations,
                   Findings::Organizations& found, const std::stop_token& stop);
  void tell(const kube::ObjectKey& connection, Findings::Organizations found);
  // `seeker` may be null.
  quay::Expected<void> read_organization(Session& session, const std::string& organization,
                                         const Robots& robots, quay::TokenSeeker* seeker,
                                         const std::stop_token& stop);

  ReconcilerParts parts_;
};

}  // namespace quay_rotator::connection
