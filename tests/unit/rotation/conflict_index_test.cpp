#include "rotation/conflict_index.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const kube::ObjectKey a{"team-a", "puller"};
const kube::ObjectKey b{"team-b", "puller"};
const kube::ObjectKey c{"team-c", "puller"};
const std::string robot = "https://quay.example.com acme+puller";

Claim claim_of(const kube::ObjectKey& key, int created, std::string what = robot) {
  return {std::move(what), base::WallTime(std::chrono::seconds(created)), key};
}

TEST(ConflictIndex, HasNoConflictForOneClaimant) {
  ConflictIndex index;
  EXPECT_EQ(index.owner_other_than(a), std::nullopt);
  EXPECT_THAT(index.claim(claim_of(a, 10)), IsEmpty());
  EXPECT_EQ(index.owner_other_than(a), std::nullopt);
}

TEST(ConflictIndex, GivesTheRobotToTheOldest) {
  ConflictIndex index;
  index.claim(claim_of(b, 20));
  EXPECT_THAT(index.claim(claim_of(a, 10)), ElementsAre(b));
  EXPECT_EQ(index.owner_other_than(a), std::nullopt);
  EXPECT_EQ(index.owner_other_than(b), a);
}

TEST(ConflictIndex, TellsTheLoserWhenItComesLater) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  EXPECT_THAT(index.claim(claim_of(b, 20)), ElementsAre(b));
  EXPECT_EQ(index.owner_other_than(b), a);
}

TEST(ConflictIndex, BreaksTiesByName) {
  ConflictIndex index;
  index.claim(claim_of(b, 10));
  index.claim(claim_of(a, 10));
  EXPECT_EQ(index.owner_other_than(a), std::nullopt);
  EXPECT_EQ(index.owner_other_than(b), a);
}

TEST(ConflictIndex, MayBeClaimedAgainAndAgain) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  index.claim(claim_of(b, 20));
  EXPECT_THAT(index.claim(claim_of(a, 10)), IsEmpty());
  EXPECT_THAT(index.claim(claim_of(b, 20)), IsEmpty());
}

TEST(ConflictIndex, PassesTheRobotOnWhenItsOwnerGoes) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  index.claim(claim_of(b, 20));
  index.claim(claim_of(c, 30));
  EXPECT_THAT(index.release(a), ElementsAre(b, c));
  EXPECT_EQ(index.owner_other_than(b), std::nullopt);
  EXPECT_EQ(index.owner_other_than(c), b);
  EXPECT_THAT(index.release(a), IsEmpty());
}

TEST(ConflictIndex, TouchesNobodyWhenALoserGoes) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  index.claim(claim_of(b, 20));
  index.claim(claim_of(c, 30));
  EXPECT_THAT(index.release(b), ElementsAre(b));
  EXPECT_EQ(index.owner_other_than(c), a);
}

TEST(ConflictIndex, MovesAClaimToAnotherRobot) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  index.claim(claim_of(b, 20));
  index.claim(claim_of(c, 30, "other"));
  EXPECT_THAT(index.claim(claim_of(a, 10, "other")), ElementsAre(b, c));
  EXPECT_EQ(index.owner_other_than(b), std::nullopt);
  EXPECT_EQ(index.owner_other_than(c), a);
}

TEST(ConflictIndex, GivesARecreatedResourceItsNewAge) {
  ConflictIndex index;
  index.claim(claim_of(a, 10));
  index.claim(claim_of(b, 20));
  EXPECT_THAT(index.claim(claim_of(a, 30)), ElementsAre(a, b));
  EXPECT_EQ(index.owner_other_than(a), b);
}

}  // namespace
}  // namespace quay_rotator::rotation
