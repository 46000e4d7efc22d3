#include "rotation/protocol.h"

#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using base::Fingerprint;
using std::chrono::seconds;
using testing::ElementsAre;
using End = Report::End;

const Fingerprint old_token = Fingerprint::of("old");
const Fingerprint new_token = Fingerprint::of("new");
const Fingerprint third_token = Fingerprint::of("third");
constexpr base::Duration hold = std::chrono::minutes(10);

QuayFailed quay_says(quay::Error::Kind kind, bool maybe_changed = false) {
  quay::Error error;
  error.kind = kind;
  error.message = "Quay said no";
  error.maybe_changed = maybe_changed;
  return {error};
}

KubeFailed kube_says(kube::Error::Kind kind) {
  kube::Error error;
  error.kind = kind;
  error.message = "the API server said no";
  return {error};
}

TargetsAnswered all_well() {
  return {};
}
TargetsAnswered refused() {
  return {{{{"team", "pull"}, "Secret", "Immutable", "cannot be changed", true}}};
}

ProtocolInput rotate() {
  ProtocolInput input;
  input.goal = Goal::rotate;
  input.rotation_id = "id";
  input.known = old_token;
  input.hold = hold;
  return input;
}

ProtocolInput resume(base::Duration seen_for) {
  ProtocolInput input = rotate();
  input.goal = Goal::resume;
  input.ledger = api::Ledger{"id", api::RotationReason::interval, {}, old_token, 1, ""};
  input.ledger_seen_for = seen_for;
  return input;
}

ProtocolInput synchronize() {
  ProtocolInput input = rotate();
  input.goal = Goal::synchronize;
  input.verified = true;
  return input;
}

// The names of the actions that were asked for, and the report at their end.
struct Trace {
  std::vector<std::string> actions;
  Report report;
};

Trace run(ProtocolInput input, std::vector<Outcome> outcomes) {
  Trace trace;
  Protocol protocol(std::move(input));
  for (Outcome& outcome : outcomes) {
    trace.actions.emplace_back(name(protocol.next()));
    protocol.advance(std::move(outcome));
  }
  trace.actions.emplace_back(name(protocol.next()));
  if (const auto* finish = std::get_if<Finish>(&protocol.next())) trace.report = finish->report;
  return trace;
}

// A rotation up to and with its regeneration, then `rest`.
Trace run_from_regenerate(Outcome regenerate, std::vector<Outcome> rest) {
  std::vector<Outcome> outcomes{RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                                std::move(regenerate)};
  for (Outcome& outcome : rest) outcomes.push_back(std::move(outcome));
  return run(rotate(), std::move(outcomes));
}

TEST(Protocol, RotatesInTheOrderOfTheDesign) {
  const Trace trace = run_from_regenerate(Regenerated{new_token}, {all_well(), LoggedIn{}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                         "publish", "login", "finish"));
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_TRUE(trace.report.regenerated);
  EXPECT_TRUE(trace.report.clear_ledger);
  EXPECT_EQ(trace.report.fingerprint, new_token);
  EXPECT_EQ(trace.report.ledger->previous, old_token);
  EXPECT_EQ(trace.report.verified, Report::Verified::good);
}

TEST(Protocol, WithoutVerificationNeverLogsIn) {
  ProtocolInput input = rotate();
  input.verify = false;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well(), LedgerWritten{},
                                             Regenerated{new_token}, all_well()});
  EXPECT_THAT(trace.actions,
              ElementsAre("read-robot", "dry-run", "ledger", "regenerate", "publish", "finish"));
}

TEST(Protocol, ATargetThatRefusesStopsBeforeTheLedger) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, refused()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "dry-run", "finish"));
  EXPECT_EQ(trace.report.end, End::preflight_refused);
  EXPECT_EQ(trace.report.problems.front().reason, "Immutable");
}

TEST(Protocol, ARegistryThatRefusesTheCurrentTokenStopsBeforeTheLedger) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(),
                                     quay_says(quay::Error::Kind::robots_disallowed)});
  EXPECT_EQ(trace.report.end, End::preflight_refused);
  EXPECT_EQ(trace.report.preflight_error->kind, quay::Error::Kind::robots_disallowed);
}

TEST(Protocol, ALedgerThatAnotherReplicaPreventsStartsOver) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(), LoggedIn{},
                                     kube_says(kube::Error::Kind::conflict)});
  EXPECT_EQ(trace.report.end, End::start_over);
  EXPECT_FALSE(trace.report.clear_ledger);
}

