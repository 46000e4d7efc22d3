// What is told when a token that no target holds has been made anew, to nowhere: the one before it
// is dead. Pure.
#pragma once

#include "credential/outcome.h"
#include "rotation/status/after_run.h"
#include "rotation/status/draft.h"

namespace quay_rotator::rotation {

// Of Outcome::End::retired: also when nothing was made, since its ledger was given up.
void retired(Draft& draft, const credential::Outcome& outcome, const Circumstances& run);

}  // namespace quay_rotator::rotation
