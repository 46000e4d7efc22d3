#include "rotation/protocol.h"

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
}

void Protocol::advance(Outcome outcome) {
  switch (phase_) {
    case Phase::observe:
      if (auto* read = std::get_if<RobotRead>(&outcome)) return on_observed(read->fingerprint);
      report_.quay_error = std::move(std::get<QuayFailed>(outcome).error);
      return finish(Report::End::quay_failed);

    case Phase::preflight_targets:
      report_.problems = std::move(std::get<TargetsAnswered>(outcome).problems);
      if (!report_.problems.empty()) return refuse_preflight();
      if (!input_.verify) return write_ledger();
      phase_ = Phase::preflight_login;
      next_ = LogIn{};
      return;

    case Phase::preflight_login:
      if (std::holds_alternative<LoggedIn>(outcome)) return write_ledger();
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
        if (read->fingerprint != report_.ledger->previous) {
          report_.quay_error.reset();
          return on_new_token(read->fingerprint);
        }
        report_.again = 2 * input_.request_deadline;
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
      if (auto* read = std::get_if<RobotRead>(&outcome)) {
        if (read->fingerprint != current_ && republished_ < most_republished) {
          ++republished_;
          report_.foreign = true;
          report_.verify_error.reset();
          current_ = read->fingerprint;
          return publish();
        }
        report_.verified = Report::Verified::refused;
      } else {
        report_.verified = Report::Verified::unknown;
      }
      return finish(Report::End::done);

    case Phase::finished:
      return;
  }
}

void Protocol::on_observed(base::Fingerprint fingerprint) {
  current_ = fingerprint;
  report_.fingerprint = fingerprint;
  const bool differs = input_.known && *input_.known != fingerprint;

  if (input_.goal == Goal::resume) {
    if (fingerprint != input_.ledger->previous) return on_new_token(fingerprint);
    const base::Duration in_flight = 2 * input_.request_deadline;
    if (input_.ledger_seen_for < in_flight) {
      report_.again = in_flight - input_.ledger_seen_for;
      return finish(Report::End::unclear);
    }
    // Nothing can be in flight any more: it did not happen.
    if (!input_.may_regenerate) return publish();
  } else if (input_.goal == Goal::synchronize || differs) {
    // A token that somebody else made reaches the Secrets before anything destructive is done.
    report_.foreign = differs;
    return publish();
  }
  phase_ = Phase::preflight_targets;
  next_ = DryRunTargets{};
}

void Protocol::refuse_preflight() {
  // With a ledger we are here only after its time in flight: it did not happen and will not.
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
  report_.ledger = ledger;
  phase_ = Phase::ledger;
  next_ = WriteLedger{std::move(ledger)};
}

void Protocol::on_new_token(base::Fingerprint fingerprint) {
  current_ = fingerprint;
  report_.regenerated = true;
  publish();
}

void Protocol::publish() {
  report_.fingerprint = current_;
  phase_ = Phase::publish;
  next_ = Publish{};
}

void Protocol::verify() {
  const bool already = input_.verified && input_.known == current_;
  if (!input_.verify || already) return finish(Report::End::done);
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

void Protocol::finish(Report::End end) {
  report_.end = end;
  if (end == Report::End::done) report_.clear_ledger = report_.ledger.has_value();
  phase_ = Phase::finished;
  next_ = Finish{report_};
}

}  // namespace quay_rotator::rotation
