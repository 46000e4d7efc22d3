// Has Quay make a new token, at most one for a ledger. Nothing else may ask to regenerate.
//
// The order for a rotation is: read the robot, dry-run every target, log in with the current token,
// write the ledger, regenerate once; then the token is delivered. A ledger that is found (after a
// crash, a lost answer, a change of leader) starts at reading the robot: a new fingerprint means
// that the regeneration happened; the ledger's own, that it has not happened yet. A token that
// somebody else made is delivered before anything destructive is done.
//
// Guarantees: Regenerate is asked for only under a ledger that was written in this run, after a dry
// run that no target refused, and (with `verify`) a login with the current token; never again for a
// ledger before the hold is over.
// Assumptions: the driver answers each Ask with one of its answers, and LedgerTooOld rather than to
// send the POST late.
// Errors: Outcome with any End but done and unpublished (retired is none); `clear_ledger` says
// whether the ledger has served.
#pragma once

#include <optional>
#include <string>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "credential/adopt.h"
#include "credential/step.h"

namespace quay_rotator::credential {

// What for.
enum class Purpose {
  rotate,  // the robot's token is in the targets, and its successor follows it
  turn,    // another robot's is: it is replaced by this one's
  retire,  // another credential is in the targets, and this robot's token is to be dead: the new
           // one goes nowhere, so that no target and no login is tried
};

struct RegenerateInput {
  Purpose purpose = Purpose::rotate;
  // Its hold is prolonged to twice the deadline of a POST, also of that of whoever wrote the
  // ledger.
  Known known;
  bool verify = true;  // verify.level Login
  // For a new ledger.
  std::string id;
  api::RotationReason reason = api::RotationReason::interval;
  std::string rotate_request;         // what it serves
  base::Duration request_deadline{};  // of one POST: goes into the ledger
  // Or the one that is there: find out whether it happened, then finish it.
  std::optional<api::Ledger> ledger;
  // Since this process first saw it, on its own monotonic clock.
  base::Duration ledger_seen_for{};
  // False while suspended or in conflict: a ledger is settled, but nothing new is regenerated.
  bool may_regenerate = true;
};

// A value; not synchronized.
class Regenerating {
 public:
  explicit Regenerating(RegenerateInput input);
  [[nodiscard]] Step begin() const { return observing_.begin(); }
  Step resume(Answer answer);

 private:
  enum class Phase {
    observe,
    judge_previous,
    preflight_targets,
    preflight_login,
    ledger,
    regenerate,
    read_back,
  };
  Step on_observed(Step step);
  Step on_previous();
  Step preflight();
  Step on_regenerated(Answer answer);
  Step on_read_back(const Answer& answer);
  Step ask(Phase phase, Ask ask);
  Step write_ledger();
  Step made(base::Fingerprint fingerprint);
  Step obtained(Obtained result);
  Step refuse_preflight();
  Step stale_read(base::Fingerprint fingerprint);
  Step over(Outcome::End end);

  RegenerateInput input_;
  Adopting observing_;
  Phase phase_ = Phase::observe;
  base::Fingerprint current_{};
  Outcome outcome_;  // should it end without a token to deliver
};

}  // namespace quay_rotator::credential
