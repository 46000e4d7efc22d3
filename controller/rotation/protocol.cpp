#include "rotation/protocol.h"

#include <algorithm>
#include <utility>

namespace quay_rotator::rotation {

namespace {

// Somebody may rotate while we verify, and again while we publish that; no more than this often.
constexpr int most_republished = 3;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

// The registry does not know that password: of a token that Quay has just told, a riddle.
bool refused(const Outcome& login) {
  const auto* failed = std::get_if<QuayFailed>(&login);
  return failed != nullptr && failed->error.kind == quay::Error::Kind::login_refused;
}

}  // namespace

std::string_view name(const Action& action) {
  return std::visit(Overloaded{
                        [](const ReadRobot&) { return "read-robot"; },
                        [](const DryRunTargets&) { return "dry-run"; },
                        [](const LogIn&) { return "login"; },
                        [](const WriteLedger&) { return "ledger"; },
                        [](const Regenerate&) { return "regenerate"; },
                        [](const Publish&) { return "publish"; },
                        [](const Finish&) { return "finish"; },
                    },
                    action);
}

Protocol::Protocol(ProtocolInput input) : input_(std::move(input)) {
  report_.ledger = input_.ledger;
  const base::Duration written = input_.ledger ? input_.ledger->request_deadline : base::Duration{};
  input_.hold = std::max(input_.hold, 2 * std::max(input_.request_deadline, written));
}

void Protocol::advance(Outcome outcome) {
  switch (phase_) {
    case Phase::observe:
      if (auto* read = std::get_if<RobotRead>(&outcome)) {
        if (!read->listed) return on_observed(read->fingerprint);
        current_ = read->fingerprint;
        // Without logins nothing can tell whether it is the robot's token still.
        if (!input_.verify) return;
        phase_ = Phase::judge_listed;
        next_ = LogIn{};
        return;
      }
      report_.quay_error = std::move(std::get<QuayFailed>(outcome).error);
      return finish(Report::End::quay_failed);

    case Phase::judge_listed:
      phase_ = Phase::observe;
      next_ = ReadRobot{};
      if (!std::holds_alternative<LoggedIn>(outcome)) return;
      judged_ = true;
      return on_observed(current_);

    case Phase::judge_restored:
    case Phase::judge_previous:
      return on_judged(phase_ == Phase::judge_restored, outcome);

    case Phase::preflight_targets:
      report_.problems = std::move(std::get<TargetsAnswered>(outcome).problems);
      if (!report_.problems.empty()) return refuse_preflight();
      if (!input_.verify) return write_ledger();
      phase_ = Phase::preflight_login;
      next_ = LogIn{};
      return;

    case Phase::preflight_login:
      if (std::holds_alternative<LoggedIn>(outcome)) return write_ledger();
      // The token of before a POST, and dead: it is Quay's answer that is old.
      if (input_.ledger && refused(outcome) && !persists(current_)) return finish_stale(current_);
      report_.preflight_error = std::move(std::get<QuayFailed>(outcome).error);
      return refuse_preflight();

    case Phase::ledger:
      if (auto* failed = std::get_if<KubeFailed>(&outcome)) {
        const bool conflict = failed->error.kind == kube::Error::Kind::conflict;
        report_.kube_error = std::move(failed->error);
        report_.ledger = input_.ledger;
        return finish(conflict ? Report::End::start_over : Report::End::api_server);
      }
      phase_ = Phase::regenerate;
      next_ = Regenerate{};
      return;

    case Phase::regenerate:
      if (auto* made = std::get_if<Regenerated>(&outcome)) return on_new_token(made->fingerprint);
      if (std::holds_alternative<LedgerTooOld>(outcome)) return finish(Report::End::start_over);
      report_.quay_error = std::move(std::get<QuayFailed>(outcome).error);
      if (!report_.quay_error->maybe_changed) {
        report_.clear_ledger = true;
        return finish(Report::End::quay_failed);
      }
      phase_ = Phase::read_back;
      next_ = ReadRobot{};
      return;

    case Phase::read_back:
      if (auto* read = std::get_if<RobotRead>(&outcome)) {
        if (is_older(read->fingerprint)) return finish_stale(read->fingerprint);
        if (read->fingerprint != report_.ledger->previous) {
          report_.quay_error.reset();
          return on_new_token(read->fingerprint);
        }
        report_.hold_left = input_.hold;
      }
      return finish(Report::End::unclear);

    case Phase::publish:
      report_.problems = std::move(std::get<TargetsAnswered>(outcome).problems);
      if (!report_.problems.empty()) return finish(Report::End::unpublished);
      return verify();

    case Phase::verify:
      if (std::holds_alternative<LoggedIn>(outcome)) {
        report_.verified = Report::Verified::good;
        return finish(Report::End::done);
      }
      return on_login_failed(std::move(std::get<QuayFailed>(outcome).error));

    case Phase::read_after_refusal:
      return on_read_after_refusal(outcome);

    case Phase::finished:
      return;
  }
}

void Protocol::on_observed(base::Fingerprint fingerprint) {
  current_ = fingerprint;
  report_.fingerprint = fingerprint;
  const bool resuming = input_.goal == Goal::resume;
  if (resuming && fingerprint == input_.ledger->previous) return on_previous();
  if (is_older(fingerprint)) return on_older(fingerprint);
  if (resuming) return on_new_token(fingerprint);

  const bool differs = input_.known && *input_.known != fingerprint;
  if (input_.goal == Goal::synchronize || differs) {
    // A token that somebody else made reaches the Secrets before anything destructive is done.
    report_.foreign = differs;
    if (differs) supersede(*input_.known);
    return publish();
  }
  phase_ = Phase::preflight_targets;
  next_ = DryRunTargets{};
}

// The regeneration has not happened yet. That token still works, so there is no hurry.
void Protocol::on_previous() {
  if (input_.ledger_seen_for < input_.hold) {
    report_.hold_left = input_.hold - input_.ledger_seen_for;
    return finish(Report::End::unclear);
  }
  if (input_.may_regenerate) {
    phase_ = Phase::preflight_targets;
    next_ = DryRunTargets{};
  } else if (input_.verify) {
    phase_ = Phase::judge_previous;
    next_ = LogIn{};
  } else {
    publish();
  }
}

void Protocol::on_older(base::Fingerprint fingerprint) {
  if (!persists(fingerprint)) return finish_stale(fingerprint);
  if (!input_.verify) return on_judged(true, LoggedIn{});
  phase_ = Phase::judge_restored;
  next_ = LogIn{};
}

// A robot has one token that is alive: when the registry accepts this one it is that.
void Protocol::on_judged(bool restored, const Outcome& outcome) {
  if (restored && !std::holds_alternative<LoggedIn>(outcome)) return finish_stale(current_);
  if (!restored && refused(outcome) && !persists(current_)) return finish_stale(current_);
  judged_ = input_.verify && std::holds_alternative<LoggedIn>(outcome);
  report_.foreign = restored;
  std::erase(input_.superseded, current_);
  publish();
}

bool Protocol::is_older(base::Fingerprint fingerprint) const {
  return std::ranges::find(input_.superseded, fingerprint) != input_.superseded.end();
}

bool Protocol::persists(base::Fingerprint fingerprint) const {
  return input_.stale == fingerprint && input_.stale_for >= input_.hold;
}

void Protocol::supersede(base::Fingerprint fingerprint) {
  input_.superseded.push_back(fingerprint);
}

void Protocol::refuse_preflight() {
  // With a ledger we are here only after the hold: it did not happen and will not.
  report_.clear_ledger = input_.ledger.has_value();
  finish(Report::End::preflight_refused);
}

void Protocol::write_ledger() {
  api::Ledger ledger;
  if (input_.ledger) {
    ledger = *input_.ledger;
    ++ledger.attempt;
  } else {
    ledger.id = input_.rotation_id;
    ledger.reason = input_.reason;
    ledger.rotate_request = input_.rotate_request;
  }
  ledger.previous = current_;
  ledger.request_deadline = std::max(ledger.request_deadline, input_.request_deadline);
  report_.ledger = ledger;
  phase_ = Phase::ledger;
  next_ = WriteLedger{std::move(ledger)};
}

void Protocol::on_new_token(base::Fingerprint fingerprint) {
  supersede(report_.ledger->previous);
  current_ = fingerprint;
  report_.regenerated = true;
  report_.made = fingerprint;
  publish();
}

void Protocol::publish() {
  report_.fingerprint = current_;
  phase_ = Phase::publish;
  next_ = Publish{};
}

void Protocol::verify() {
  const bool already = input_.verified && input_.known == current_;
  if (judged_) report_.verified = Report::Verified::good;
  if (!input_.verify || already || judged_) return finish(Report::End::done);
  phase_ = Phase::verify;
  next_ = LogIn{};
}

void Protocol::on_login_failed(quay::Error error) {
  using Kind = quay::Error::Kind;
  const Kind kind = error.kind;
  report_.verify_error = std::move(error);
  switch (kind) {
    case Kind::login_refused:
    case Kind::robot_unknown_to_registry:
      // Perhaps somebody rotated since we read: only Quay's own answer tells.
      phase_ = Phase::read_after_refusal;
      next_ = ReadRobot{};
      return;
    case Kind::robots_disallowed:
    case Kind::robot_owner_disabled:
    case Kind::realm_refused:
      report_.verified = Report::Verified::refused;
      return finish(Report::End::done);
    default:
      report_.verified = Report::Verified::unknown;
      return finish(Report::End::done);
  }
}

void Protocol::on_read_after_refusal(const Outcome& outcome) {
  report_.verified = Report::Verified::unknown;
  const auto* read = std::get_if<RobotRead>(&outcome);
  if (read == nullptr) return finish(Report::End::done);
  if (is_older(read->fingerprint)) {
    // The registry's answer may be as old as Quay's: neither is worth what is known for certain.
    report_.stale = read->fingerprint;
    return finish(Report::End::done);
  }
  if (read->fingerprint != current_ && republished_ < most_republished) {
    ++republished_;
    report_.verified = Report::Verified::not_done;
    report_.foreign = true;
    report_.verify_error.reset();
    supersede(current_);
    current_ = read->fingerprint;
    judged_ = false;
    return publish();
  }
  report_.verified = Report::Verified::refused;
  finish(Report::End::done);
}

void Protocol::finish_stale(base::Fingerprint fingerprint) {
  report_.stale = fingerprint;
  report_.fingerprint = input_.known;
  finish(Report::End::stale_read);
}

void Protocol::finish(Report::End end) {
  report_.end = end;
  if (end == Report::End::done) report_.clear_ledger = report_.ledger.has_value();
  if (end == Report::End::done && input_.ledger_unreadable &&
      input_.ledger_seen_for < input_.hold) {
    report_.hold_left = input_.hold - input_.ledger_seen_for;
  }
  // Those are the POSTs that nobody has seen the end of.
  const bool given_up = input_.ledger && !report_.regenerated;
  if (report_.clear_ledger && (given_up || report_.ledger->attempt > 1)) {
    report_.watch = input_.hold;
  }
  phase_ = Phase::finished;
  next_ = Finish{report_};
}

}  // namespace quay_rotator::rotation
