#include "rotation/status/after_run.h"

#include "quay/error.h"
#include "rotation/status/draft.h"
#include "rotation/status/failure.h"
#include "rotation/status/refresh.h"
#include "rotation/status/retired.h"
#include "rotation/status/success.h"

namespace quay_rotator::rotation {

using credential::Outcome;
using End = Outcome::End;
using Verified = Outcome::Verified;

namespace {

// Quay says that this resource may not read the robot (any more).
bool refuses_to_read(const Outcome& outcome) {
  return outcome.end == End::quay_failed && !outcome.clear_ledger && !outcome.standby &&
         quay::refuses_access(outcome.quay_error->kind);
}

}  // namespace

bool needs_retry(const Outcome& outcome) {
  const bool good = outcome.end == End::done || outcome.end == End::retired;
  return !good || outcome.robots_differ() || outcome.compare_error ||
         outcome.verified == Verified::refused || outcome.verified == Verified::unknown ||
         outcome.hold_left || outcome.leave_error;
}

StatusUpdate after_run(const api::RobotTokenRotation& rotation, const Outcome& outcome,
                       const Circumstances& run) {
  Draft draft(rotation, run.now);
  if (!outcome.robot.empty() && !outcome.standby) draft.name_active(outcome.robot);
  draft.status().targets.total = run.targets_total;
  draft.status().conditions.remove("Conflict");
  const bool read = (!outcome.robot.empty() && !outcome.standby) || outcome.compared;
  const bool refused = !read && refuses_to_read(outcome);
  draft.claim(read      ? Draft::Claim::read
              : refused ? Draft::Claim::refused
                        : Draft::Claim::unknown,
              run.way, run.alias);
  if (outcome.compared) draft.compared(*outcome.compared);
  if (outcome.clear_ledger) draft.status().rotation.reset();
  switch (outcome.end) {
    case End::done:
      done(draft, rotation, outcome, run);
      return draft.take();
    case End::retired:
      retired(draft, outcome, run);
      return draft.take();
    case End::preflight_refused:
      preflight_refused(draft, outcome);
      break;
    case End::quay_failed:
      if (run.federates) {
        const quay::Error& error = *outcome.quay_error;
        not_refreshed(draft, rotation, quay::reason(error.kind), error.message);
      } else {
        quay_failed(draft, outcome, run);
      }
      break;
    case End::no_identity:
      not_refreshed(draft, rotation, outcome.refusal->reason, outcome.refusal->message);
      break;
    case End::unclear:
      unclear(draft, outcome, run);
      break;
    case End::unpublished:
      unpublished(draft, outcome, run);
      break;
    case End::stale_read:
      stale(draft, outcome, run);
      break;
    case End::start_over:
      started_over(draft, run);
      break;
    case End::api_server:
      break;  // nothing is known that the status does not say
  }
  if (draft.status().unreadable) draft.unreadable();
  draft.fail(run.retry_delay);
  return draft.take();
}

}  // namespace quay_rotator::rotation
