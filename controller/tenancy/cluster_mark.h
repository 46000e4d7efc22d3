// Promise I9: a RobotTokenRotation is looked after by one cluster, and its life begins once.
//
// Two annotations say so, because backups keep annotations and lose statuses: which cluster it is
// (written before anything is regenerated), and that the beginning is over: the token has been
// adopted and, where the spec asks for that, rotated. Both are the operator's; whoever may edit the
// resource may remove them. Pure.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "api/robot_token_rotation.h"
#include "base/time.h"

namespace quay_rotator::tenancy {

enum class Mark { none, ours, foreign };

// `cluster` is what identifies this one; never "".
Mark mark_of(const api::RobotTokenRotation& rotation, std::string_view cluster);

// spec.initial Rotate has still to be done.
bool initial_rotation_pending(const api::RobotTokenRotation& rotation);
// It had a life before, of which the status knows nothing: restored from a backup. What was asked
// of it then is not done again.
bool restored_without_status(const api::RobotTokenRotation& rotation);
// The rotate request that is still to be served, or "".
std::string open_request(const api::RobotTokenRotation& rotation);

// A merge patch of the metadata, with the resource's version as its precondition; an empty object
// when nothing is to be written. `now` is when the beginning was over, if it is.
nlohmann::json marking(const api::RobotTokenRotation& rotation, const std::string& cluster,
                       base::WallTime now);
// The beginning is over, by the status.
bool beginning_is_over(const api::RobotTokenRotation& rotation);

}  // namespace quay_rotator::tenancy
