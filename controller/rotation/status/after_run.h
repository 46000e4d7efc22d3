// What a run makes of a status. Pure.
#pragma once

#include <optional>
#include <string>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "credential/outcome.h"
#include "rotation/status/update.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// What is known of a run beside its outcome.
struct Circumstances {
  int targets_total = 0;
  bool targets_current = true;  // by the cache, with the token of the status
  bool rotates = false;         // a new token was to be made, or one may have been
  std::string healed;           // what was wrong with a target although nothing had rotated, or ""
  base::WallTime now{};
  base::Duration retry_delay{};  // what the queue will wait before it tries again
  int start_overs = 0;           // in a row
  bool watched = false;          // an earlier POST might still be carried out
  bool federates = false;        // a credential of a federation was to be made
  std::string rotate_request;    // that it serves
  // The way by which Quay was asked, and what it calls itself (tenancy::alias_of), if that was to
  // be learned.
  tenancy::Way way;
  std::optional<std::string> alias;
};

// A run that must be repeated: it failed, or the new token could not be verified.
bool needs_retry(const credential::Outcome& outcome);

// Guarantees: a run that needs_retry() is counted in consecutiveFailures with its retryAfter; every
// other one sets both back. A ledger goes only where the outcome says so.
StatusUpdate after_run(const api::RobotTokenRotation& rotation, const credential::Outcome& outcome,
                       const Circumstances& run);

}  // namespace quay_rotator::rotation
