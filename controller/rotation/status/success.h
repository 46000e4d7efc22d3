// What a run makes of a status that has brought the token into every target.
//
// Guarantees: the fingerprint of the status is the one that every target holds; each token that was
// current enters the history; what has happened to it is announced once, and a foreign one as such.
// Ready only where the registry has not refused the token and no unreadable ledger is held. Pure.
#pragma once

#include "api/robot_token_rotation.h"
#include "credential/outcome.h"
#include "rotation/status/after_run.h"
#include "rotation/status/draft.h"

namespace quay_rotator::rotation {

// `rotation` is as it was before.
void done(Draft& draft, const api::RobotTokenRotation& rotation, const credential::Outcome& outcome,
          const Circumstances& run);

}  // namespace quay_rotator::rotation
