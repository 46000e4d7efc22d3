// What a run that did not reach its end makes of a status. after_run() says which it was, and when
// it is tried again.
//
// Guarantees: what the Secrets are worth is told as known only where this run has shown it; a
// reason is a quay::reason, a target::Problem's, or one of RotationUnclear, CannotBegin,
// PublishFailed and StaleRead. Pure.
#pragma once

#include "credential/outcome.h"
#include "rotation/status/after_run.h"
#include "rotation/status/draft.h"

namespace quay_rotator::rotation {

void stale(Draft& draft, const credential::Outcome& outcome, const Circumstances& run);
void preflight_refused(Draft& draft, const credential::Outcome& outcome);
void quay_failed(Draft& draft, const credential::Outcome& outcome, const Circumstances& run);
void unclear(Draft& draft, const credential::Outcome& outcome, const Circumstances& run);
void started_over(Draft& draft, const Circumstances& run);
void unpublished(Draft& draft, const credential::Outcome& outcome, const Circumstances& run);

}  // namespace quay_rotator::rotation
