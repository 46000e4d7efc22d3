#include "credential/regenerate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/credential/machines.h"

namespace quay_rotator::credential {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using End = Outcome::End;
using Verified = Outcome::Verified;

TEST(Regenerate, RotatesInTheOrderOfTheDesign) {
  const Trace trace = run_from_regenerate(Regenerated{new_token}, {all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                      "publish", "login"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_TRUE(trace.outcome.regenerated);
  EXPECT_TRUE(trace.outcome.clear_ledger);
  EXPECT_EQ(trace.outcome.fingerprint, new_token);
  EXPECT_EQ(trace.outcome.ledger->previous, old_token);
  EXPECT_EQ(trace.outcome.verified, Verified::good);
}

TEST(Regenerate, WithoutVerificationNeverLogsIn) {
  RegenerateInput input = rotate();
  input.verify = false;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well(), LedgerWritten{},
                                             Regenerated{new_token}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run", "ledger", "regenerate", "publish"));
}

TEST(Regenerate, ATargetThatRefusesStopsBeforeTheLedger) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, refused()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run"));
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_EQ(trace.outcome.problems.front().reason, "Immutable");
}

TEST(Regenerate, ARegistryThatRefusesTheCurrentTokenStopsBeforeTheLedger) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(),
                                     quay_says(quay::Error::Kind::robots_disallowed)});
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_EQ(trace.outcome.preflight_error->kind, quay::Error::Kind::robots_disallowed);
}

TEST(Regenerate, ALedgerThatAnotherReplicaPreventsStartsOver) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(), LoggedIn{},
                                     kube_says(kube::Error::Kind::conflict)});
  EXPECT_EQ(trace.outcome.end, End::start_over);
  EXPECT_FALSE(trace.outcome.clear_ledger);
}

TEST(Regenerate, ALedgerThatCannotBeWrittenMeansNoRegeneration) {
  const Trace trace = run(rotate(), {RobotRead{old_token}, all_well(), LoggedIn{},
                                     kube_says(kube::Error::Kind::unreachable)});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run", "login", "ledger"));
  EXPECT_EQ(trace.outcome.end, End::api_server);
}

TEST(Regenerate, AnOldLedgerSendsNothing) {
  const Trace trace = run_from_regenerate(LedgerTooOld{}, {});
  EXPECT_EQ(trace.outcome.end, End::start_over);
  EXPECT_FALSE(trace.outcome.clear_ledger);
}