TEST(Protocol, ALedgerThatCannotBeWrittenMeansNoRegeneration) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(), LoggedIn{},
                                     kube_says(kube::Error::Kind::unreachable)});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "dry-run", "login", "ledger", "finish"));
  EXPECT_EQ(trace.report.end, End::api_server);
}

TEST(Protocol, AnOldLedgerSendsNothing) {
  const Trace trace = run_from_regenerate(LedgerTooOld{}, {});
  EXPECT_EQ(trace.report.end, End::start_over);
  EXPECT_FALSE(trace.report.clear_ledger);
}

TEST(Protocol, AClearRefusalClearsTheLedger) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::read_only), {});
  EXPECT_EQ(trace.report.end, End::quay_failed);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, AnUnclearAnswerIsReadBackAndTheNewTokenAdopted) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::server_error, true),
                                          {RobotRead{new_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                         "read-robot", "publish", "login", "finish"));
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_TRUE(trace.report.regenerated);
  EXPECT_FALSE(trace.report.quay_error);
}

TEST(Protocol, AnUnclearAnswerIsNeverSentAgainAtOnce) {
  const Trace trace =
      run_from_regenerate(quay_says(quay::Error::Kind::unreachable, true), {RobotRead{old_token}});
  EXPECT_EQ(trace.report.end, End::unclear);
  EXPECT_FALSE(trace.report.clear_ledger);
  EXPECT_EQ(trace.report.hold_left, hold);
}

TEST(Protocol, AReadBackThatFailsKeepsTheLedger) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::unreachable, true),
                                          {quay_says(quay::Error::Kind::unreachable)});
  EXPECT_EQ(trace.report.end, End::unclear);
  EXPECT_FALSE(trace.report.clear_ledger);
}

TEST(Protocol, ATokenMadeBySomebodyElseIsPublishedBeforeAnythingIsRegenerated) {
  const Trace trace = run(rotate(), {RobotRead{third_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "publish", "login", "finish"));
  EXPECT_TRUE(trace.report.foreign);
  EXPECT_FALSE(trace.report.regenerated);
}

TEST(Protocol, ResumingPublishesWhatTheLedgerMade) {
  const Trace trace = run(resume(seconds(0)), {RobotRead{new_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "publish", "login", "finish"));
  EXPECT_TRUE(trace.report.regenerated);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, ResumingWaitsUntilNothingCanBeInFlight) {
  const Trace trace = run(resume(seconds(10)), {RobotRead{old_token}});
  EXPECT_EQ(trace.report.end, End::unclear);
  EXPECT_EQ(trace.report.hold_left, hold - seconds(10));
}

TEST(Protocol, ALedgerCarriesItsWritersDeadlineAndASuccessorWaitsForThat) {
  ProtocolInput input = rotate();
  input.request_deadline = seconds(20);
  Protocol protocol(input);
  protocol.advance(RobotRead{old_token});
  protocol.advance(all_well());
  protocol.advance(LoggedIn{});
  const auto* write = std::get_if<WriteLedger>(&protocol.next());
  ASSERT_NE(write, nullptr);
  EXPECT_EQ(write->ledger.request_deadline, seconds(20));

  input = resume(hold);
  input.request_deadline = seconds(10);
  input.ledger->request_deadline = hold;
  Trace trace = run(input, {RobotRead{old_token}});
  EXPECT_EQ(trace.report.end, End::unclear);
  EXPECT_EQ(trace.report.hold_left, hold) << "twice the writer's deadline, of which half is over";

  input.ledger->request_deadline = {};
  input.request_deadline = hold;
  trace = run(input, {RobotRead{old_token}});
  EXPECT_EQ(trace.report.end, End::unclear) << "twice its own";
}

TEST(Protocol, ResumingAfterThatTimeLooksBeforeItLeapsAgainAndRenewsTheLedger) {
  Protocol protocol(resume(hold));
  protocol.advance(RobotRead{old_token});
  ASSERT_EQ(name(protocol.next()), "dry-run");
  protocol.advance(all_well());
  protocol.advance(LoggedIn{});
  const auto* ledger = std::get_if<WriteLedger>(&protocol.next());
  ASSERT_NE(ledger, nullptr);
  EXPECT_EQ(ledger->ledger.id, "id");
  EXPECT_EQ(ledger->ledger.attempt, 2);
}

TEST(Protocol, AfterASecondAttemptTheRobotIsReadAgainUntilTheHoldIsOver) {
  EXPECT_FALSE(run_from_regenerate(Regenerated{new_token}, {all_well(), LoggedIn{}}).report.watch);
  const Trace second =
      run(resume(hold), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                         Regenerated{new_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(second.report.end, End::done);
  EXPECT_EQ(second.report.watch, hold);
  // The first is given up, or a second one is refused: the first may come yet.
  const Trace given_up = run(resume(hold), {RobotRead{old_token}, refused()});
  EXPECT_EQ(given_up.report.watch, hold);
  const Trace refused_again =
      run(resume(hold), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                         quay_says(quay::Error::Kind::read_only)});
  EXPECT_TRUE(refused_again.report.clear_ledger);
  EXPECT_EQ(refused_again.report.watch, hold);
  // What the ledger's only POST made, is made.
  EXPECT_FALSE(
      run(resume(seconds(0)), {RobotRead{new_token}, all_well(), LoggedIn{}}).report.watch);
}

TEST(Protocol, AnUnreadableLedgerIsSettledWhenTheHoldIsOver) {
  ProtocolInput input = synchronize();
  input.ledger_unreadable = true;
  input.ledger_seen_for = seconds(10);
  Trace trace = run(input, {RobotRead{old_token}, all_well()});
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.hold_left, hold - seconds(10));
  input.ledger_seen_for = hold;
  trace = run(input, {RobotRead{old_token}, all_well()});
  EXPECT_EQ(trace.report.hold_left, std::nullopt);
}

TEST(Protocol, ResumingAfterThatTimeGivesUpWhenATargetRefuses) {
  const Trace trace = run(resume(hold), {RobotRead{old_token}, refused()});
  EXPECT_EQ(trace.report.end, End::preflight_refused);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, ResumingWhileSuspendedSettlesTheLedgerWithoutRegenerating) {
  ProtocolInput input = resume(hold);
  input.may_regenerate = false;
  input.verified = true;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "login", "publish", "finish"));
  EXPECT_FALSE(trace.report.regenerated);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, HealingNeverRegenerates) {
  const Trace trace = run(synchronize(), {RobotRead{old_token}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "publish", "finish"));
  EXPECT_FALSE(trace.report.foreign);
}

