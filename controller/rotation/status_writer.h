// Writes statuses, and a resource's mark: the smallest patch, nothing when nothing changed, always
// with a precondition.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::rotation {

// Thread-safe. What it wrote goes into the cache at once.
class StatusWriter {
 public:
  StatusWriter(kube::Client& client, runtime::Store<api::RobotTokenRotation>& rotations,
               runtime::Store<api::QuayConnection>& connections);

  // Writes only if the resource is still at `rotation`'s resourceVersion; on success `rotation` is
  // what was written. A conflict brings the cache up to date.
  kube::Expected<void> write(api::RobotTokenRotation& rotation,
                             const api::RobotTokenRotationStatus& status,
                             const std::stop_token& stop);
  // As write, but when somebody else has written in between, `decide` is asked again with what is
  // there now; it returns nothing when that is no longer ours to write (a success).
  using Decide = std::function<std::optional<api::RobotTokenRotationStatus>(
      const api::RobotTokenRotation& current)>;
  kube::Expected<void> write(api::RobotTokenRotation& rotation, const Decide& decide,
                             const std::stop_token& stop);
  // Puts tenancy::marking into the annotations, with the same precondition.
  kube::Expected<void> mark(const api::RobotTokenRotation& rotation, const std::string& cluster,
                            base::WallTime now, const std::stop_token& stop);
  kube::Expected<void> write(const api::QuayConnection& connection,
                             const api::QuayConnectionStatus& status, const std::stop_token& stop);

 private:
  kube::Expected<api::RobotTokenRotation> read(const kube::ObjectKey& key,
                                               const std::stop_token& stop);

  kube::Client& client_;
  runtime::Store<api::RobotTokenRotation>& rotations_;
  runtime::Store<api::QuayConnection>& connections_;
};

}  // namespace quay_rotator::rotation
