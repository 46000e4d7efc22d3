#include "credential/adopt.h"

#include <utility>

namespace quay_rotator::credential {

Step Adopting::resume(Answer answer) {
  switch (phase_) {
    case Phase::read:
      if (auto* failed = std::get_if<QuayFailed>(&answer)) {
        Outcome outcome;
        outcome.end = Outcome::End::quay_failed;
        outcome.quay_error = std::move(failed->error);
        return outcome;
      }
      if (!std::get<RobotRead>(answer).listed)
        return on_read(std::get<RobotRead>(answer).fingerprint);
      // Without logins nothing can tell whether it is the robot's token still.
      if (!input_.verify) return begin();
      token_ = std::get<RobotRead>(answer).fingerprint;
      return ask(Phase::judge_listed, LogIn{});

    case Phase::judge_listed:
      if (!std::holds_alternative<LoggedIn>(answer)) return ask(Phase::read, ReadRobot{});
      accepted_ = true;
      return on_read(token_);

    case Phase::judge_restored:
      // A robot has one token that is alive: when the registry accepts this one it is that.
      if (!std::holds_alternative<LoggedIn>(answer)) return stale_read();
      accepted_ = true;
      return restored();
  }
  return stale_read();  // not reached
}

Step Adopting::on_read(base::Fingerprint fingerprint) {
  token_ = fingerprint;
  Known& known = input_.known;
  if (known.is_older(token_)) {
    if (!known.persists(token_)) return stale_read();
    return input_.verify ? ask(Phase::judge_restored, LogIn{}) : restored();
  }
  const bool foreign = known.token && known.token != token_;
  if (foreign) known.supersede(*known.token);
  Obtained result = obtained();
  result.foreign = foreign;
  return result;
}

Step Adopting::ask(Phase phase, Ask ask) {
  phase_ = phase;
  return ask;
}

Outcome Adopting::stale_read() const {
  Outcome outcome;
  outcome.end = Outcome::End::stale_read;
  outcome.stale = token_;
  outcome.fingerprint = input_.known.token;
  return outcome;
}

Step Adopting::restored() {
  input_.known.believe(token_);
  Obtained result = obtained();
  result.foreign = true;
  return result;
}

Obtained Adopting::obtained() const {
  Obtained result;
  result.token = token_;
  result.accepted = accepted_;
  result.known = input_.known;
  if (input_.ledger_unreadable && input_.ledger_seen_for < input_.known.hold) {
    result.hold_left = input_.known.hold - input_.ledger_seen_for;
  }
  return result;
}

}  // namespace quay_rotator::credential
