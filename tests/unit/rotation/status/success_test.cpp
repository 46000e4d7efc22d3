#include "rotation/status/success.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rotation/status/record.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

TEST(StatusSuccess, AnUnreadableOneIsToldAndMendedByASuccess) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.robots.clear();
  rotation.status.unreadable = api::Unreadable{{"robots"}, "status.x: nonsense"};
  RunResult refused = ended(End::quay_failed);
  refused.quay_error = quay_error(quay::Error::Kind::read_only);
  const StatusUpdate told = after_run(rotation, refused);
  EXPECT_TRUE(told.status.unreadable);
  for (const char* type : {"Ready", "Stalled"}) {
    EXPECT_EQ(condition(told, type).reason, "StatusUnreadable");
    EXPECT_THAT(condition(told, type).message,
                AllOf(HasSubstr("status.x: nonsense"), HasSubstr("Quay is read-only")));
  }
  const StatusUpdate mended = after_run(rotation, done("new"));
  EXPECT_FALSE(mended.status.unreadable);
  EXPECT_EQ(mended.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(mended.status.known_since(), now);
  EXPECT_EQ(condition(mended, "Ready").status, ConditionStatus::true_);
  EXPECT_TRUE(std::ranges::any_of(
      mended.notices, [](const Notice& notice) { return notice.reason == "StatusUnreadable"; }));
}

TEST(StatusSuccess, ALedgerThatCannotBeReadStaysForAsLongAsItsPostMayBeInFlight) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.unreadable =
      api::Unreadable{{"robots", "rotation"}, "status.rotation.id: expected a string"};
  RunResult result = done("new");
  result.foreign = true;
  result.hold_left = seconds(590);
  EXPECT_TRUE(needs_retry(result));
  const StatusUpdate held = after_run(rotation, result);
  EXPECT_TRUE(held.status.has_unreadable_ledger());
  EXPECT_EQ(held.status.unreadable->members.size(), 1U) << "the rest is mended";
  EXPECT_EQ(held.status.fingerprint(), base::Fingerprint::of("new")) << "delivered at once";
  EXPECT_EQ(condition(held, "Published").status, ConditionStatus::true_);
  EXPECT_EQ(condition(held, "Ready").reason, "RotationUnclear");
  EXPECT_THAT(condition(held, "Ready").message,
              AllOf(HasSubstr("status.rotation.id"), HasSubstr("for another 9m50s")));
  EXPECT_EQ(held.status.consecutive_failures, 1);

  rotation.status = held.status;
  const StatusUpdate settled_now = after_run(rotation, done("new"));
  EXPECT_FALSE(settled_now.status.unreadable);
  EXPECT_EQ(condition(settled_now, "Ready").status, ConditionStatus::true_);
  EXPECT_EQ(settled_now.status.consecutive_failures, 0);
}

TEST(StatusSuccess, TellsARotationWhole) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  rotation.status.consecutive_failures = 2;
  const StatusUpdate update = after_run(rotation, rotated());
  const auto& status = update.status;
  EXPECT_TRUE(status.conditions.is_true("Ready"));
  EXPECT_TRUE(status.conditions.is_true("Published"));
  EXPECT_TRUE(status.conditions.is_true("Verified"));
  EXPECT_TRUE(status.conditions.is_true("Preflight"));
  EXPECT_EQ(status.observed_generation, 3);
  EXPECT_EQ(status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(status.last_rotation_time, now);
  EXPECT_EQ(status.next, (api::Next{now + hours(1), api::NextReason::interval}));
  EXPECT_EQ(status.last_handled_rotate_request, "today");
  EXPECT_EQ(status.consecutive_failures, 0);
  EXPECT_FALSE(status.rotation);
  EXPECT_FALSE(status.retry_after);
  ASSERT_EQ(status.history.size(), 1U);
  EXPECT_EQ(status.history[0].robot, "acme+puller");
  EXPECT_EQ(status.history[0].reason, "Requested");
  EXPECT_EQ(status.history[0].outage, milliseconds(12));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Rotated");
  EXPECT_THAT(update.notices[0].note, HasSubstr("outage 12ms"));
}

TEST(StatusSuccess, AdoptionAnnouncesItselfOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  const StatusUpdate first = after_run(rotation, done("old"));
  ASSERT_EQ(first.notices.size(), 1U);
  EXPECT_EQ(first.notices[0].reason, "Adopted");
  EXPECT_EQ(first.status.known_since(), now);
  EXPECT_FALSE(first.status.last_rotation_time);
  rotation.status = first.status;
  EXPECT_TRUE(after_run(rotation, done("old")).notices.empty());
}

