#include "rotation/status/at_rest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(StatusAtRest, WhatAWrongClockDatedIsDatedAnewAndTold) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.last_rotation_time = now + hours(24 * 365);
  rotation.status = at_rest(rotation, readable, now).status;
  const StatusUpdate update = dated_anew(rotation, now);
  EXPECT_EQ(update.status.last_rotation_time, now);
  EXPECT_EQ(update.status.next->time, now + hours(1));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "ClockWasWrong");
  EXPECT_THAT(update.notices[0].note, HasSubstr("2027-03-01T00:00:00Z"));
}

TEST(StatusAtRest, NothingChangesAtRest) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_EQ(at_rest(rotation, readable, now + seconds(100)).status, rotation.status);
  EXPECT_EQ(at_rest(rotation, {}, now + seconds(100)).status, rotation.status);
}

TEST(StatusAtRest, WhatOnlyAPersonCanEndIsOnTheResourceWithAnEventUntilItHasEnded) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  StatusUpdate update = at_rest(rotation, known("OrganizationNotFound", true), now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Ready").reason, "OrganizationNotFound");
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "OrganizationNotFound");

  rotation.status = update.status;
  EXPECT_TRUE(at_rest(rotation, known("OrganizationNotFound", true), now).notices.empty());
  EXPECT_EQ(at_rest(rotation, {}, now).status, rotation.status) << "nobody has looked again";

  update = at_rest(rotation, readable, now);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_TRUE(update.status.conditions.is_true("Published"));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Recovered");
}

TEST(StatusAtRest, AQuayThatIsAwayLeavesTheResourceReady) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  const StatusUpdate update = at_rest(rotation, known("Unreachable", false), now);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_TRUE(update.status.conditions.is_true("Verified"));
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
}

}  // namespace
}  // namespace quay_rotator::rotation
