#include "rotation/status/halted.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "rotation/status/at_rest.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using testing::HasSubstr;

TEST(StatusHalted, SaysWhichMetadataIsNotAllowed) {
  api::RobotTokenRotation rotation = settled();
  const StatusUpdate first = metadata_not_allowed(
      rotation, {"a.com/1", "a.com/2", "a.com/3", "a.com/4", "a.com/5", "a.com/6"}, now);
  EXPECT_EQ(condition(first, "Ready").reason, "MetadataNotAllowed");
  EXPECT_EQ(condition(first, "Stalled").status, ConditionStatus::true_);
  EXPECT_THAT(condition(first, "Ready").message,
              HasSubstr("annotation \"a.com/1\", \"a.com/2\", \"a.com/3\", \"a.com/4\", "
                        "\"a.com/5\" and 1 more: take it out of spec.targets"));
  EXPECT_EQ(first.notices.size(), 1U);
  rotation.status = first.status;
  EXPECT_TRUE(metadata_not_allowed(rotation, {"a.com/1"}, now).notices.empty()) << "told once";
}

TEST(StatusHalted, AConflictNamesNobodyOfAnotherNamespace) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.ownership = tenancy::proven(std::nullopt, way, "", now);
  const StatusUpdate update = in_conflict(rotation, {"secret-team", "secret-name"}, now);
  EXPECT_THAT(condition(update, "Conflict").message,
              HasSubstr("a RobotTokenRotation in another namespace"));
  EXPECT_EQ(to_json(update.status).dump().find("secret-"), std::string::npos);
  for (const Notice& notice : update.notices) {
    EXPECT_EQ(notice.note.find("secret-"), std::string::npos);
  }
  // It calls nothing: nothing proves its claim.
  EXPECT_FALSE(update.status.ownership->since);
}

TEST(StatusHalted, AnotherClustersResourceSaysWhatToDoAndIsAnnouncedOnce) {
  api::RobotTokenRotation rotation = settled();
  const StatusUpdate update = of_another_cluster(rotation, now);
  EXPECT_EQ(update.notices.size(), 1U);
  const api::Condition& stalled = condition(update, "Stalled");
  EXPECT_EQ(stalled.reason, "OwnedByAnotherCluster");
  EXPECT_THAT(stalled.message,
              HasSubstr("kubectl -n team annotate rtr puller quayrotator.dev/cluster-"));
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::false_);
  rotation.status = update.status;
  EXPECT_TRUE(of_another_cluster(rotation, now).notices.empty());
}

TEST(StatusHalted, AConflictIsAnnouncedOnceAndEndsAtRest) {
  api::RobotTokenRotation rotation = settled();
  StatusUpdate update = in_conflict(rotation, {"team", "older"}, now);
  EXPECT_EQ(update.notices.size(), 1U);
  EXPECT_THAT(condition(update, "Conflict").message, HasSubstr("team/older"));
  rotation.status = update.status;
  EXPECT_TRUE(in_conflict(rotation, {"team", "older"}, now).notices.empty());
  update = at_rest(rotation, readable, now);
  EXPECT_EQ(update.status.conditions.find("Conflict"), nullptr);
  EXPECT_EQ(update.status.conditions.find("Stalled"), nullptr);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
}

}  // namespace
}  // namespace quay_rotator::rotation