TEST(StatusSuccess, TellsAForeignRotationAndCountsTheIntervalFromIt) {
  RunResult result = done("theirs");
  result.foreign = true;
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "ForeignRotation");
  EXPECT_EQ(update.status.next->time, now + hours(1));
  EXPECT_FALSE(update.status.last_rotation_time);
}

TEST(StatusSuccess, ARobotThatWasMadeAnewIsToldAsThat) {
  api::RobotTokenRotation rotation = settled();
  RunResult gone = ended(End::quay_failed);
  gone.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  rotation.status = after_run(rotation, rotated()).status;
  rotation.status = after_run(rotation, gone).status;
  RunResult result = done("another");
  result.foreign = true;
  const StatusUpdate update = after_run(rotation, result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "RobotRecreated");
  EXPECT_THAT(update.notices[0].note, HasSubstr("no rights"));
  EXPECT_EQ(update.status.history[0].reason, "RobotRecreated");
}

TEST(StatusSuccess, TellsHealing) {
  RunResult result = done("old");
  result.healed = "Secret quay-pull was missing";
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Healed");
  EXPECT_THAT(update.notices[0].note,
              ::testing::StartsWith("Secret quay-pull was missing: healed"));
  EXPECT_EQ(update.status.known_since(), now - hours(1));
}

TEST(StatusSuccess, AnUnverifiableTokenIsReadyButTriedAgain) {
  RunResult result = rotated();
  result.verified = Verified::unknown;
  result.verify_error = quay_error(quay::Error::Kind::registry_unavailable);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_TRUE(needs_retry(result));
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  EXPECT_TRUE(update.status.retry_after);
}

TEST(StatusSuccess, AnUnverifiableTokenIsAskedForMoreAndMoreSeldom) {
  api::RobotTokenRotation rotation = settled();
  for (int times = 1; times <= 3; ++times) {
    RunResult result = done("old");
    result.verified = Verified::unknown;
    result.verify_error = quay_error(quay::Error::Kind::registry_unavailable);
    result.retry_delay = seconds(5 * times);
    const StatusUpdate update = after_run(rotation, result);
    EXPECT_EQ(update.status.consecutive_failures, times);
    EXPECT_EQ(condition(update, "Verified").message,
              "Quay is read-only; asking again in " + std::to_string(5 * times) + "s");
    EXPECT_TRUE(update.status.conditions.is_true("Ready"));
    rotation.status = update.status;
  }
  EXPECT_EQ(after_run(rotation, done("old")).status.consecutive_failures, 0);
}

TEST(StatusSuccess, ARefusedLoginAndAnOlderTokenLeaveTheNewOneUnverified) {
  RunResult result = rotated();
  result.verified = Verified::unknown;
  result.verify_error = quay_error(quay::Error::Kind::login_refused);
  result.stale = base::Fingerprint::of("old");
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(condition(update, "Verified").reason, "StaleRead");
  EXPECT_TRUE(needs_retry(result));
}

TEST(StatusSuccess, ALateCommitOfOursIsNotPutOnOthersAlone) {
  RunResult result = done("late");
  result.foreign = true;
  result.watched = true;
  EXPECT_THAT(after_run(settled(), result).notices.at(0).note,
              HasSubstr("by an earlier request that Quay carried out late, or by somebody else"));
}

TEST(StatusSuccess, ABackupThatWasPutBackIsToldAsSuch) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  RunResult result = done("old");
  result.foreign = true;
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_THAT(update.notices.at(0).note, HasSubstr("gone back to an older token"));
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  EXPECT_THAT(superseded(update.status, "puller"), testing::Contains(base::Fingerprint::of("new")));
  EXPECT_THAT(superseded(update.status, "puller"),
              testing::Not(testing::Contains(base::Fingerprint::of("old"))));
}

TEST(StatusSuccess, ARefusedTokenIsNotReady) {
  RunResult result = rotated();
  result.verified = Verified::refused;
  result.verify_error = quay_error(quay::Error::Kind::robots_disallowed);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Ready").reason, quay::reason(quay::Error::Kind::robots_disallowed));
  EXPECT_FALSE(update.status.rotation);
}

TEST(StatusSuccess, WhatIsRestoredWithoutItsStatusTakesItsRequestForHandled) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  rotation.rotate_request = "last year";
  EXPECT_EQ(after_run(rotation, done("old")).status.last_handled_rotate_request, "");
  rotation.initialized = true;
  EXPECT_EQ(after_run(rotation, done("old")).status.last_handled_rotate_request, "last year");
}

}  // namespace
}  // namespace quay_rotator::rotation
