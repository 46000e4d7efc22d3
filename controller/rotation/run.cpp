#include "rotation/run.h"

#include <algorithm>
#include <utility>

#include "credential/deliver.h"
#include "http/url.h"
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

// Somebody else may write a robot's federation at the same time; no more often than this.
constexpr int most_federation_writes = 3;

bool federates(const api::RobotTokenRotation& rotation) {
  return rotation.spec.strategy.type == api::StrategyType::federate;
}

bool verifies(const api::RobotTokenRotation& rotation) {
  return rotation.spec.verify == api::VerifyLevel::login;
}

credential::Purpose purpose_of(const api::RobotTokenRotation& rotation, const Order& order) {
  using credential::Purpose;
  const auto& ledger = rotation.status.rotation;
  const api::RotationReason reason = ledger ? ledger->reason : order.reason;
  if (reason == api::RotationReason::retire) return Purpose::retire;
  const bool other = robot_of(rotation, order.goal) != api::active_robot(rotation);
  return other ? Purpose::turn : Purpose::rotate;
}

// What the steps of one run share.
class Driver {
 public:
  Driver(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
         base::Executor& executor, const RunOptions& options, api::RobotTokenRotation& rotation,
         connection::Session& session, const Order& order,
         const std::vector<target::DesiredSecret>& targets,
         std::optional<quay::RobotCredential> listed, const std::stop_token& stop)
      : status_(status),
        writer_(writer),
        executor_(executor),
        options_(options),
        rotation_(rotation),
        session_(session),
        targets_(targets),
        listed_(std::move(listed)),
        forgeable_(order.forgeable),
        stop_(stop),
        robot_{rotation_.spec.robot.organization, std::string(robot_of(rotation, order.goal))},
        standby_(purpose_of(rotation, order) != credential::Purpose::rotate) {
    if (rotation_.status.rotation) {
      // For people: another clock may have written it. Ours has seen it for that long at least.
      const base::Duration since = std::clamp<base::WallTime::duration>(
          executor_.wall_now() - rotation_.status.rotation->started_at, {}, longest_believed);
      outage_began_ = executor_.now() - std::max(since, order.ledger_seen_for);
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
    take(std::move(*answer));
    return credential::RobotRead{base::Fingerprint::of(credential_.token)};
  }

  Answer perform(const credential::CompareRobots&) {
    auto answer = session_.compare(robot_.organization, api::active_robot(rotation_),
                                   api::standby_robot(rotation_), stop_);
    if (!answer) {
      compare_error_ = answer.error();
      return credential::QuayFailed{std::move(answer.error())};
    }
    compared_ = {std::move(answer->differences), answer->second_last_accessed};
    return credential::RobotsCompared{*compared_};
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

  Answer perform(const credential::LogInAsActive&) {
    const quay::Robot active{robot_.organization, std::string(api::active_robot(rotation_))};
    const auto credential = session_.get(active, stop_);
    if (!credential) return credential::QuayFailed{credential.error()};
    auto answer = session_.login(*credential, stop_);
    if (!answer) return credential::QuayFailed{std::move(answer.error())};
    return credential::LoggedIn{};
  }

  Answer perform(const credential::WriteLedger& action) {
    ledger_written_ = executor_.now();
    attempt_ = action.ledger.attempt;
    const auto written = status_.write(
        rotation_, with_ledger(rotation_, action.ledger, credential_.robot, executor_.wall_now()),
        stop_);
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
    take(std::move(*answer));
    return credential::Regenerated{base::Fingerprint::of(credential_.token)};
  }

  Answer perform(const credential::Exchange&) {
    auto identity = this->identity();
    if (!identity) {
      return credential::NoIdentity{{identity.error().reason, identity.error().message}};
    }
    if (auto claims = quay::read_claims(identity->reveal())) identity_ = std::move(*claims);
    const auto robot = full_name();
    if (!robot) return credential::QuayFailed{robot.error()};
    const base::WallTime asked = executor_.wall_now();
    auto answer = session_.exchange(*robot, *identity, stop_);
    if (!answer) return credential::QuayFailed{std::move(answer.error())};
    const auto expires = quay::end_of(answer->claims, asked);
    if (!expires) return quay_unexpected("gave a credential that has ended already: set its clock");
    credential_ = std::move(answer->credential);
    return credential::Exchanged{base::Fingerprint::of(credential_.token), *expires};
  }

  // What a crash leaves of it is removed some day all the same: it is in the status first.
  Answer perform(const credential::KeepFederation&) {
    const quay::FederationEntry ours{identity_.issuer, identity_.subject};
    if (ours.issuer.empty() || ours.subject.empty()) {
      return credential::NoIdentity{{"ServiceAccountTokenUnreadable",
                                     "the ServiceAccount's token does not tell its issuer and "
                                     "subject: put them into the robot's federation in Quay"}};
    }
    for (int written = 0; written <= most_federation_writes; ++written) {
      const auto there = session_.federation(robot_, stop_);
      if (!there) return credential::QuayFailed{there.error()};
      const std::optional<quay::FederationEntry> former = added();
      const auto wanted = with_entry(*there, ours, former);
      if (!wanted) return credential::FederationWritten{};
      if (!std::ranges::count(*there, ours) && former != ours) {
        const auto noted = status_.write(
            rotation_, with_federation(rotation_, {ours.issuer, ours.subject}), stop_);
        if (!noted) return credential::KubeFailed{noted.error()};
        // Of a former entry is known now that it is ours, and nowhere else.
        if (former) formers_.push_back(*former);
      }
      quay::FederationList list = *wanted;
      for (const quay::FederationEntry& gone : formers_) std::erase(list, gone);
      const auto answer = session_.set_federation(robot_, list, stop_);
      if (!answer) return credential::QuayFailed{answer.error()};
    }
    return quay_unexpected(
        "keeps losing what is put into the robot's federation: somebody else "
        "writes it, too");
  }

  Answer perform(const credential::LeaveFederation&) {
    for (int written = 0; written <= most_federation_writes; ++written) {
      const auto there = session_.federation(robot_, stop_);
      if (!there) {
        using Kind = quay::Error::Kind;
        const Kind kind = there.error().kind;
        const bool gone = kind == Kind::robot_not_found || kind == Kind::no_federation_api;
        if (gone) return credential::FederationWritten{};
        return credential::QuayFailed{there.error()};
      }
      const auto ours = added();
      const auto wanted = ours ? without_entry(*there, *ours) : std::nullopt;
      if (!wanted) return credential::FederationWritten{};
      const auto answer = session_.set_federation(robot_, *wanted, stop_);
      if (!answer) return credential::QuayFailed{answer.error()};
    }
    return quay_unexpected("keeps what is taken out of the robot's federation");
  }

  Answer perform(const credential::Publish&) {
    auto problems = writer_.publish(rotation_, targets_, credential_, stop_);
    published_ = executor_.now();
    return credential::TargetsAnswered{std::move(problems)};
  }

  Outcome told(Outcome outcome) const {
    outcome.robot = credential_.robot;
    outcome.standby = standby_;
    if (credential_.answered) {
      outcome.published =
          *credential_.answered +
          std::chrono::duration_cast<base::WallTime::duration>(published_ - answered_);
    }
    outcome.compared = compared_;
    outcome.compare_error = compare_error_;
    // While the standby's token changes the other robot's is valid.
    if (outcome.regenerated && outcome.end == Outcome::End::done && !standby_) {
      outcome.outage = published_ - outage_began_;
    }
    return outcome;
  }

 private:
  void take(quay::RobotCredential credential) {
    credential_ = std::move(credential);
    answered_ = executor_.now();
  }

  connection::MaterialExpected<base::SecretString> identity() {
    const auto url = http::parse_url(session_.origin());
    // A token of which Quay does not check for whom it is goes to nobody who could be another.
    if (!url || url->scheme != "https" || forgeable_) {
      return tl::unexpected(connection::Problem{
          "ConnectionForgeable",
          "tokens of ServiceAccounts are not sent over plain http, nor through a proxy with a ca "
          "of the connection's own: let the administrator set the operator's ca (the chart's ca) "
          "or "
          "proxy instead"});
    }
    if (!options_.identity) {
      return tl::unexpected(connection::Problem{"ServiceAccountForbidden",
                                                "no tokens of ServiceAccounts are asked for here"});
    }
    return options_.identity(rotation_, tenancy::quay_key(url->host, url->port), stop_);
  }

  // A user's robot is known in full to Quay alone.
  quay::Expected<std::string> full_name() {
    if (!robot_.organization.empty()) return robot_.organization + "+" + robot_.name;
    std::string known = rotation_.status.active_name();
    if (api::short_name(known) == robot_.name) return known;
    const auto read = session_.get(robot_, stop_);
    if (!read) return tl::unexpected(read.error());
    return read->robot;
  }

  [[nodiscard]] std::optional<quay::FederationEntry> added() const {
    const auto& federation = rotation_.status.federation;
    if (!federation) return std::nullopt;
    return quay::FederationEntry{federation->issuer, federation->subject};
  }

  [[nodiscard]] Answer quay_unexpected(const std::string& what) const {
    quay::Error error;
    error.message = "Quay at " + session_.origin() + " " + what;
    error.maybe_changed = false;
    return credential::QuayFailed{std::move(error)};
  }

  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  target::Writer& writer_;
  base::Executor& executor_;
  const RunOptions& options_;
  api::RobotTokenRotation& rotation_;
  connection::Session& session_;
  const std::vector<target::DesiredSecret>& targets_;
  std::optional<quay::RobotCredential> listed_;
  const bool forgeable_;
  const std::stop_token& stop_;
  quay::Robot robot_;
  quay::Claims identity_;                       // of the token that was exchanged last
  std::vector<quay::FederationEntry> formers_;  // entries that were ours before
  bool standby_;
  base::MonotonicTime answered_{};  // when credential_ came
  std::optional<credential::Comparison> compared_;
  std::optional<quay::Error> compare_error_;
  quay::RobotCredential credential_;
  std::optional<base::MonotonicTime> read_;  // the first time in this run
  int attempt_ = 1;
  base::MonotonicTime ledger_written_{};
  base::MonotonicTime outage_began_{};
  base::MonotonicTime published_{};
};

}  // namespace

std::string_view robot_of(const api::RobotTokenRotation& rotation, Goal goal) {
  const std::string_view active = api::active_robot(rotation);
  const std::string_view standby = api::standby_robot(rotation);
  switch (goal) {
    case Goal::synchronize:
    case Goal::exchange:
      return active;
    case Goal::rotate:
    case Goal::retire:
      return standby.empty() ? active : standby;
    case Goal::resume:
      return api::short_name(rotation.status.rotation->robot);
  }
  return active;
}

namespace {

// Whose use of the standby's token forbids to regenerate it: nobody's, where a person has asked.
std::optional<base::WallTime> unused_since(const api::RobotTokenRotation& rotation,
                                           const Order& order) {
  const api::RobotStatus* standby = rotation.status.standby();
  const bool asked = order.reason == api::RotationReason::requested;
  return standby == nullptr || asked || standby->retired_at ? std::nullopt : standby->replaced_at;
}

}  // namespace

credential::Obtain strategy(const api::RobotTokenRotation& rotation, Order order,
                            const RunOptions& options) {
  const api::RobotTokenRotationStatus& status = rotation.status;
  if (order.goal == Goal::exchange) {
    return credential::Federating({rotation.spec.strategy.federate.manage});
  }
  credential::Known known;
  const std::string_view robot = robot_of(rotation, order.goal);
  const bool alternates = !api::standby_robot(rotation).empty();
  known.token = known_token(status, robot);
  known.superseded = superseded(status, robot);
  known.stale = order.stale;
  known.stale_for = order.stale_for;
  known.hold = options.regenerate_hold;
  if (order.goal == Goal::synchronize) {
    credential::AdoptInput adopt;
    adopt.known = std::move(known);
    adopt.verify = verifies(rotation);
    adopt.ledger_unreadable = status.has_unreadable_ledger();
    adopt.ledger_seen_for = order.ledger_seen_for;
    credential::Adopting adopting(std::move(adopt));
    if (!alternates || !order.compare) return adopting;
    return credential::Alternating(std::move(adopting));
  }
  credential::RegenerateInput regenerate;
  regenerate.purpose = purpose_of(rotation, order);
  regenerate.known = std::move(known);
  regenerate.verify = verifies(rotation);
  regenerate.id = std::move(order.rotation_id);
  regenerate.reason = order.reason;
  regenerate.rotate_request = tenancy::open_request(rotation);
  regenerate.request_deadline = options.request_deadline;
  regenerate.ledger = status.rotation;
  regenerate.ledger_seen_for = order.ledger_seen_for;
  regenerate.may_regenerate = order.may_regenerate;
  const bool turns = regenerate.purpose == credential::Purpose::turn;
  credential::Regenerating regenerating(std::move(regenerate));
  if (!alternates || order.goal == Goal::resume) return regenerating;
  return credential::Alternating(
      std::move(regenerating),
      {.must_equal = turns, .unused_since = unused_since(rotation, order)});
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
    deliver.trusted = order.goal == Goal::exchange && api::held(rotation) != nullptr &&
                      rotation.status.observed_generation == rotation.generation;
  }
  deliver.leave_federation = !federates(rotation) && rotation.status.federation;
  Driver driver(status_, writer_, executor_, options_, rotation, session, order, targets,
                std::move(listed), stop);
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
