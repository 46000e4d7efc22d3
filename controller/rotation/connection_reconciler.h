// Keeps a QuayConnection's Ready condition true to what Quay says, and reads drift: one list call
// for each organization and drift interval tells the tokens of all its robots.
#pragma once

#include <functional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "rotation/quay_session.h"
#include "rotation/status_writer.h"
#include "runtime/store.h"
#include "runtime/work_queue.h"

namespace quay_rotator::rotation {

struct ConnectionReconcilerParts {
  runtime::Store<api::QuayConnection>& connections;
  runtime::Store<api::RobotTokenRotation>& rotations;
  runtime::WorkQueue& queue;  // of its own
  QuaySessions& sessions;
  StatusWriter& status;
  base::Executor& executor;
  base::Log log;
  base::Duration drift_interval;
  std::function<void(const kube::ObjectKey& rotation)> on_drift;
};

// Thread-safe for different keys. A connection that was Ready before the process started is looked
// at within one drift interval, not at once: a restart asks Quay nothing.
class ConnectionReconciler {
 public:
  // Adds its listener to the store: make it before the reflectors start.
  explicit ConnectionReconciler(ConnectionReconcilerParts parts);
  void reconcile(const kube::ObjectKey& key, const std::stop_token& stop);

 private:
  // What was found out about a connection: its Ready condition.
  struct Finding {
    bool ready = true;
    std::string reason;
    std::string message;
  };
  // One that may drift.
  struct Robot {
    kube::ObjectKey rotation;
    std::string name;  // full
    base::Fingerprint token;
  };
  Finding examine(const api::QuayConnection& connection, const std::stop_token& stop);
  quay::Expected<void> read_organization(QuaySession& session, const std::string& organization,
                                         const std::vector<Robot>& robots,
                                         const std::stop_token& stop);

  ConnectionReconcilerParts parts_;
};

}  // namespace quay_rotator::rotation
