#include "credential/alternate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/credential/machines.h"

namespace quay_rotator::credential {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using End = Outcome::End;

const base::WallTime replaced = base::WallTime(std::chrono::hours(500'000));

RobotsCompared equal(std::optional<base::WallTime> used = {}) {
  return {{{}, used}};
}
RobotsCompared different() {
  return {{{"only puller may use repository app"}, {}}};
}

RegenerateInput turn() {
  RegenerateInput input = rotate();
  input.purpose = Purpose::turn;
  return input;
}
RegenerateInput retire() {
  RegenerateInput input = rotate();
  input.purpose = Purpose::retire;
  return input;
}

Trace run_turn(std::vector<Answer> answers) {
  return run(Alternating(Regenerating(turn()), {true, replaced}), {true, {}}, std::move(answers));
}
Trace run_retirement(std::vector<Answer> answers) {
  return run(Alternating(Regenerating(retire()), {false, replaced}), {true, {}},
             std::move(answers));
}

TEST(Alternate, TurnsInTheOrderOfTheDesign) {
  const Trace trace = run_turn({equal(), RobotRead{old_token}, all_well(), LoggedIn{},
                                LedgerWritten{}, Regenerated{new_token}, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("compare", "read-robot", "dry-run", "login-active", "ledger",
                                      "regenerate", "publish", "login"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.made, new_token);
}

TEST(Alternate, RobotsThatDifferTakeNoTurn) {
  const Trace trace = run_turn({different()});
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_FALSE(trace.outcome.in_use);
}

TEST(Alternate, WhatCannotBeComparedTakesNoTurn) {
  const Trace trace = run_turn({quay_says(quay::Error::Kind::robot_not_found)});
  EXPECT_EQ(trace.outcome.end, End::quay_failed);
  EXPECT_EQ(trace.outcome.quay_error->kind, quay::Error::Kind::robot_not_found);
}

TEST(Alternate, ATokenThatIsStillInUseIsNotRegenerated) {
  for (const auto& run : {run_turn, run_retirement}) {
    const Trace trace = run({equal(replaced + minutes(5))});
    EXPECT_EQ(trace.outcome.end, End::preflight_refused);
    EXPECT_TRUE(trace.outcome.in_use);
    EXPECT_FALSE(run({equal(replaced), RobotRead{old_token}}).outcome.in_use);
    EXPECT_FALSE(run({equal(replaced + seconds(90)), RobotRead{old_token}}).outcome.in_use)
        << "whoever had just read the Secret";
  }
}

// Somebody else's token of the standby: no target holds one of that robot, so none gets it.
TEST(Alternate, AForeignTokenOfTheStandbyIsReplacedAndNotDelivered) {
  const Trace trace = run_turn({equal(), RobotRead{third_token}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("compare", "read-robot", "dry-run", "…"));
}

TEST(Alternate, RetiresWithoutATargetOrALogin) {
  const Trace trace =
      run_retirement({different(), RobotRead{old_token}, LedgerWritten{}, Regenerated{new_token}});
  EXPECT_THAT(trace.asks, ElementsAre("compare", "read-robot", "ledger", "regenerate"));
  EXPECT_EQ(trace.outcome.end, End::retired);
  EXPECT_EQ(trace.outcome.made, new_token);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Alternate, ALostAnswerOfARetirementIsReadBack) {
  const auto lost = quay_says(quay::Error::Kind::unreachable, true);
  const Trace made =
      run_retirement({equal(), RobotRead{old_token}, LedgerWritten{}, lost, RobotRead{new_token}});
  EXPECT_EQ(made.outcome.end, End::retired);
  EXPECT_EQ(made.outcome.made, new_token);
  const Trace unclear =
      run_retirement({equal(), RobotRead{old_token}, LedgerWritten{}, lost, RobotRead{old_token}});
  EXPECT_EQ(unclear.outcome.end, End::unclear);
  EXPECT_FALSE(unclear.outcome.clear_ledger);
}

TEST(Alternate, ALedgerOfARetirementThatIsGivenUpRetiresNothing) {
  RegenerateInput input = resume_ledger(hold);
  input.purpose = Purpose::retire;
  input.may_regenerate = false;
  const Trace trace = run(std::move(input), {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::retired);
  EXPECT_EQ(trace.outcome.made, std::nullopt);
  EXPECT_TRUE(trace.outcome.clear_ledger);
  EXPECT_EQ(trace.outcome.watch, hold);
}

TEST(Alternate, ATurnThatIsGivenUpDeliversNothing) {
  RegenerateInput input = resume_ledger(hold);
  input.purpose = Purpose::turn;
  input.may_regenerate = false;
  const Trace trace = run(std::move(input), {RobotRead{old_token}});
  EXPECT_EQ(trace.outcome.end, End::retired);
  EXPECT_EQ(trace.outcome.made, std::nullopt);
}

TEST(Alternate, ARegistryThatRefusesTheActiveRobotStopsATurn) {
  const Trace trace = run_turn(
      {equal(), RobotRead{old_token}, all_well(), quay_says(quay::Error::Kind::robots_disallowed)});
  EXPECT_EQ(trace.outcome.end, End::preflight_refused);
  EXPECT_EQ(trace.outcome.preflight_error->kind, quay::Error::Kind::robots_disallowed);
}

TEST(Alternate, AdoptsWhateverTheComparisonSays) {
  for (const Answer& compared :
       {Answer(different()), Answer(quay_says(quay::Error::Kind::robot_not_found))}) {
    const Trace trace = run(Alternating(Adopting(adopt(std::nullopt))), {true, {}},
                            {compared, RobotRead{old_token}, all_well(), LoggedIn{}});
    EXPECT_THAT(trace.asks, ElementsAre("compare", "read-robot", "publish", "login"));
    EXPECT_EQ(trace.outcome.end, End::done);
  }
}

}  // namespace
}  // namespace quay_rotator::credential
