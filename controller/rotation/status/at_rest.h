// What the status of a resource says for which nothing is to be done. Pure.
#pragma once

#include <optional>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "connection/findings.h"
#include "rotation/status/update.h"

namespace quay_rotator::rotation {

// Nothing is due and the Secrets are as the status says; `known` is what the last look at the
// connection learnt. Without trouble only what derives from the spec moves (next rotation, observed
// generation).
StatusUpdate at_rest(const api::RobotTokenRotation& rotation,
                     const std::optional<connection::Findings::Known>& known, base::WallTime now);
// What a wrong clock has dated to times to come is dated to now, so that rotations go on from here.
StatusUpdate dated_anew(const api::RobotTokenRotation& rotation, base::WallTime now);

}  // namespace quay_rotator::rotation