TEST(Regenerate, AClearRefusalClearsTheLedger) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::read_only), {});
  EXPECT_EQ(trace.outcome.end, End::quay_failed);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Regenerate, AnUnclearAnswerIsReadBackAndTheNewTokenAdopted) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::server_error, true),
                                          {RobotRead{new_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                      "read-robot", "publish", "login"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_TRUE(trace.outcome.regenerated);
  EXPECT_FALSE(trace.outcome.quay_error);
}

TEST(Regenerate, AnUnclearAnswerIsNeverSentAgainAtOnce) {
  const Trace trace =
      run_from_regenerate(quay_says(quay::Error::Kind::unreachable, true), {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::unclear);
  EXPECT_FALSE(trace.outcome.clear_ledger);
  EXPECT_EQ(trace.outcome.hold_left, hold);
}

TEST(Regenerate, AReadBackThatFailsKeepsTheLedger) {
  const Trace trace = run_from_regenerate(quay_says(quay::Error::Kind::unreachable, true),
                                          {quay_says(quay::Error::Kind::unreachable)});
  EXPECT_EQ(trace.outcome.end, End::unclear);
  EXPECT_FALSE(trace.outcome.clear_ledger);
}

TEST(Regenerate, ATokenMadeBySomebodyElseIsPublishedBeforeAnythingIsRegenerated) {
  const Trace trace = run(rotate(), {RobotRead{third_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "publish", "login"));
  EXPECT_TRUE(trace.outcome.foreign);
  EXPECT_FALSE(trace.outcome.regenerated);
}

TEST(Regenerate, ResumingPublishesWhatTheLedgerMade) {
  const Trace trace =
      run(resume_ledger(seconds(0)), {RobotRead{new_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "publish", "login"));
  EXPECT_TRUE(trace.outcome.regenerated);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Regenerate, ResumingWaitsUntilNothingCanBeInFlight) {
  const Trace trace = run(resume_ledger(seconds(10)), {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::unclear);
  EXPECT_EQ(trace.outcome.hold_left, hold - seconds(10));
}

TEST(Regenerate, ALedgerCarriesItsWritersDeadlineAndASuccessorWaitsForThat) {
  RegenerateInput input = rotate();
  input.request_deadline = seconds(20);
  Machines machines(Regenerating(input), {});
  machines.resume(RobotRead{old_token});
  machines.resume(all_well());
  machines.resume(LoggedIn{});
  const auto* write = std::get_if<WriteLedger>(machines.ask());
  ASSERT_NE(write, nullptr);
  EXPECT_EQ(write->ledger.request_deadline, seconds(20));

  input = resume_ledger(hold);
  input.request_deadline = seconds(10);
  input.ledger->request_deadline = hold;
  Trace trace = run(input, {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::unclear);
  EXPECT_EQ(trace.outcome.hold_left, hold) << "twice the writer's deadline, of which half is over";

  input.ledger->request_deadline = {};
  input.request_deadline = hold;
  trace = run(input, {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::unclear) << "twice its own";
}

TEST(Regenerate, ResumingAfterThatTimeLooksBeforeItLeapsAgainAndRenewsTheLedger) {
  Machines machines(Regenerating(resume_ledger(hold)), {});
  machines.resume(RobotRead{old_token});
  ASSERT_EQ(name(*machines.ask()), "dry-run");
  machines.resume(all_well());
  machines.resume(LoggedIn{});
  const auto* ledger = std::get_if<WriteLedger>(machines.ask());
  ASSERT_NE(ledger, nullptr);
  EXPECT_EQ(ledger->ledger.id, "id");
  EXPECT_EQ(ledger->ledger.attempt, 2);
}

TEST(Regenerate, AfterASecondAttemptTheRobotIsReadAgainUntilTheHoldIsOver) {
  EXPECT_FALSE(run_from_regenerate(Regenerated{new_token}, {all_well(), LoggedIn{}}).outcome.watch);
  const Trace second =
      run(resume_ledger(hold), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                                Regenerated{new_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(second.outcome.end, End::done);
  EXPECT_EQ(second.outcome.watch, hold);
  // The first is given up, or a second one is refused: the first may come yet.
  const Trace given_up = run(resume_ledger(hold), {RobotRead{old_token}, refused()});
  EXPECT_EQ(given_up.outcome.watch, hold);
  const Trace refused_again =
      run(resume_ledger(hold), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                                quay_says(quay::Error::Kind::read_only)});
  EXPECT_TRUE(refused_again.outcome.clear_ledger);
  EXPECT_EQ(refused_again.outcome.watch, hold);
  // What the ledger's only POST made, is made.
  EXPECT_FALSE(
      run(resume_ledger(seconds(0)), {RobotRead{new_token}, all_well(), LoggedIn{}}).outcome.watch);
}

TEST(Regenerate, ResumingAfterThatTimeGivesUpWhenATargetRefuses) {
  const Trace trace = run(resume_ledger(hold), {RobotRead{old_token}, refused()});
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Regenerate, ResumingWhileSuspendedSettlesTheLedgerWithoutRegenerating) {
  RegenerateInput input = resume_ledger(hold);
  input.may_regenerate = false;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login", "publish"));
  EXPECT_FALSE(trace.outcome.regenerated);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Regenerate, ResumingWithATokenFromBeforeTheLedgerKeepsTheLedger) {
  RegenerateInput input = resume_ledger(seconds(0));
  input.known.superseded = {third_token};
  const Trace trace = run(std::move(input), {RobotRead{third_token}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot"));
  EXPECT_EQ(trace.outcome.end, End::stale_read);
  EXPECT_FALSE(trace.outcome.clear_ledger);
  EXPECT_FALSE(trace.outcome.regenerated);
}

TEST(Regenerate, AReadBackOfATokenFromBeforeTheLedgerKeepsTheLedger) {
  RegenerateInput input = rotate();
  input.known.superseded = {third_token};
  const Trace trace = run(
      std::move(input), {RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                         quay_says(quay::Error::Kind::server_error, true), RobotRead{third_token}});
  EXPECT_EQ(trace.outcome.end, End::stale_read);
  EXPECT_FALSE(trace.outcome.clear_ledger);
}

// Quay still shows the token of before, the registry refuses it: something has been regenerated.
TEST(Regenerate, ResumingNeverSendsAgainNorGivesUpWhileTheTokenOfBeforeIsDead) {
  const Trace again = run(resume_ledger(hold), {RobotRead{old_token}, all_well(),
                                                quay_says(quay::Error::Kind::login_refused)});
  EXPECT_THAT(again.asks, ElementsAre("read-robot", "dry-run", "login"));
  EXPECT_EQ(again.outcome.end, End::stale_read);
  EXPECT_FALSE(again.outcome.clear_ledger);

  RegenerateInput suspended = resume_ledger(hold);
  suspended.may_regenerate = false;
  const Trace settled = run(std::move(suspended),
                            {RobotRead{old_token}, quay_says(quay::Error::Kind::login_refused)});
  EXPECT_THAT(settled.asks, ElementsAre("read-robot", "login"));
  EXPECT_EQ(settled.outcome.end, End::stale_read);
  EXPECT_FALSE(settled.outcome.clear_ledger);
}

TEST(Regenerate, ATokenOfBeforeThatStaysDeadForAnotherHoldIsRefusedForAnotherReason) {
  RegenerateInput input = resume_ledger(2 * hold);
  input.known.stale = old_token;
  input.known.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well(),
                                             quay_says(quay::Error::Kind::login_refused)});
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

}  // namespace
}  // namespace quay_rotator::credential