TEST(Protocol, AnUnwrittenTargetKeepsTheLedger) {
  const Trace trace = run_from_regenerate(Regenerated{new_token}, {refused()});
  EXPECT_EQ(trace.report.end, End::unpublished);
  EXPECT_FALSE(trace.report.clear_ledger);
  EXPECT_TRUE(trace.report.regenerated);
}

TEST(Protocol, ARefusedNewTokenIsComparedWithQuayAndAnotherOneIsPublished) {
  const Trace trace = run_from_regenerate(Regenerated{new_token},
                                          {all_well(), quay_says(quay::Error::Kind::login_refused),
                                           RobotRead{third_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.fingerprint, third_token);
  EXPECT_TRUE(trace.report.foreign);
  EXPECT_EQ(trace.report.verified, Report::Verified::good);
}

TEST(Protocol, ARefusedTokenThatQuayStillHoldsIsReportedNotRotatedAgain) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{new_token}});
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.verified, Report::Verified::refused);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, AnUnavailableRegistrySaysNothingAboutTheToken) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token}, {all_well(), quay_says(quay::Error::Kind::registry_unavailable)});
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.verified, Report::Verified::unknown);
}

// Of tokens that were current one after the other, the newest is `new_token`.
ProtocolInput synchronize_after_rotation() {
  ProtocolInput input = synchronize();
  input.known = new_token;
  input.superseded = {old_token};
  return input;
}

TEST(Protocol, AnOlderTokenAfterARefusedLoginIsAStaleReadNotNews) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{old_token}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                         "publish", "login", "read-robot", "finish"));
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.fingerprint, new_token);
  EXPECT_EQ(trace.report.stale, old_token);
  EXPECT_EQ(trace.report.verified, Report::Verified::unknown);
  EXPECT_FALSE(trace.report.foreign);
  EXPECT_TRUE(trace.report.clear_ledger);
}

TEST(Protocol, NoTokenOfARunIsTakenForNewsAgain) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{third_token}, all_well(),
       quay_says(quay::Error::Kind::login_refused), RobotRead{new_token}});
  EXPECT_EQ(trace.actions.back(), "finish");
  EXPECT_EQ(trace.report.fingerprint, third_token);
  EXPECT_EQ(trace.report.made, new_token);
  EXPECT_EQ(trace.report.stale, new_token);
}

