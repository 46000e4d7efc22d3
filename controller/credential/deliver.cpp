#include "credential/deliver.h"

#include <utility>

namespace quay_rotator::credential {

namespace {

using Verified = Outcome::Verified;

// Somebody may rotate while we verify, and again while we publish that; no more than this often.
constexpr int most_republished = 3;

}  // namespace

Delivering::Delivering(Obtained obtained, DeliverInput input)
    : input_(input), obtained_(std::move(obtained)) {
  outcome_.fingerprint = obtained_.token;
  outcome_.regenerated = obtained_.made;
  if (obtained_.made) outcome_.made = obtained_.token;
  outcome_.foreign = obtained_.foreign;
  outcome_.expires = obtained_.expires;
  outcome_.ledger = std::move(obtained_.ledger);
}

Delivering::Step Delivering::resume(Answer answer) {
  switch (phase_) {
    case Phase::publish:
      outcome_.problems = std::move(std::get<TargetsAnswered>(answer).problems);
      if (outcome_.problems.empty()) return verify();
      outcome_.end = Outcome::End::unpublished;
      return std::move(outcome_);

    case Phase::verify:
      if (std::holds_alternative<LoggedIn>(answer)) return done(Verified::good);
      return on_login_failed(std::move(std::get<QuayFailed>(answer).error));

    case Phase::read_after_refusal:
      return on_read_after_refusal(answer);

    case Phase::leave_federation:
      if (auto* failed = std::get_if<QuayFailed>(&answer)) {
        outcome_.leave_error = std::move(failed->error);
      } else {
        outcome_.left_federation = true;
      }
      return end();
  }
  return std::move(outcome_);  // not reached
}

Delivering::Step Delivering::verify() {
  if (obtained_.accepted) return done(Verified::good);
  if (!input_.verify || input_.trusted || input_.verified == obtained_.token) {
    return done(Verified::not_done);
  }
  return ask(Phase::verify, LogIn{});
}

Delivering::Step Delivering::on_login_failed(quay::Error error) {
  using Kind = quay::Error::Kind;
  const Kind kind = error.kind;
  outcome_.verify_error = std::move(error);
  switch (kind) {
    case Kind::login_refused:
    case Kind::robot_unknown_to_registry:
      // That is no token of the robot's own, which Quay would tell.
      if (obtained_.expires) return done(Verified::refused);
      // Perhaps somebody rotated since we read: only Quay's own answer tells.
      return ask(Phase::read_after_refusal, ReadRobot{});
    case Kind::robots_disallowed:
    case Kind::robot_owner_disabled:
    case Kind::realm_refused:
      return done(Verified::refused);
    default:
      return done(Verified::unknown);
  }
}

Delivering::Step Delivering::on_read_after_refusal(const Answer& answer) {
  const auto* read = std::get_if<RobotRead>(&answer);
  if (read == nullptr) return done(Verified::unknown);
  if (obtained_.known.is_older(read->fingerprint)) {
    // The registry's answer may be as old as Quay's: neither is worth what is known for certain.
    outcome_.stale = read->fingerprint;
    return done(Verified::unknown);
  }
  if (read->fingerprint == obtained_.token || republished_ == most_republished) {
    return done(Verified::refused);
  }
  ++republished_;
  obtained_.known.supersede(obtained_.token);
  obtained_.token = read->fingerprint;
  obtained_.accepted = false;
  outcome_.fingerprint = obtained_.token;
  outcome_.foreign = true;
  outcome_.verify_error.reset();
  return ask(Phase::publish, Publish{});
}

Delivering::Step Delivering::ask(Phase phase, Ask ask) {
  phase_ = phase;
  return ask;
}

Delivering::Step Delivering::done(Verified verified) {
  outcome_.verified = verified;
  // What holds the federation's credential no more needs no federation.
  return input_.leave_federation ? ask(Phase::leave_federation, LeaveFederation{}) : end();
}

Delivering::Step Delivering::end() {
  outcome_.end = Outcome::End::done;
  outcome_.clear_ledger = outcome_.ledger.has_value();
  outcome_.watch = obtained_.watch;
  outcome_.hold_left = obtained_.hold_left;
  return std::move(outcome_);
}

}  // namespace quay_rotator::credential
