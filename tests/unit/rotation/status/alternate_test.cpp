// What is told of two robots that take turns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rotation/status/at_rest.h"
#include "rotation/status/record.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using testing::HasSubstr;

api::RobotTokenRotation alternating() {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.strategy = {api::StrategyType::alternate, {"puller-b", hours(24)}, {}};
  rotation.status.ownership = tenancy::proven(std::nullopt, way, std::nullopt, now - hours(1));
  return rotation;
}

RunResult with(RunResult result, credential::Comparison comparison) {
  result.way = way;
  result.compared = std::move(comparison);
  return result;
}

RunResult turned() {
  RunResult result = with(rotated(), {});
  result.robot = "acme+puller-b";
  result.ledger->robot = result.robot;
  result.ledger->previous = base::Fingerprint::of("b's");
  result.standby = true;
  result.outage.reset();
  return result;
}

TEST(StatusAlternate, AComparisonMakesTheStandbyKnownAndProven) {
  RunResult result = with(done("old"), {{}, now - hours(5)});
  const StatusUpdate update = after_run(alternating(), result);
  ASSERT_EQ(update.status.robots.size(), 2U);
  const api::RobotStatus& standby = *update.status.standby();
  EXPECT_EQ(standby.name, "acme+puller-b");
  EXPECT_EQ(standby.fingerprint, std::nullopt);
  EXPECT_EQ(standby.replaced_at, now) << "a use from now on is our business";
  EXPECT_EQ(standby.last_accessed, now - hours(5));
  EXPECT_EQ(update.status.ownership->standby, "puller-b");
  EXPECT_EQ(update.status.ownership->standby_since, now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::true_);
  EXPECT_FALSE(needs_retry(result));
}

TEST(StatusAlternate, RobotsThatDifferAreToldThoughTheSecretsAreRight) {
  const RunResult result = with(done("old"), {{"only puller may use repository app"}, {}});
  EXPECT_TRUE(needs_retry(result));
  const StatusUpdate update = after_run(alternating(), result);
  EXPECT_EQ(update.status.ownership->standby_since, std::nullopt);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::true_);
  for (const char* type : {"Ready", "Preflight"}) {
    EXPECT_EQ(condition(update, type).reason, "RobotsDiffer");
    EXPECT_THAT(condition(update, type).message, HasSubstr("only puller may use repository app"));
  }
  EXPECT_EQ(update.status.consecutive_failures, 1);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "RobotsDiffer");
  api::RobotTokenRotation again = alternating();
  again.status = update.status;
  EXPECT_TRUE(after_run(again, result).notices.empty()) << "told once";
}

TEST(StatusAlternate, WhatCannotBeComparedIsToldThoughTheSecretsAreRight) {
  RunResult result = done("old");
  result.way = way;
  result.compare_error = quay_error(quay::Error::Kind::robot_not_found);
  EXPECT_TRUE(needs_retry(result));
  const StatusUpdate update = after_run(alternating(), result);
  EXPECT_EQ(condition(update, "Ready").reason, "RobotNotFound");
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::true_);
}

TEST(StatusAlternate, ATurnMakesTheStandbyActive) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, with(done("old"), {})).status;
  rotation.status.rotation = turned().ledger;
  const StatusUpdate update = after_run(rotation, turned());
  EXPECT_EQ(update.status.active_name(), "acme+puller-b");
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(update.status.known_since(), now);
  EXPECT_EQ(update.status.active()->replaced_at, std::nullopt);
  const api::RobotStatus& old = *update.status.standby();
  EXPECT_EQ(old.name, "acme+puller");
  EXPECT_EQ(old.fingerprint, base::Fingerprint::of("old"));
  EXPECT_EQ(old.replaced_at, now);
  EXPECT_EQ(old.retired_at, std::nullopt);
  EXPECT_EQ(update.status.next->time, now + hours(1)) << "the next turn, before the overlap ends";
  EXPECT_EQ(update.status.history[0].robot, "acme+puller-b");
  EXPECT_EQ(update.status.history[0].previous, base::Fingerprint::of("b's"));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Rotated");
  EXPECT_THAT(update.notices[0].note, HasSubstr("robot acme+puller-b took over"));
  EXPECT_THAT(update.notices[0].note, HasSubstr("acme+puller stays valid for 24h"));
  EXPECT_FALSE(update.status.rotation);

  // … and back.
  rotation.status = update.status;
  RunResult back = rotated();
  back.standby = true;
  back.fingerprint = back.made = base::Fingerprint::of("newer");
  const StatusUpdate again = after_run(rotation, back);
  EXPECT_EQ(again.status.active_name(), "acme+puller");
  EXPECT_EQ(again.status.standby()->fingerprint, base::Fingerprint::of("new"));
  EXPECT_EQ(again.status.robots.size(), 2U);
}