TEST(Protocol, AnOlderTokenIsNeverPublished) {
  for (const Goal goal : {Goal::synchronize, Goal::rotate}) {
    ProtocolInput input = synchronize_after_rotation();
    input.goal = goal;
    const Trace trace = run(std::move(input), {RobotRead{old_token}});
    EXPECT_THAT(trace.actions, ElementsAre("read-robot", "finish"));
    EXPECT_EQ(trace.report.end, End::stale_read);
    EXPECT_EQ(trace.report.stale, old_token);
    EXPECT_EQ(trace.report.fingerprint, new_token);
    EXPECT_FALSE(trace.report.foreign);
  }
}

TEST(Protocol, ResumingWithATokenFromBeforeTheLedgerKeepsTheLedger) {
  ProtocolInput input = resume(seconds(0));
  input.superseded = {third_token};
  const Trace trace = run(std::move(input), {RobotRead{third_token}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "finish"));
  EXPECT_EQ(trace.report.end, End::stale_read);
  EXPECT_FALSE(trace.report.clear_ledger);
  EXPECT_FALSE(trace.report.regenerated);
}

TEST(Protocol, AReadBackOfATokenFromBeforeTheLedgerKeepsTheLedger) {
  ProtocolInput input = rotate();
  input.superseded = {third_token};
  const Trace trace = run(
      std::move(input), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                         quay_says(quay::Error::Kind::server_error, true), RobotRead{third_token}});
  EXPECT_EQ(trace.report.end, End::stale_read);
  EXPECT_FALSE(trace.report.clear_ledger);
}

TEST(Protocol, AnOlderTokenThatStaysAndIsAcceptedIsAQuayThatWasPutBack) {
  ProtocolInput input = synchronize_after_rotation();
  input.stale = old_token;
  input.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "login", "publish", "finish"));
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.fingerprint, old_token);
  EXPECT_EQ(trace.report.verified, Report::Verified::good);
  EXPECT_TRUE(trace.report.foreign);
  EXPECT_FALSE(trace.report.stale);
}

TEST(Protocol, AnOlderTokenThatStaysIsStaleAsLongAsTheRegistryDoesNotAcceptIt) {
  using Kind = quay::Error::Kind;
  for (const Kind kind : {Kind::login_refused, Kind::registry_unavailable}) {
    ProtocolInput input = synchronize_after_rotation();
    input.stale = old_token;
    input.stale_for = hold;
    const Trace trace = run(std::move(input), {RobotRead{old_token}, quay_says(kind)});
    EXPECT_THAT(trace.actions, ElementsAre("read-robot", "login", "finish"));
    EXPECT_EQ(trace.report.end, End::stale_read);
  }
}

TEST(Protocol, AnOlderTokenIsNotBelievedBeforeTheHoldIsOverNorForAnothersSake) {
  ProtocolInput input = synchronize_after_rotation();
  input.stale = old_token;
  input.stale_for = hold - seconds(1);
  EXPECT_EQ(run(input, {RobotRead{old_token}}).report.end, End::stale_read);
  input.stale = third_token;
  input.stale_for = 2 * hold;
  EXPECT_EQ(run(input, {RobotRead{old_token}}).report.end, End::stale_read);
}

TEST(Protocol, WithoutVerificationTheHoldAloneDecides) {
  ProtocolInput input = synchronize_after_rotation();
  input.verify = false;
  input.stale = old_token;
  input.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "publish", "finish"));
  EXPECT_EQ(trace.report.fingerprint, old_token);
  EXPECT_EQ(trace.report.verified, Report::Verified::not_done);
}

ProtocolInput adopt() {
  ProtocolInput input = synchronize();
  input.known.reset();
  input.verified = false;
  return input;
}

TEST(Protocol, AListedTokenIsPublishedOnceTheRegistryAcceptsIt) {
  const Trace trace = run(adopt(), {RobotRead{old_token, /*listed=*/true}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "login", "publish", "finish"));
  EXPECT_EQ(trace.report.end, End::done);
  EXPECT_EQ(trace.report.fingerprint, old_token);
  EXPECT_EQ(trace.report.verified, Report::Verified::good);
  EXPECT_FALSE(trace.report.foreign);
}

