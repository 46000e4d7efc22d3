// What a run makes of a status of a federated robot. Pure.
//
// Refreshes are 10,000 an hour: neither the history nor an Event tells of one. The first is told,
// and so is one that fails for long.
#pragma once

#include <string_view>

#include "api/robot_token_rotation.h"
#include "credential/outcome.h"
#include "rotation/status/after_run.h"
#include "rotation/status/draft.h"

namespace quay_rotator::rotation {

// Every target holds the new credential.
void refreshed(Draft& draft, const api::RobotTokenRotation& before,
               const credential::Outcome& outcome, const Circumstances& run);
// There is none. While the one that the targets hold is good for long this is only tried again;
// then, and where they hold none, the resource is not ready, and an Event tells it once.
void not_refreshed(Draft& draft, const api::RobotTokenRotation& before, std::string_view reason,
                   std::string_view message);

}  // namespace quay_rotator::rotation
