#include "rotation/run.h"

#include <algorithm>
#include <utility>

#include "credential/deliver.h"
#include "rotation/status/record.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

using credential::Answer;
using credential::Ask;
using credential::Outcome;

namespace {

// Never shown to anyone: fills the dry run's Secret in place of a token of the same size.
constexpr std::size_t placeholder_size = 64;
// How long ago another clock may say that a ledger was written.
constexpr base::WallTime::duration longest_believed = std::chrono::hours(24);

bool verifies(const api::RobotTokenRotation& rotation) {
  return rotation.spec.verify == api::VerifyLevel::login;
}

// What the steps of one run share.
class Driver {
 public:
  Driver(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
         base::Executor& executor, const RunOptions& options, api::RobotTokenRotation& rotation,
         connection::Session& session, const std::vector<target::DesiredSecret>& targets,
         std::optional<quay::RobotCredential> listed, base::Duration ledger_seen_for,
         const std::stop_token& stop)
      : status_(status),
        writer_(writer),
        executor_(executor),
        options_(options),
        rotation_(rotation),
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

  Answer perform(const credential::ReadRobot&) {
    if (listed_) {
      credential_ = *std::exchange(listed_, std::nullopt);
      return credential::RobotRead{base::Fingerprint::of(credential_.token), /*listed=*/true};
    }
    const base::MonotonicTime asked = executor_.now();
    auto answer = session_.get(robot_, stop_);
    if (!read_) read_ = asked;
    if (!answer) return credential::QuayFailed{std::move(answer.error())};
    credential_ = std::move(*answer);
    return credential::RobotRead{base::Fingerprint::of(credential_.token)};
  }

  Answer perform(const credential::DryRunTargets&) {
    const std::size_t size =
        credential_.token.empty() ? placeholder_size : credential_.token.size();
    return credential::TargetsAnswered{
        writer_.dry_run(rotation_, targets_, credential_.robot, size, stop_)};
  }

  Answer perform(const credential::LogIn&) {
    auto answer = session_.login(credential_, stop_);
    if (!answer) return credential::QuayFailed{std::move(answer.error())};
    return credential::LoggedIn{};
  }

  Answer perform(const credential::WriteLedger& action) {
    ledger_written_ = executor_.now();
    attempt_ = action.ledger.attempt;
    const auto written = status_.write(
        rotation_, with_ledger(rotation_, action.ledger, executor_.wall_now()), stop_);
    if (!written) return credential::KubeFailed{written.error()};
    return credential::LedgerWritten{};
  }

  Answer perform(const credential::Regenerate&) {
    const auto may_send = [this] {
      return executor_.now() - ledger_written_ < options_.request_deadline &&
             (!options_.leading || options_.leading());
    };
    if (!may_send()) return credential::LedgerTooOld{};
    // A commit comes after that; but an earlier attempt's may have come since Quay was read.
    outage_began_ = attempt_ > 1 ? read_.value_or(executor_.now()) : executor_.now();
    // Once sent it is seen through: the stop request of a shutdown does not cut it off.
    auto answer = session_.regenerate(robot_, may_send, std::stop_token());
    if (!answer) return credential::QuayFailed{std::move(answer.error())};
    credential_ = std::move(*answer);
    return credential::Regenerated{base::Fingerprint::of(credential_.token)};
  }

  Answer perform(const credential::Publish&) {
    auto problems = writer_.publish(rotation_, targets_, credential_, stop_);
    published_ = executor_.now();
    return credential::TargetsAnswered{std::move(problems)};
  }

  Outcome told(Outcome outcome) const {
    outcome.robot = credential_.robot;
    if (outcome.regenerated && outcome.end == Outcome::End::done) {
      outcome.outage = published_ - outage_began_;
    }
    return outcome;
  }

 private:
  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  target::Writer& writer_;
  base::Executor& executor_;
  const RunOptions& options_;
  api::RobotTokenRotation& rotation_;
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

credential::Obtain strategy(const api::RobotTokenRotation& rotation, Order order,
                            const RunOptions& options) {
  const api::RobotTokenRotationStatus& status = rotation.status;
  credential::Known known;
  known.token = status.fingerprint();
  known.superseded = superseded(status);
  known.stale = order.stale;
  known.stale_for = order.stale_for;
  known.hold = options.regenerate_hold;
  if (order.goal == Goal::synchronize) {
    credential::AdoptInput adopt;
    adopt.known = std::move(known);
    adopt.verify = verifies(rotation);
    adopt.ledger_unreadable = status.has_unreadable_ledger();
    adopt.ledger_seen_for = order.ledger_seen_for;
    return credential::Adopting(std::move(adopt));
  }
  credential::RegenerateInput regenerate;
  regenerate.known = std::move(known);
  regenerate.verify = verifies(rotation);
  regenerate.id = std::move(order.rotation_id);
  regenerate.reason = order.reason;
  regenerate.rotate_request = tenancy::open_request(rotation);
  regenerate.request_deadline = options.request_deadline;
  regenerate.ledger = status.rotation;
  regenerate.ledger_seen_for = order.ledger_seen_for;
  regenerate.may_regenerate = order.may_regenerate;
  return credential::Regenerating(std::move(regenerate));
}

Runner::Runner(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
               base::Executor& executor, RunOptions options)
    : status_(status), writer_(writer), executor_(executor), options_(std::move(options)) {}

void Runner::step(std::string_view name) const {
  if (options_.after_step) options_.after_step(name);
}

Outcome Runner::run(api::RobotTokenRotation& rotation, connection::Session& session, Order order,
                    const std::vector<target::DesiredSecret>& targets,
                    std::optional<quay::RobotCredential> listed, const base::Log& log,
                    const std::stop_token& stop) {
  credential::DeliverInput deliver;
  deliver.verify = verifies(rotation);
  if (rotation.status.conditions.is_true("Verified")) {
    deliver.verified = rotation.status.fingerprint();
  }
  Driver driver(status_, writer_, executor_, options_, rotation, session, targets,
                std::move(listed), order.ledger_seen_for, stop);
  credential::Obtain obtain = strategy(rotation, std::move(order), options_);

  const auto perform = [&](const Ask& ask) {
    const std::string_view phase = name(ask);
    log.debug("protocol", {{"phase", phase}});
    if (std::holds_alternative<credential::Regenerate>(ask)) step("before-regenerate");
    Answer answer = std::visit([&](const auto& what) { return driver.perform(what); }, ask);
    step(phase);
    return answer;
  };
  credential::Step next = begin(obtain);
  while (const Ask* ask = std::get_if<Ask>(&next)) next = resume(obtain, perform(*ask));
  if (auto* over = std::get_if<Outcome>(&next)) return driver.told(std::move(*over));

  credential::Delivering delivering(std::move(std::get<credential::Obtained>(next)), deliver);
  credential::Delivering::Step left = delivering.begin();
  while (const Ask* ask = std::get_if<Ask>(&left)) left = delivering.resume(perform(*ask));
  return driver.told(std::move(std::get<Outcome>(left)));
}

}  // namespace quay_rotator::rotation