TEST(StatusAlternate, TokensOfTheOtherRobotAreNotOlderThanOnesOwn) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, turned()).status;
  EXPECT_EQ(known_token(rotation.status, "puller"), base::Fingerprint::of("old"));
  EXPECT_EQ(known_token(rotation.status, "puller-b"), base::Fingerprint::of("new"));
  EXPECT_THAT(superseded(rotation.status, "puller"), testing::IsEmpty());
  EXPECT_THAT(superseded(rotation.status, "puller-b"),
              testing::ElementsAre(base::Fingerprint::of("b's")));
}

TEST(StatusAlternate, AFailedTurnSaysNothingOfTheRobotInTheSecrets) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, with(done("old"), {})).status;
  RunResult result = refused(quay::Error::Kind::robot_not_found);
  result.standby = true;
  result.fingerprint.reset();
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(update.status.active_name(), "acme+puller");
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::true_);
  EXPECT_EQ(condition(update, "Ready").reason, "RobotNotFound");
  EXPECT_EQ(update.status.ownership->refused_since, std::nullopt);
}

TEST(StatusAlternate, ATokenInUseIsToldWithItsTime) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, turned()).status;
  RunResult result = with(ended(End::preflight_refused), {{}, now + hours(3)});
  result.robot.clear();
  result.standby = true;
  result.in_use = true;
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(condition(update, "Ready").reason, "OldCredentialInUse");
  EXPECT_THAT(condition(update, "Ready").message,
              HasSubstr("robot acme+puller was last used at 2026-03-01T03:00:00Z"));
  EXPECT_EQ(update.notices.at(0).reason, "OldCredentialInUse");
  EXPECT_EQ(update.status.standby()->retired_at, std::nullopt);
}

TEST(StatusAlternate, ARetiredTokenIsDeadAndTheNewOneNobodys) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, turned()).status;
  RunResult result = with(ended(End::retired), {});
  result.standby = true;
  result.made = result.fingerprint = base::Fingerprint::of("nobody's");
  result.clear_ledger = result.regenerated = true;
  result.ledger = api::Ledger{.id = "id",
                              .robot = "acme+puller",
                              .reason = api::RotationReason::retire,
                              .previous = base::Fingerprint::of("old"),
                              .rotate_request = ""};
  rotation.status.rotation = result.ledger;
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_FALSE(update.status.rotation);
  EXPECT_EQ(update.status.standby()->retired_at, now);
  EXPECT_EQ(update.status.standby()->fingerprint, base::Fingerprint::of("nobody's"));
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(update.status.last_rotation_time, now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::true_);
  EXPECT_EQ(update.status.history[0].reason, "Retire");
  EXPECT_EQ(update.status.history[0].robot, "acme+puller");
  EXPECT_EQ(update.notices.at(0).reason, "Retired");
  EXPECT_FALSE(needs_retry(result));

  result.made.reset();
  const StatusUpdate given_up = after_run(rotation, result);
  EXPECT_FALSE(given_up.status.rotation);
  EXPECT_EQ(given_up.status.standby()->retired_at, std::nullopt);
  EXPECT_TRUE(given_up.notices.empty());
}

TEST(StatusAlternate, ABurnedStaticTokenLeavesTheCredentialAsItIs) {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.strategy = {api::StrategyType::federate, {}, {.service_account = "puller"}};
  rotation.status.active()->expires = now + hours(1);
  RunResult result = ended(End::retired);
  result.standby = true;
  result.made = result.fingerprint = base::Fingerprint::of("nobody's");
  result.clear_ledger = true;
  result.ledger = api::Ledger{.id = "id",
                              .robot = "acme+puller",
                              .reason = api::RotationReason::retire,
                              .previous = base::Fingerprint::of("static"),
                              .rotate_request = ""};
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  EXPECT_EQ(update.status.active()->retired_at, now);
  EXPECT_EQ(update.notices.at(0).reason, "Retired");
  // Back to a static token it is not.
  rotation.status = update.status;
  rotation.spec.strategy = {};
  EXPECT_EQ(after_run(rotation, done("nobody's")).status.active()->retired_at, std::nullopt);
}

TEST(StatusAlternate, BackToOneRobotItsTokenIsAdoptedAndTheOtherForgotten) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, turned()).status;
  rotation.spec.strategy = {};
  rotation.generation = 4;
  const StatusUpdate update = after_run(rotation, done("old"));
  ASSERT_EQ(update.status.robots.size(), 1U);
  EXPECT_EQ(update.status.active_name(), "acme+puller");
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  EXPECT_EQ(update.status.history[0].reason, "Adopted");
  EXPECT_EQ(update.notices.at(0).reason, "Adopted");
}

TEST(StatusAlternate, AfterAChangeThatLeavesTheActiveRobotTheOtherIsForgottenAtRest) {
  api::RobotTokenRotation rotation = alternating();
  rotation.status = after_run(rotation, with(done("old"), {})).status;
  ASSERT_EQ(rotation.status.robots.size(), 2U);
  rotation.spec.strategy = {};
  EXPECT_EQ(at_rest(rotation, readable, now).status.robots.size(), 1U);
}

}  // namespace
}  // namespace quay_rotator::rotation
