// When a credential that ends by itself is made anew. Pure.
#pragma once

#include <optional>

#include "api/robot_token_rotation.h"
#include "base/backoff.h"
#include "base/time.h"

namespace quay_rotator::schedule {

// After two thirds of its life, or up to a twelfth of it earlier: that share is the resource's and
// this credential's own, so that what began at once does not stay together. Nothing while no such
// credential is held (api::held).
std::optional<base::WallTime> refresh_time(const api::RobotTokenRotation& rotation);
// It is time, or the credential is of times to come: a clock was wrong, and nobody knows when it
// ends.
bool refresh_due(const api::RobotTokenRotation& rotation, base::WallTime now);
// From when on a refresh that still fails is told as a failure: half of what was left is gone.
std::optional<base::WallTime> refresh_alarm(const api::RobotTokenRotation& rotation);
// How to try again: as `ordinary`, but so that a dozen tries fit into what is left.
base::BackoffPolicy refresh_backoff(const api::RobotTokenRotation& rotation, base::WallTime now,
                                    const base::BackoffPolicy& ordinary);

}  // namespace quay_rotator::schedule
