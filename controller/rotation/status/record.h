// What a status keeps of rotations: the ledger of the one under way, and the tokens of those
// before. Pure.
#pragma once

#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"

namespace quay_rotator::rotation {

// The status that is written together with a ledger, before Quay is asked to regenerate.
api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, base::WallTime now);

// The status that is written before that entry is put into the robot's federation.
api::RobotTokenRotationStatus with_federation(const api::RobotTokenRotation& rotation,
                                              const api::Federation& entry);

// The robot's own tokens that were current before the status's, as far as the history goes.
std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status);

}  // namespace quay_rotator::rotation
