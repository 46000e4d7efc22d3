#include "rotation/driver.h"

#include <algorithm>
#include <utility>

#include "rotation/status.h"

namespace quay_rotator::rotation {

namespace {

// Never shown to anyone: fills the dry run's Secret in place of a token of the same size.
constexpr std::size_t placeholder_size = 64;
// How long ago another clock may say that a ledger was written.
constexpr base::WallTime::duration longest_believed = std::chrono::hours(24);

// One run of the protocol: what its steps share.
class Run {
 public:
  Run(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
      base::Executor& executor, const DriverOptions& options, api::RobotTokenRotation rotation,
      connection::Session& session, const std::vector<target::DesiredSecret>& targets,
      std::optional<quay::RobotCredential> listed, base::Duration ledger_seen_for,
      const std::stop_token& stop)
      : status_(status),
        writer_(writer),
        executor_(executor),
        options_(options),
        rotation_(std::move(rotation)),
        session_(session),
        targets_(targets),
        listed_(std::move(listed)),
        stop_(stop),
        robot_{rotation_.spec.robot.organization, rotation_.spec.robot.name} {
    if (rotation_.status.rotation) {
      // For people: another clock may have written it. Ours has seen it for that long at least.
      const base::Duration since = std::clamp<base::WallTime::duration>(
          executor_.wall_now() - rotation_.status.rotation->started_at, {}, longest_believed);
      outage_began_ = executor_.now() - std::max(since, ledger_seen_for);
    }
  }

  Outcome perform(const ReadRobot&) {
    if (listed_) {
      credential_ = *std::exchange(listed_, std::nullopt);
      return RobotRead{base::Fingerprint::of(credential_.token), /*listed=*/true};
    }
    const base::MonotonicTime asked = executor_.now();
    auto answer = session_.get(robot_, stop_);
    if (!read_) read_ = asked;
    if (!answer) return QuayFailed{std::move(answer.error())};
    credential_ = std::move(*answer);
    return RobotRead{base::Fingerprint::of(credential_.token)};
  }

  Outcome perform(const DryRunTargets&) {
    const std::size_t size =
        credential_.token.empty() ? placeholder_size : credential_.token.size();
    return TargetsAnswered{writer_.dry_run(rotation_, targets_, credential_.robot, size, stop_)};
  }

  Outcome perform(const LogIn&) {
    auto answer = session_.login(credential_, stop_);
    if (!answer) return QuayFailed{std::move(answer.error())};
    return LoggedIn{};
  }

  Outcome perform(const WriteLedger& action) {
    ledger_written_ = executor_.now();
    attempt_ = action.ledger.attempt;
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
    // A commit comes after that; but an earlier attempt's may have come since Quay was read.
    outage_began_ = attempt_ > 1 ? read_.value_or(executor_.now()) : executor_.now();
    // Once sent it is seen through: the stop request of a shutdown does not cut it off.
    auto answer = session_.regenerate(robot_, may_send, std::stop_token());
    if (!answer) return QuayFailed{std::move(answer.error())};
    credential_ = std::move(*answer);
    return Regenerated{base::Fingerprint::of(credential_.token)};
  }

  Outcome perform(const Publish&) {
    auto problems = writer_.publish(rotation_, targets_, credential_, stop_);
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
  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  target::Writer& writer_;
  base::Executor& executor_;
  const DriverOptions& options_;
  api::RobotTokenRotation rotation_;
  connection::Session& session_;
  const std::vector<target::DesiredSecret>& targets_;
  std::optional<quay::RobotCredential> listed_;
  const std::stop_token& stop_;
  quay::Robot robot_;
  quay::RobotCredential credential_;
  std::optional<base::MonotonicTime> read_;  // the first time in this run
  int attempt_ = 1;
  base::MonotonicTime ledger_written_{};
  base::MonotonicTime outage_began_{};
  base::MonotonicTime published_{};
};

}  // namespace

Driver::Driver(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
               base::Executor& executor, DriverOptions options)
    : status_(status), writer_(writer), executor_(executor), options_(std::move(options)) {}

void Driver::step(std::string_view name) const {
  if (options_.after_step) options_.after_step(name);
}

DriverResult Driver::run(api::RobotTokenRotation rotation, connection::Session& session,
                         ProtocolInput input, const std::vector<target::DesiredSecret>& targets,
                         std::optional<quay::RobotCredential> listed, const base::Log& log,
                         const std::stop_token& stop) {
  input.request_deadline = options_.request_deadline;
  input.hold = options_.regenerate_hold;
  Run run(status_, writer_, executor_, options_, std::move(rotation), session, targets,
          std::move(listed), input.ledger_seen_for, stop);
  Protocol protocol(std::move(input));
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
