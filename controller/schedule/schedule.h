// When a rotation is due, and why. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "api/robot_token_rotation.h"
#include "base/time.h"

namespace quay_rotator::schedule {

// A fixed share of `jitter` for this resource and this turn: the same in every process, spread
// evenly over resources. In [0, jitter].
base::Duration spread(std::string_view uid, base::WallTime turn, base::Duration jitter);

// base + interval + spread, where base is the later of lastRotationTime and the active robot's
// knownSince (a token regenerated in Quay's UI is as fresh as one of ours). Nothing while neither
// is known. Changing the interval therefore reschedules from the last rotation.
std::optional<base::WallTime> next_rotation(const api::RobotTokenRotation& rotation);

// next_rotation, but a time missed before `leading_since` is spread anew from there, so that a
// restart after a long night does not rotate everything in one second.
std::optional<base::WallTime> due_time(const api::RobotTokenRotation& rotation,
                                       base::WallTime leading_since);

// Why to rotate at `now`, if there is a reason: it is the first, it was asked for, or it is due (at
// due_time). What forbids it is not looked at.
std::optional<api::RotationReason> reason(const api::RobotTokenRotation& rotation,
                                          std::optional<base::WallTime> due, base::WallTime now);

// The replaced token dies when its overlap is over, not with the next turn.
bool retires(const api::Alternate& alternate);
// When the token that was replaced, of Alternate's standby, is to be retired; nothing: the next
// turn sees to that, it is kept, or there is none.
std::optional<base::WallTime> retirement(const api::RobotTokenRotation& rotation);

// What status.next tells. What has failed and is due before its retry waits for that; so does what
// is wanted whatever the interval says, or under way.
std::optional<api::Next> next(const api::RobotTokenRotation& rotation);

// A clock was wrong once: the status speaks of a rotation that is more than an interval after
// `now`, so that the next one may be due in years. (By less, the next one is late by less than an
// interval, and nothing here can tell whose clock is wrong: dating it to `now` might be what makes
// it early.)
bool is_of_the_future(const api::RobotTokenRotation& rotation, base::WallTime now);
// Sets what lies after `now` to it.
void clamp_to_now(api::RobotTokenRotationStatus& status, base::WallTime now);

}  // namespace quay_rotator::schedule
