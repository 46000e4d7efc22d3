#include "rotation/sight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Extent = Sight::Extent;
using runtime::Urgency;

const base::WallTime noon = base::WallTime(std::chrono::hours(12));
const kube::ObjectKey mine{"team-a", "puller"};
const kube::ObjectKey other{"team-b", "puller"};

TEST(SightTest, ANamespaceIsSeenByItself) {
  Sight sight(2);
  EXPECT_FALSE(sight.of(mine).connections);
  EXPECT_FALSE(sight.see("team-a", Extent::connections, noon).complete);
  EXPECT_TRUE(sight.of(mine).connections);
  EXPECT_EQ(sight.of(mine).complete, std::nullopt);
  EXPECT_FALSE(sight.of(other).connections);
  EXPECT_TRUE(sight.see("team-a", Extent::everything, noon).complete);
  EXPECT_EQ(sight.of(mine).complete, noon);
  EXPECT_FALSE(sight.see("team-a", Extent::everything, noon + std::chrono::hours(1)).complete)
      << "it was before";
  EXPECT_EQ(sight.of(mine).complete, noon);
}

TEST(SightTest, AllNamespacesAtOnce) {
  Sight sight(1);
  sight.see("", Extent::everything, noon);
  EXPECT_EQ(sight.of(mine).complete, noon);
  EXPECT_EQ(sight.of(other).complete, noon);
  EXPECT_TRUE(sight.of(mine).owners_known);
}

TEST(SightTest, UntilAllIsSeenOnlyWhoHadProvenItOwnsARobot) {
  Sight sight(2);
  sight.note_owner(mine);
  sight.see("team-a", Extent::everything, noon);
  EXPECT_TRUE(sight.of(mine).owners_known);
  EXPECT_FALSE(sight.of({"team-a", "younger"}).owners_known);
  sight.forget(mine);
  EXPECT_FALSE(sight.of(mine).owners_known) << "it was deleted";
  sight.see("team-b", Extent::everything, noon);
  EXPECT_TRUE(sight.of(mine).owners_known);
}

TEST(SightTest, WhatIsPostponedComesBackOnceWhenMoreIsTold) {
  Sight sight(1);
  EXPECT_TRUE(sight.postpone(mine, Urgency::outage, sight.of(mine).version));
  EXPECT_TRUE(sight.postpone(other, Urgency::normal, sight.of(other).version));
  sight.forget(other);
  EXPECT_THAT(sight.see("", Extent::connections, noon).postponed,
              ElementsAre(Pair(mine, Urgency::outage)));
  EXPECT_THAT(sight.see("", Extent::everything, noon).postponed, IsEmpty());
}

TEST(SightTest, NothingIsPostponedForWhatWasToldMeanwhile) {
  Sight sight(1);
  const int before = sight.of(mine).version;
  sight.see("", Extent::connections, noon);
  EXPECT_FALSE(sight.postpone(mine, Urgency::normal, before));
}

TEST(SightTest, ANamespaceThatCannotBeReadSaysWhyUntilItIs) {
  Sight sight(2);
  sight.postpone(other, Urgency::normal, sight.of(other).version);
  EXPECT_THAT(sight.cannot_see("team-b", "forbidden"), ElementsAre(Pair(other, Urgency::normal)));
  EXPECT_EQ(sight.unreadable(), 1U);
  EXPECT_EQ(sight.of(other).unreadable, "forbidden");
  EXPECT_EQ(sight.of(mine).unreadable, std::nullopt);
  sight.see("team-b", Extent::everything, noon);
  EXPECT_EQ(sight.of(other).unreadable, std::nullopt);
  EXPECT_EQ(sight.unreadable(), 0U);
}

TEST(SightTest, WhatAnotherClusterLooksAfter) {
  Sight sight(1);
  api::RobotTokenRotation rotation;
  rotation.cluster = "there";
  EXPECT_TRUE(sight.looked_after(rotation)) << "nobody knows yet where this is";
  sight.identify("here");
  EXPECT_FALSE(sight.looked_after(rotation));
  rotation.cluster = "here";
  EXPECT_TRUE(sight.looked_after(rotation));
}

}  // namespace
}  // namespace quay_rotator::rotation