// Refused or without an answer: it may be older than what the robot's own answer tells.
TEST(Protocol, AListedTokenThatIsNotProvenIsReadAgain) {
  using Kind = quay::Error::Kind;
  for (const Kind kind : {Kind::login_refused, Kind::registry_unavailable}) {
    const Trace trace = run(adopt(), {RobotRead{old_token, /*listed=*/true}, quay_says(kind),
                                      RobotRead{new_token}, all_well(), LoggedIn{}});
    EXPECT_THAT(trace.actions,
                ElementsAre("read-robot", "login", "read-robot", "publish", "login", "finish"));
    EXPECT_EQ(trace.report.fingerprint, new_token);
    EXPECT_EQ(trace.report.verified, Report::Verified::good);
  }
  ProtocolInput unverified = adopt();
  unverified.verify = false;
  const Trace trace = run(std::move(unverified), {RobotRead{old_token, /*listed=*/true},
                                                  RobotRead{new_token}, all_well()});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "read-robot", "publish", "finish"));
  EXPECT_EQ(trace.report.fingerprint, new_token);
}

TEST(Protocol, AListedTokenThatIsKnownToBeOlderIsAStaleReadLikeAnyOther) {
  ProtocolInput input = adopt();
  input.superseded = {old_token};
  const Trace trace = run(std::move(input), {RobotRead{old_token, /*listed=*/true}, LoggedIn{}});
  EXPECT_THAT(trace.actions, ElementsAre("read-robot", "login", "finish"));
  EXPECT_EQ(trace.report.end, End::stale_read);
}

// Quay still shows the token of before, the registry refuses it: something has been regenerated.
TEST(Protocol, ResumingNeverSendsAgainNorGivesUpWhileTheTokenOfBeforeIsDead) {
  const Trace again = run(resume(hold), {RobotRead{old_token}, all_well(),
                                         quay_says(quay::Error::Kind::login_refused)});
  EXPECT_THAT(again.actions, ElementsAre("read-robot", "dry-run", "login", "finish"));
  EXPECT_EQ(again.report.end, End::stale_read);
  EXPECT_FALSE(again.report.clear_ledger);

  ProtocolInput suspended = resume(hold);
  suspended.may_regenerate = false;
  const Trace settled = run(std::move(suspended),
                            {RobotRead{old_token}, quay_says(quay::Error::Kind::login_refused)});
  EXPECT_THAT(settled.actions, ElementsAre("read-robot", "login", "finish"));
  EXPECT_EQ(settled.report.end, End::stale_read);
  EXPECT_FALSE(settled.report.clear_ledger);
}

TEST(Protocol, ATokenOfBeforeThatStaysDeadForAnotherHoldIsRefusedForAnotherReason) {
  ProtocolInput input = resume(2 * hold);
  input.stale = old_token;
  input.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well(),
                                             quay_says(quay::Error::Kind::login_refused)});
  EXPECT_EQ(trace.report.end, End::preflight_refused);
  EXPECT_TRUE(trace.report.clear_ledger);
}

// A whole life over a Quay and an API server that fail in every way, with crashes between any two
// steps. What must hold at every step: a POST only under a ledger that is stored, after a
// preflight, and never while an earlier one can still be in flight.
class Life {
 public:
  explicit Life(std::uint32_t seed) : random_(seed) {}

  void live() {
    for (int start = 0; start < 12; ++start) run_once(true);
    for (int start = 0; start < 6; ++start) {
      now_ += hold;
      run_once(false);  // nothing fails any more
    }
    EXPECT_FALSE(stored_ledger_);
    EXPECT_EQ(published_, quay_) << "the target must hold what Quay holds (I1)";
    for (const auto& [id, made] : made_by_) EXPECT_LE(made, 1) << "ledger " << id << " (I2)";
  }

 private:
  bool chance(int percent) { return std::uniform_int_distribution<int>(0, 99)(random_) < percent; }

