#include "credential/regenerate.h"

#include <algorithm>
#include <utility>

namespace quay_rotator::credential {

namespace {

using End = Outcome::End;

RegenerateInput with_hold(RegenerateInput input) {
  const base::Duration written = input.ledger ? input.ledger->request_deadline : base::Duration{};
  if (input.purpose == Purpose::retire) input.verify = false;
  input.known.hold = std::max(input.known.hold, 2 * std::max(input.request_deadline, written));
  return input;
}

// The token of before the ledger's POST is no stale read: it means that nothing has happened yet.
AdoptInput observation(const RegenerateInput& input) {
  AdoptInput observe;
  observe.known = input.known;
  observe.verify = input.verify;
  if (input.ledger) observe.known.believe(input.ledger->previous);
  return observe;
}

}  // namespace

Regenerating::Regenerating(RegenerateInput input)
    : input_(with_hold(std::move(input))), observing_(observation(input_)) {
  outcome_.ledger = input_.ledger;
}

Step Regenerating::resume(Answer answer) {
  switch (phase_) {
    case Phase::observe:
      return on_observed(observing_.resume(std::move(answer)));

    case Phase::judge_previous: {
      if (login_refused(answer) && !input_.known.persists(current_)) return stale_read(current_);
      Obtained result;
      result.token = current_;
      result.accepted = std::holds_alternative<LoggedIn>(answer);
      return obtained(std::move(result));
    }

    case Phase::preflight_targets:
      outcome_.problems = std::move(std::get<TargetsAnswered>(answer).problems);
      if (!outcome_.problems.empty()) return refuse_preflight();
      if (!input_.verify) return write_ledger();
      if (input_.purpose == Purpose::turn) return ask(Phase::preflight_login, LogInAsActive{});
      return ask(Phase::preflight_login, LogIn{});

    case Phase::preflight_login:
      if (std::holds_alternative<LoggedIn>(answer)) return write_ledger();
      // The token of before a POST, and dead: it is Quay's answer that is old.
      if (input_.purpose == Purpose::rotate && input_.ledger && login_refused(answer) &&
          !input_.known.persists(current_)) {
        return stale_read(current_);
      }
      outcome_.preflight_error = std::move(std::get<QuayFailed>(answer).error);
      return refuse_preflight();

    case Phase::ledger:
      if (auto* failed = std::get_if<KubeFailed>(&answer)) {
        const bool conflict = failed->error.kind == kube::Error::Kind::conflict;
        outcome_.kube_error = std::move(failed->error);
        outcome_.ledger = input_.ledger;
        return over(conflict ? End::start_over : End::api_server);
      }
      return ask(Phase::regenerate, Regenerate{});

    case Phase::regenerate:
      return on_regenerated(std::move(answer));

    case Phase::read_back:
      return on_read_back(answer);
  }
  return over(End::unclear);  // not reached
}

Step Regenerating::on_observed(Step step) {
  if (auto* ended = std::get_if<Outcome>(&step)) ended->ledger = input_.ledger;
  auto* found = std::get_if<Obtained>(&step);
  if (found == nullptr) return step;

  current_ = found->token;
  outcome_.fingerprint = current_;
  if (input_.ledger && current_ == input_.ledger->previous) return on_previous();
  const bool restored = input_.known.is_older(current_);
  if (input_.ledger && !restored) return made(current_);
  input_.known = std::move(found->known);
  // A token that somebody else made reaches the Secrets before anything destructive is done, where
  // they hold that robot's.
  if (found->foreign && input_.purpose == Purpose::rotate) return obtained(std::move(*found));
  return preflight();
}

Step Regenerating::preflight() {
  if (input_.purpose == Purpose::retire) return write_ledger();
  return ask(Phase::preflight_targets, DryRunTargets{});
}

// The regeneration has not happened yet. That token still works, so there is no hurry.
Step Regenerating::on_previous() {
  if (input_.ledger_seen_for < input_.known.hold) {
    outcome_.hold_left = input_.known.hold - input_.ledger_seen_for;
    return over(End::unclear);
  }
  if (input_.may_regenerate) return preflight();
  if (input_.verify && input_.purpose == Purpose::rotate) {
    return ask(Phase::judge_previous, LogIn{});
  }
  Obtained result;
  result.token = current_;
  return obtained(std::move(result));
}

Step Regenerating::on_regenerated(Answer answer) {
  if (const auto* fresh = std::get_if<Regenerated>(&answer)) return made(fresh->fingerprint);
  if (std::holds_alternative<LedgerTooOld>(answer)) return over(End::start_over);
  outcome_.quay_error = std::move(std::get<QuayFailed>(answer).error);
  if (!outcome_.quay_error->maybe_changed) {
    outcome_.clear_ledger = true;
    return over(End::quay_failed);
  }
  return ask(Phase::read_back, ReadRobot{});
}

Step Regenerating::on_read_back(const Answer& answer) {
  if (const auto* read = std::get_if<RobotRead>(&answer)) {
    if (input_.known.is_older(read->fingerprint)) return stale_read(read->fingerprint);
    if (read->fingerprint != outcome_.ledger->previous) return made(read->fingerprint);
    outcome_.hold_left = input_.known.hold;
  }
  return over(End::unclear);
}

Step Regenerating::ask(Phase phase, Ask ask) {
  phase_ = phase;
  return ask;
}

Step Regenerating::write_ledger() {
  api::Ledger ledger;
  if (input_.ledger) {
    ledger = *input_.ledger;
    ++ledger.attempt;
  } else {
    ledger.id = input_.id;
    ledger.reason = input_.reason;
    ledger.rotate_request = input_.rotate_request;
  }
  ledger.previous = current_;
  ledger.request_deadline = std::max(ledger.request_deadline, input_.request_deadline);
  outcome_.ledger = ledger;
  return ask(Phase::ledger, WriteLedger{std::move(ledger)});
}

Step Regenerating::made(base::Fingerprint fingerprint) {
  input_.known.supersede(outcome_.ledger->previous);
  Obtained result;
  result.token = fingerprint;
  result.made = true;
  return obtained(std::move(result));
}

Step Regenerating::obtained(Obtained result) {
  input_.known.believe(result.token);
  result.known = std::move(input_.known);
  result.ledger = std::move(outcome_.ledger);
  // Those are the POSTs that nobody has seen the end of.
  const bool given_up = input_.ledger && !result.made;
  if (given_up || (result.ledger && result.ledger->attempt > 1)) result.watch = result.known.hold;
  if (input_.purpose == Purpose::rotate || (input_.purpose == Purpose::turn && result.made)) {
    return result;
  }
  Outcome over;
  over.end = End::retired;
  over.regenerated = result.made;
  over.clear_ledger = true;
  over.fingerprint = result.token;
  if (result.made) over.made = result.token;
  over.ledger = std::move(result.ledger);
  over.watch = result.watch;
  return over;
}

Step Regenerating::refuse_preflight() {
  // With a ledger we are here only after the hold: it did not happen and will not.
  outcome_.clear_ledger = input_.ledger.has_value();
  return over(End::preflight_refused);
}

Step Regenerating::stale_read(base::Fingerprint fingerprint) {
  outcome_.stale = fingerprint;
  outcome_.fingerprint = input_.known.token;
  return over(End::stale_read);
}

Step Regenerating::over(End end) {
  outcome_.end = end;
  // One that was given up may still be carried out.
  if (outcome_.clear_ledger && input_.ledger) outcome_.watch = input_.known.hold;
  return std::move(outcome_);
}

}  // namespace quay_rotator::credential
