#include "rotation/status/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(StatusFailure, AnnouncesAFailedRotationOnlyWhereThereWasOne) {
  RunResult result = ended(End::quay_failed);
  result.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  EXPECT_EQ(after_run(settled(), result).notices.at(0).reason, "RobotNotFound");
  result.rotates = true;
  EXPECT_EQ(after_run(settled(), result).notices.at(0).reason, "RotationFailed");
}

TEST(StatusFailure, ARefusedPreflightSaysWhichSecretAndThatNothingHappened) {
  RunResult result = done("old");
  result.end = End::preflight_refused;
  result.problems = {{{"team", "pull"}, "Secret", "Immutable", "it is immutable; delete it", true}};
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Preflight").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Ready").reason, "Immutable");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("Secret pull: it is immutable"));
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("nothing was regenerated"));
  EXPECT_EQ(update.status.consecutive_failures, 1);
  EXPECT_EQ(update.status.retry_after, now + seconds(5));
  EXPECT_EQ(update.notices[0].reason, "PreflightFailed");
  const api::FailingTarget& failing = update.status.targets.failing.at(0);
  EXPECT_EQ(failing.name_space, "team");
  EXPECT_EQ(failing.name, "pull");
  EXPECT_EQ(failing.kind, "Secret");
}

TEST(StatusFailure, AQuayThatRefusesClearsTheLedgerAndIsRememberedOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  RunResult result = rotated();
  result.end = End::quay_failed;
  result.regenerated = false;
  result.quay_error = quay_error(quay::Error::Kind::read_only);
  StatusUpdate update = after_run(rotation, result);
  EXPECT_FALSE(update.status.rotation);
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  ASSERT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.history[0].result, "Failed");
  rotation.status = update.status;
  update = after_run(rotation, result);
  EXPECT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.consecutive_failures, 2);
}

TEST(StatusFailure, AnUnclearAnswerKeepsTheLedger) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  RunResult result = rotated();
  result.end = End::unclear;
  result.clear_ledger = false;
  result.regenerated = false;
  result.hold_left = seconds(590);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_TRUE(update.status.rotation);
  EXPECT_EQ(condition(update, "Ready").reason, "RotationUnclear");
  EXPECT_THAT(condition(update, "Ready").message,
              HasSubstr("nothing is sent again for another 9m50s; asking again in 5s"));
}

TEST(StatusFailure, UnwrittenTargetsAreCountedAndKeepTheirSince) {
  RunResult result = rotated();
  result.end = End::unpublished;
  result.clear_ledger = false;
  result.targets_total = 3;
  result.problems = {{{"team", "pull"}, "Secret", "AdmissionDenied", "denied", true}};
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = result.ledger;
  rotation.status = after_run(rotation, result).status;
  result.now = now + seconds(60);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(update.status.targets.current, 2);
  EXPECT_EQ(update.status.targets.failing[0].since, now);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::false_);
  EXPECT_TRUE(update.status.rotation);
}

TEST(StatusFailure, ADeliveryThatFailsWithoutARotationIsAnnouncedOnceForEachReason) {
  RunResult result = ended(End::unpublished);
  result.problems = {{{"team", "pull"}, "Secret", "NotOwned", "Secret team/pull exists", true}};
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  const auto told = [&] {
    const StatusUpdate update = after_run(rotation, result);
    rotation.status = update.status;
    return update.notices;
  };
  const auto first = told();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].reason, "PublishFailed");
  EXPECT_EQ(first[0].type, kube::EventType::warning);
  EXPECT_THAT(first[0].note, HasSubstr("Secret team/pull exists"));
  EXPECT_TRUE(told().empty());
  result.problems[0].reason = "QuotaExceeded";
  EXPECT_EQ(told().size(), 1U);
}

TEST(StatusFailure, AStaleReadIsToldOnceAndChangesNothing) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  StatusUpdate update = after_run(rotation, stale_read());
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  EXPECT_EQ(condition(update, "Verified").reason, "StaleRead");
  EXPECT_THAT(condition(update, "Verified").message, HasSubstr("asking again in 5s"));
  EXPECT_TRUE(update.status.conditions.is_true("Ready")) << "every target holds the newest token";
  EXPECT_EQ(update.status.history.size(), 1U);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "StaleRead");
  rotation.status = update.status;
  update = after_run(rotation, stale_read());
  EXPECT_TRUE(update.notices.empty());
  EXPECT_EQ(update.status.consecutive_failures, 2);
}

TEST(StatusFailure, WhatCannotBeHealedFromAStaleReadIsNotReady) {
  RunResult result = stale_read();
  result.targets_current = false;
  EXPECT_EQ(condition(after_run(settled(), result), "Ready").reason, "StaleRead");
}

TEST(StatusFailure, ARotationThatCannotBeginIsTold) {
  RunResult result = rotated();
  result.end = End::start_over;
  result.regenerated = false;
  result.clear_ledger = false;
  result.start_overs = 4;
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Ready").reason, "CannotBegin");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("4 times in a row"));
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("asking again in 5s"));
  EXPECT_EQ(update.status.consecutive_failures, 1);
}

TEST(StatusFailure, ARobotThatIsGoneIsNotInTheSecrets) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  RunResult result = ended(End::quay_failed);
  result.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
}

}  // namespace
}  // namespace quay_rotator::rotation
