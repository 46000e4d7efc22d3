#include "rotation/driver.h"

#include <utility>

#include "rotation/status.h"

namespace quay_rotator::rotation {

namespace {

// Never shown to anyone: fills the dry run's Secret in place of a token of the same size.
constexpr std::size_t placeholder_size = 64;

// One run of the protocol: what its steps share.
class Run {
 public:
  Run(StatusWriter& status, Publisher& publisher, base::Executor& executor,
      const DriverOptions& options, api::RobotTokenRotation rotation, QuaySession& session,
      const std::vector<DesiredSecret>& targets, const std::stop_token& stop)
      : status_(status),
        publisher_(publisher),
        executor_(executor),
        options_(options),
        rotation_(std::move(rotation)),
        session_(session),
        targets_(targets),
        stop_(stop),
        robot_{rotation_.spec.robot.organization, rotation_.spec.robot.name} {
    if (rotation_.status.rotation) {
      // Only an upper bound, and only for people: another clock may have written it.
      const base::Duration since = executor_.wall_now() - rotation_.status.rotation->started_at;
      outage_began_ = executor_.now() - std::max(since, base::Duration::zero());
    }
  }

  Outcome perform(const ReadRobot&) {
    auto answer = session_.get(robot_, stop_);
    if (!answer) return QuayFailed{std::move(answer.error())};
    credential_ = std::move(*answer);
    return RobotRead{base::Fingerprint::of(credential_.token)};
  }

  Outcome perform(const DryRunTargets&) {
    const std::size_t size =
        credential_.token.empty() ? placeholder_size : credential_.token.size();
    return TargetsAnswered{publisher_.dry_run(rotation_, targets_, credential_.robot, size, stop_)};
  }

  Outcome perform(const LogIn&) {
    auto answer = session_.login(credential_, stop_);
    if (!answer) return QuayFailed{std::move(answer.error())};
    return LoggedIn{};
  }

  Outcome perform(const WriteLedger& action) {
    // The permit comes first: a ledger must not grow old waiting for one.
    if (!session_.wait_for_permit(stop_)) return KubeFailed{cancelled()};
    ledger_written_ = executor_.now();
    const auto written = status_.write(
        rotation_, with_ledger(rotation_, action.ledger, executor_.wall_now()), stop_);
    if (!written) return KubeFailed{written.error()};
    return LedgerWritten{};
  }

  Outcome perform(const Regenerate&) {
    const auto may_send = [this] {
      return executor_.now() - ledger_written_ < options_.request_deadline &&
             (!options_.leading || options_.leading());
    };
    if (!may_send()) return LedgerTooOld{};
    outage_began_ = executor_.now();
    // Once sent it is seen through: the stop request of a shutdown does not cut it off.
    auto answer = session_.regenerate(robot_, may_send, std::stop_token());
    if (!answer) return QuayFailed{std::move(answer.error())};
    outage_began_ = executor_.now();
    credential_ = std::move(*answer);
    return Regenerated{base::Fingerprint::of(credential_.token)};
  }

  Outcome perform(const Publish&) {
    auto problems = publisher_.publish(rotation_, targets_, credential_, stop_);
    published_ = executor_.now();
    return TargetsAnswered{std::move(problems)};
  }

  DriverResult result(Report report) {
    DriverResult result;
    if (report.regenerated && report.end == Report::End::done)
      result.outage = published_ - outage_began_;
    result.report = std::move(report);
    result.robot = credential_.robot;
    result.rotation = std::move(rotation_);
    return result;
  }

 private:
  static kube::Error cancelled() {
    kube::Error error;
    error.kind = kube::Error::Kind::cancelled;
    error.message = "stopped before the ledger was written";
    return error;
  }

  StatusWriter& status_;
  Publisher& publisher_;
  base::Executor& executor_;
  const DriverOptions& options_;
  api::RobotTokenRotation rotation_;
  QuaySession& session_;
  const std::vector<DesiredSecret>& targets_;
  const std::stop_token& stop_;
  quay::Robot robot_;
  quay::RobotCredential credential_;
  base::MonotonicTime ledger_written_{};
  base::MonotonicTime outage_began_{};
  base::MonotonicTime published_{};
};

}  // namespace

Driver::Driver(StatusWriter& status, Publisher& publisher, base::Executor& executor,
               DriverOptions options)
    : status_(status), publisher_(publisher), executor_(executor), options_(std::move(options)) {}

void Driver::step(std::string_view name) const {
  if (options_.after_step) options_.after_step(name);
}

DriverResult Driver::run(api::RobotTokenRotation rotation, QuaySession& session,
                         ProtocolInput input, const std::vector<DesiredSecret>& targets,
                         const base::Log& log, const std::stop_token& stop) {
  input.request_deadline = options_.request_deadline;
  Protocol protocol(std::move(input));
  Run run(status_, publisher_, executor_, options_, std::move(rotation), session, targets, stop);
  for (;;) {
    const Action action = protocol.next();
    if (const auto* end = std::get_if<Finish>(&action)) return run.result(end->report);
    const std::string_view phase = name(action);
    log.debug("protocol", {{"phase", phase}});
    if (std::holds_alternative<Regenerate>(action)) step("before-regenerate");
    Outcome outcome = std::visit(
        [&](const auto& what) -> Outcome {
          if constexpr (std::is_same_v<std::decay_t<decltype(what)>, Finish>) {
            return LoggedIn{};  // not reached: handled above
          } else {
            return run.perform(what);
          }
        },
        action);
    step(phase);
    protocol.advance(std::move(outcome));
  }
}

}  // namespace quay_rotator::rotation
