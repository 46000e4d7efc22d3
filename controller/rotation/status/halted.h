// What the status of a resource says that is not looked after at all, until a person ends that.
// Pure.
//
// Guarantees: what is not looked at any more is no longer told as known; nothing is next; an Event
// is made when it begins, and not again.
#pragma once

#include <string>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "kube/object.h"
#include "rotation/status/update.h"

namespace quay_rotator::rotation {

StatusUpdate in_conflict(const api::RobotTokenRotation& rotation, const kube::ObjectKey& owner,
                         base::WallTime now);
StatusUpdate of_another_cluster(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate suspended(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate invalid(const api::RobotTokenRotation& rotation, base::WallTime now);
// `keys`: what the administrator does not allow a target to have; not empty.
StatusUpdate metadata_not_allowed(const api::RobotTokenRotation& rotation,
                                  const std::vector<std::string>& keys, base::WallTime now);

}  // namespace quay_rotator::rotation