  void run_once(bool faults) {
    ProtocolInput input;
    input.hold = hold;
    input.known = known_;
    input.verified = true;
    for (const Fingerprint token : was_known_) {
      if (token != known_) input.superseded.push_back(token);
    }
    input.stale = stale_;
    input.stale_for = now_ - stale_since_;
    input.rotation_id = "rotation " + std::to_string(++rotations_);
    if (stored_ledger_) {
      see(*stored_ledger_);
      input.goal = Goal::resume;
      input.ledger = stored_ledger_;
      input.ledger_seen_for = now_ - seen_at_;
    } else {
      input.goal = faults && chance(60) ? Goal::rotate : Goal::synchronize;
    }
    Protocol protocol(std::move(input));
    while (!std::holds_alternative<Finish>(protocol.next())) {
      now_ += seconds(1);
      if (faults && chance(8)) return forget();  // kill -9 before the step …
      Outcome outcome = perform(protocol.next(), faults);
      if (faults && chance(8)) return forget();  // … or right after it
      protocol.advance(std::move(outcome));
    }
    const Report& report = std::get<Finish>(protocol.next()).report;
    if (report.stale != stale_ && (report.stale || report.fingerprint)) {
      stale_ = report.stale;
      stale_since_ = now_;
    }
    if (faults && chance(10)) return;  // the status could not be written
    if (report.end == End::done) {
      if (known_ && known_ != report.fingerprint && quay_ != report.fingerprint) {
        EXPECT_FALSE(was_known_.contains(*report.fingerprint)) << "an older token is no news (I1)";
      }
      known_ = report.fingerprint;
      was_known_.insert(*known_);
      if (report.ledger) was_known_.insert(report.ledger->previous);
    }
    if (report.clear_ledger) stored_ledger_.reset();
    if (report.hold_left) now_ += *report.hold_left;
  }

  void forget() {
    seen_.reset();
    stale_.reset();
  }

  void see(const api::Ledger& ledger) {
    const auto which = std::pair(ledger.id, ledger.attempt);
    if (seen_ == which) return;
    seen_ = which;
    seen_at_ = now_;
  }

  Outcome perform(const Action& action, bool faults) {
    using Kind = quay::Error::Kind;
    const bool fails = faults && chance(20);
    if (std::holds_alternative<ReadRobot>(action)) {
      if (fails) return quay_says(Kind::unreachable);
      held_ = faults && chance(20) ? before_ : quay_;  // from a replica that lags
      if (!known_ && !stored_ledger_ && chance(20)) {
        if (chance(50)) held_ = before_;
        return RobotRead{held_, /*listed=*/true};
      }
      return RobotRead{held_};
    }
    if (std::holds_alternative<DryRunTargets>(action)) {
      accepted_ = !fails;
      return fails ? refused() : all_well();
    }
    if (std::holds_alternative<LogIn>(action)) {
      if (fails) return quay_says(Kind::registry_unavailable);
      if (held_ != quay_) return quay_says(Kind::login_refused);
      return LoggedIn{};
    }
    if (const auto* write = std::get_if<WriteLedger>(&action)) {
      EXPECT_TRUE(accepted_) << "preflight before the ledger (I3)";
      if (fails && chance(50)) return kube_says(kube::Error::Kind::unreachable);
      stored_ledger_ = write->ledger;
      see(*stored_ledger_);
      if (fails) return kube_says(kube::Error::Kind::unreachable);  // written, the answer lost
      return LedgerWritten{};
    }
    if (std::holds_alternative<Regenerate>(action)) {
      EXPECT_TRUE(stored_ledger_) << "no POST without a stored ledger";
      EXPECT_EQ(stored_ledger_->previous, quay_);
      before_ = quay_;
      if (fails && chance(30)) return quay_says(Kind::read_only);
      if (fails && chance(50)) return quay_says(Kind::unreachable, true);
      quay_ = Fingerprint::of("token " + std::to_string(++tokens_));
      ++made_by_[stored_ledger_->id];
      if (fails) return quay_says(Kind::server_error, true);
      held_ = quay_;
      return Regenerated{quay_};
    }
    if (fails) return refused();
    published_ = held_;
    return all_well();
  }

  std::mt19937 random_;
  int tokens_ = 0;
  int rotations_ = 0;
  base::Duration now_{};
  Fingerprint quay_ = Fingerprint::of("first");
  Fingerprint before_ = quay_;  // its token before that
  std::set<Fingerprint> was_known_;
  std::optional<Fingerprint> stale_;
  base::Duration stale_since_{};
  Fingerprint held_;       // by the process
  Fingerprint published_;  // in the Secret
  std::optional<Fingerprint> known_;
  std::optional<api::Ledger> stored_ledger_;
  std::optional<std::pair<std::string, int>> seen_;
  base::Duration seen_at_{};
  bool accepted_ = false;
  std::map<std::string, int> made_by_;
};

TEST(Protocol, KeepsItsPromisesThroughThousandsOfFailingLives) {
  for (std::uint32_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life(seed).live();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace quay_rotator::rotation
