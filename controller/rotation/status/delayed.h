// What the status of a resource says that cannot be looked after for now, and is tried again by
// itself. Pure.
//
// Guarantees: what the Secrets were worth is told as unknown where Quay cannot be asked, and as it
// was where nothing is known of it.
#pragma once

#include <string>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "connection/session.h"
#include "rotation/status/update.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// Its namespace cannot be read, for the reason `why`.
StatusUpdate namespace_unreadable(const api::RobotTokenRotation& rotation, const std::string& why,
                                  base::WallTime now);
// What is to be done waits: in a namespace that cannot be read an older resource may own the robot.
StatusUpdate owners_unknown(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate without_connection(const api::RobotTokenRotation& rotation, const tenancy::Way& way,
                                const connection::Problem& problem, base::WallTime now,
                                base::Duration retry_delay);
// The look ended with an exception of that type.
StatusUpdate internal_error(const api::RobotTokenRotation& rotation, const std::string& exception,
                            base::WallTime now, base::Duration retry_delay);

}  // namespace quay_rotator::rotation
