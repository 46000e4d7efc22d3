// What a status keeps of rotations: the ledger of the one under way, and the tokens of those
// before. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"

namespace quay_rotator::rotation {

// The status that is written together with a ledger, before Quay is asked to regenerate the token
// of `robot` (its full name).
api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, const std::string& robot,
                                          base::WallTime now);

// The status that is written before that entry is put into the robot's federation.
api::RobotTokenRotationStatus with_federation(const api::RobotTokenRotation& rotation,
                                              const api::Federation& entry);

// Of the robot with that short name: which token of its own it has, by the status, and those that
// were current before, as far as the history goes.
std::optional<base::Fingerprint> known_token(const api::RobotTokenRotationStatus& status,
                                             std::string_view robot);
std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status,
                                          std::string_view robot);

}  // namespace quay_rotator::rotation
