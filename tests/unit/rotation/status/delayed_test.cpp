#include "rotation/status/delayed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rotation/status/at_rest.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using testing::HasSubstr;

TEST(StatusDelayed, NamesTheRobotBeforeQuayHasToldIt) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  rotation.spec.robot = {"acme", "puller"};
  RunResult result = ended(End::quay_failed);
  result.robot.clear();
  result.quay_error = quay_error(quay::Error::Kind::unreachable);
  EXPECT_EQ(after_run(rotation, result).status.active_name(), "acme+puller");
}

TEST(StatusDelayed, ANamespaceThatCannotBeReadIsToldOnceAndIsOverAtRest) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = at_rest(rotation, readable, now).status;
  StatusUpdate update = namespace_unreadable(rotation, "secrets is forbidden", now);
  EXPECT_EQ(condition(update, "Ready").reason, "NamespaceUnreadable");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("secrets is forbidden"));
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
  ASSERT_EQ(update.notices.size(), 1U);
  rotation.status = update.status;
  EXPECT_TRUE(namespace_unreadable(rotation, "secrets is forbidden", now).notices.empty());
  update = at_rest(rotation, std::nullopt, now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::true_);
  EXPECT_TRUE(update.notices.empty());
}

TEST(StatusDelayed, AConnectionThatIsTurnedElsewhereLosesTheClaimAlsoWhenNobodyAnswersThere) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.ownership = tenancy::proven(std::nullopt, way, "", now - hours(9));
  RunResult away = refused(quay::Error::Kind::unreachable);
  away.way.quay = "elsewhere.example.com";
  EXPECT_FALSE(after_run(rotation, away).status.ownership->since);
}

}  // namespace
}  // namespace quay_rotator::rotation
