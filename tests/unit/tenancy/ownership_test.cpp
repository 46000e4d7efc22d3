#include "tenancy/ownership.h"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::tenancy {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const kube::ObjectKey a{"team-a", "puller"};
const kube::ObjectKey b{"team-b", "puller"};
const kube::ObjectKey c{"team-c", "puller"};
const Way direct{"quay", "quay.example.com", false};
const Way by_alias{"quay", "10.0.0.7", false};
// A proxy of the tenant's and a CA of the tenant's.
const Way forged{"quay", "quay.example.com", true};

base::WallTime at(int second) {
  return base::WallTime(seconds(second));
}

Claim unproven_claim(const kube::ObjectKey& key, int created, const Way& way = direct) {
  Claim claim;
  claim.key = key;
  claim.created = at(created);
  claim.robot = {"acme", "puller"};
  claim.way = way;
  return claim;
}

// As found at the start, or (`version`) as the watch brought it.
Claim proven_claim(const kube::ObjectKey& key, int since, const Way& way = direct,
                   const std::string& self_given_name = "quay.example.com", int version = 0) {
  Claim claim = unproven_claim(key, since, way);
  claim.ownership = proven(std::nullopt, way, alias_of(self_given_name), at(since));
  if (version > 0) claim.version = std::to_string(version);
  return claim;
}

struct OwnersTest : ::testing::Test {
  Owners owners;
  std::optional<kube::ObjectKey> in_the_way_of(const kube::ObjectKey& key) const {
    return owners.standing(key).owner;
  }
};

TEST(QuayKey, IsOneForEverySpellingOfAHost) {
  EXPECT_EQ(quay_key("quay.example.com", 443), "quay.example.com");
  EXPECT_EQ(quay_key("quay.example.com", 80), "quay.example.com");
  EXPECT_EQ(quay_key("Quay.Example.COM.", 443), "quay.example.com");
  EXPECT_EQ(quay_key("quay.example.com", 8443), "quay.example.com:8443");
  EXPECT_EQ(quay_key("::1", 8443), "[::1]:8443");
}

TEST(Alias, IsADigestOfWhatIsANameAndNothingElse) {
  EXPECT_EQ(alias_of("Quay.Example.com:443/"), alias_of("quay.example.com"));
  EXPECT_EQ(alias_of("[::1]:443"), alias_of("[::1]"));
  EXPECT_NE(alias_of("quay.example.com:8443"), alias_of("quay.example.com"));
  EXPECT_EQ(alias_of("quay.example.com").size(), 32U);
  for (const char* nonsense : {"", "a b", "a\nb", "https://a", "a:0", "a:99999", "a:b", ":80"}) {
    EXPECT_EQ(alias_of(nonsense), "") << nonsense;
  }
  EXPECT_EQ(alias_of("quaytokeninlowercase").find("quay"), std::string::npos);
}

TEST_F(OwnersTest, AnUnprovenClaimBlocksNobody) {
  owners.claim(unproven_claim(a, 1));
  owners.claim(unproven_claim(b, 2));
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_FALSE(owners.standing(a).proven);
}

TEST_F(OwnersTest, WhoeverIsProvenOwnsTheRobotHoweverYoung) {
  owners.claim(unproven_claim(a, 1));
  EXPECT_THAT(owners.claim(proven_claim(b, 9)), ElementsAre(a));
  EXPECT_EQ(in_the_way_of(a), b);
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_TRUE(owners.standing(b).proven);
}

TEST_F(OwnersTest, OfTwoFoundAtTheStartTheFirstProofOwnsTheRobot) {
  owners.claim(proven_claim(b, 2));
  EXPECT_THAT(owners.claim(proven_claim(a, 1)), ElementsAre(b));
  EXPECT_EQ(in_the_way_of(b), a);
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
}

TEST_F(OwnersTest, TiesGoToTheOlderThenToTheName) {
  Claim younger = proven_claim(a, 5);
  younger.created = at(4);
  Claim older = proven_claim(b, 5);
  older.created = at(3);
  owners.claim(younger);
  owners.claim(older);
  EXPECT_EQ(in_the_way_of(a), b);
  older.created = younger.created;
  owners.claim(older);
  EXPECT_EQ(in_the_way_of(b), a);
}

// Two leaders, two clocks: what all see alike is the order of the versions.
TEST_F(OwnersTest, AProofThatCameLaterNeverDisplacesAnEarlierOneWhateverItsDate) {
  owners.claim(proven_claim(a, 500, direct, "", 10));
  EXPECT_THAT(owners.claim(proven_claim(b, 100, direct, "", 11)), IsEmpty());
  EXPECT_EQ(in_the_way_of(b), a);
  // Our own write is in the cache before the watch brings what was written before it.
  EXPECT_THAT(owners.claim(proven_claim(c, 600, direct, "", 9)), ElementsAre(a, b));
  EXPECT_EQ(in_the_way_of(a), c);
  EXPECT_EQ(owners.standing(c).since_version, "9");
}

TEST_F(OwnersTest, MayBeClaimedAgainAndAgain) {
  owners.claim(proven_claim(a, 1, direct, "", 10));
  owners.claim(proven_claim(b, 2, direct, "", 11));
  EXPECT_THAT(owners.claim(proven_claim(a, 1, direct, "", 12)), IsEmpty());
  EXPECT_EQ(in_the_way_of(b), a);
  EXPECT_EQ(owners.standing(a).since_version, "10");
}

TEST_F(OwnersTest, WhoIsGoneIsFollowedByTheNext) {
  owners.claim(proven_claim(a, 1));
  owners.claim(proven_claim(b, 2));
  owners.claim(unproven_claim(c, 1));
  EXPECT_THAT(owners.release(a), ElementsAre(b, c));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(c), b);
  EXPECT_THAT(owners.release(b), ElementsAre(c));
  EXPECT_EQ(in_the_way_of(c), std::nullopt);
  EXPECT_THAT(owners.release(b), IsEmpty());
}

TEST_F(OwnersTest, AConnectionThatIsTurnedToAnotherQuayLosesItsProof) {
  const Way parked{"quay", "parked.example.net", false};
  Claim old = proven_claim(a, 1, parked, "parked.example.net");
  owners.claim(old);
  owners.claim(proven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  old.way = direct;
  owners.claim(old);
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(a), b);
  // … and is dated anew.
  EXPECT_EQ(proven(old.ownership, direct, std::nullopt, at(20)).since, at(20));
  EXPECT_EQ(proven(old.ownership, parked, std::nullopt, at(20)).since, at(1));
}

TEST_F(OwnersTest, AConnectionThatIsAwayForAMomentMovesNothing) {
  Claim owner = proven_claim(a, 1);
  owner.way.quay.clear();
  owners.claim(owner);
  owners.claim(proven_claim(b, 2));
  EXPECT_EQ(in_the_way_of(b), a);
}

TEST_F(OwnersTest, AProofThroughAnotherConnectionIsNone) {
  Claim claim = proven_claim(a, 1);
  claim.way.connection = "another";
  owners.claim(claim);
  EXPECT_FALSE(owners.standing(a).proven);
}

TEST_F(OwnersTest, TwoSpellingsOfOneQuayAreNoticedByItsName) {
  owners.claim(proven_claim(a, 1, {"quay", "localhost:8080", false}, "quay.example.com"));
  owners.claim(proven_claim(b, 2, {"quay", "127.0.0.1:8080", false}, "quay.example.com"));
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
  EXPECT_EQ(in_the_way_of(b), a);
}

// A server may call itself what it likes: realm and service are its own words.
TEST_F(OwnersTest, AForgedNameRanksBehindTheHostOfThatName) {
  owners.claim(proven_claim(a, 1, by_alias, "quay.example.com"));
  owners.claim(proven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(a), b);
}

TEST_F(OwnersTest, AForgedNameDoesNotKeepTheHostOfThatNameFromBeingAsked) {
  owners.claim(proven_claim(a, 1, by_alias, "quay.example.com"));
  owners.claim(unproven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
}

// Behind a tenant's own proxy and with a tenant's own CA anything is quay.example.com.
TEST_F(OwnersTest, AForgedCaAndProxyRankBehindAWayThatNobodyForged) {
  owners.claim(proven_claim(a, 1, forged));
  owners.claim(unproven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  owners.claim(proven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(a), b);
}

TEST_F(OwnersTest, WhatWasForgedOnceIsNoProofWithoutTheForgery) {
  Claim claim = proven_claim(a, 1, forged);
  claim.way = direct;
  owners.claim(claim);
  EXPECT_FALSE(owners.standing(a).proven);
  EXPECT_EQ(proven(claim.ownership, direct, std::nullopt, at(5)).since, at(5));
}

TEST_F(OwnersTest, AUsersRobotCountsOnlyUnderTheHostThatToldItsName) {
  Claim made_up = proven_claim(a, 1, {"quay", "evil.example.net", false}, "evil.example.net");
  made_up.robot = {"", "puller"};
  made_up.full_name = "acme+puller";
  owners.claim(made_up);
  owners.claim(proven_claim(b, 9));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
  made_up.way = direct;  // now turned to the victim's Quay
  owners.claim(made_up);
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
}

TEST_F(OwnersTest, AUsersRobotIsTheSameForAllOfOneConnection) {
  Claim first = proven_claim(a, 1);
  first.robot = {"", "laptop"};
  first.full_name = "admin+laptop";
  Claim second = unproven_claim({"team-a", "another"}, 2);
  second.robot = {"", "laptop"};
  owners.claim(first);
  owners.claim(second);
  EXPECT_EQ(in_the_way_of(second.key), a);
  Claim elsewhere = proven_claim(b, 3);
  elsewhere.robot = {"", "laptop"};
  elsewhere.full_name = "admin+laptop";
  owners.claim(elsewhere);
  EXPECT_EQ(in_the_way_of(b), a);
  elsewhere.full_name = "somebody+laptop";
  owners.claim(elsewhere);
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
}

TEST_F(OwnersTest, WhoIsInConflictStaysThereByWhatIsKnownOfItsQuay) {
  Claim junior = proven_claim(a, 1, by_alias, "quay.example.com");
  junior.ownership = unproven(junior.ownership);
  owners.claim(proven_claim(b, 9));
  owners.claim(junior);
  EXPECT_EQ(in_the_way_of(a), b);
  EXPECT_THAT(owners.release(b), ElementsAre(a));
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
}

TEST_F(OwnersTest, TellsWhetherOthersClaimTheRobot) {
  owners.claim(proven_claim(a, 1));
  EXPECT_FALSE(owners.standing(a).contested);
  owners.claim(unproven_claim(b, 2));
  EXPECT_TRUE(owners.standing(a).contested);
  EXPECT_TRUE(owners.standing(b).contested);
}

TEST(Proof, LapsesWhenQuayHasRefusedForLong) {
  const api::Ownership first = proven(std::nullopt, direct, "", at(0));
  auto now = refused(first, at(100));
  ASSERT_TRUE(now && now->since);
  EXPECT_EQ(now->refused_since, at(100));
  now = refused(now, at(100) + minutes(59));
  EXPECT_EQ(now->since, at(0));
  // It is let in again: as if nothing had been.
  EXPECT_EQ(proven(now, direct, "", at(3700)), first);
  now = refused(now, at(100) + hours(1));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->since, std::nullopt);
  EXPECT_EQ(proven(now, direct, "", at(9000)).since, at(9000));
}

TEST(Proof, AClockThatWasWrongDoesNotKeepItForEver) {
  api::Ownership ownership = proven(std::nullopt, direct, "", at(0));
  ownership.refused_since = at(1'000'000);
  const auto now = refused(ownership, at(100));
  EXPECT_EQ(now->refused_since, at(100));
}

TEST(Proof, KeepsWhatIsKnownOfTheNameWhenItCannotBeLearned) {
  const api::Ownership known = proven(std::nullopt, by_alias, alias_of("quay.example.com"), at(1));
  EXPECT_EQ(proven(known, by_alias, std::nullopt, at(2)).alias, alias_of("quay.example.com"));
  EXPECT_EQ(proven(known, by_alias, alias_of("10.0.0.7"), at(2)).alias, "");
}

// 3,000 robots whose full name Quay has never told, each changed ten times: no walk among them.
TEST_F(OwnersTest, ManyRobotsOfUsersCostNoMoreThanOneForEach) {
  constexpr int many = 3000;
  const auto nameless = [](int number, const std::string& robot) {
    Claim claim = unproven_claim({"team-a", "rotation-" + std::to_string(number)}, number);
    claim.robot = {"", robot};
    return claim;
  };
  for (int round = 0; round < 10; ++round) {
    for (int number = 0; number < many; ++number) {
      owners.claim(nameless(number, "robot-" + std::to_string(number)));
    }
  }
  EXPECT_LE(owners.steps(), 10U * many * 4U);
  // All the same robot.
  const std::uint64_t before = owners.steps();
  for (int number = 0; number < many; ++number) owners.claim(nameless(number, "one"));
  EXPECT_LE(owners.steps() - before, many * 8U);
}

// Alternate's second robot.
Claim with_standby(Claim claim, std::optional<int> since = {}) {
  claim.standby = "puller-b";
  claim.full_name = "acme+puller";
  if (since) claim.ownership = proven_standby(*claim.ownership, "puller-b", at(*since));
  return claim;
}
Claim of_robot(Claim claim, const std::string& robot) {
  claim.robot.name = robot;
  return claim;
}

TEST_F(OwnersTest, ASecondRobotIsClaimedOnceItIsComparedAndFromThen) {
  owners.claim(with_standby(proven_claim(a, 1)));
  EXPECT_TRUE(owners.standing(a).proven);
  EXPECT_FALSE(owners.standing(a).standby_proven);
  owners.claim(of_robot(proven_claim(b, 5), "puller-b"));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_EQ(in_the_way_of(a), b) << "of the standby";
  EXPECT_THAT(owners.claim(with_standby(proven_claim(a, 1), 9)), IsEmpty());
  EXPECT_EQ(in_the_way_of(a), b) << "the first robot's earlier proof is none for the second";
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_THAT(owners.claim(with_standby(proven_claim(a, 1), 3)), ElementsAre(b));
  EXPECT_EQ(in_the_way_of(b), a);
  EXPECT_EQ(in_the_way_of(a), std::nullopt);
  EXPECT_TRUE(owners.standing(a).standby_proven);
}

TEST_F(OwnersTest, ASecondRobotIsReleasedWithTheStrategyAndWithTheResource) {
  owners.claim(of_robot(proven_claim(b, 5), "puller-b"));
  owners.claim(with_standby(proven_claim(a, 1), 3));
  ASSERT_EQ(in_the_way_of(b), a);
  EXPECT_THAT(owners.claim(proven_claim(a, 1)), ElementsAre(b));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
  EXPECT_TRUE(owners.standing(a).standby_proven) << "there is none";
  owners.claim(with_standby(proven_claim(a, 1), 3));
  ASSERT_EQ(in_the_way_of(b), a);
  EXPECT_THAT(owners.release(a), ElementsAre(b));
  EXPECT_EQ(in_the_way_of(b), std::nullopt);
}

TEST_F(OwnersTest, TwoRobotsOfAUserAreTwoWhicheverIsActive) {
  Claim both = with_standby(proven_claim(a, 1), 3);
  both.robot.organization = "";
  for (const char* active : {"alice+puller", "alice+puller-b"}) {
    both.full_name = active;
    owners.claim(both);
    EXPECT_EQ(in_the_way_of(a), std::nullopt) << active;
    EXPECT_TRUE(owners.standing(a).standby_proven) << active;
    EXPECT_FALSE(owners.standing(a).contested) << active;
  }
  Claim other = of_robot(proven_claim(b, 5), "puller-b");
  other.robot.organization = "";
  other.full_name = "alice+puller-b";
  owners.claim(other);
  EXPECT_EQ(in_the_way_of(b), a);
}

TEST(Proven, ASecondRobotIsProvenByItsName) {
  const api::Ownership first = proven(std::nullopt, direct, std::nullopt, at(1));
  const api::Ownership both = proven_standby(first, "b", at(2));
  EXPECT_EQ(both.standby_since, at(2));
  EXPECT_EQ(proven_standby(both, "b", at(3)).standby_since, at(2));
  EXPECT_EQ(proven_standby(both, "c", at(3)).standby_since, at(3));
  EXPECT_EQ(unproven(both)->standby_since, std::nullopt);
}

}  // namespace
}  // namespace quay_rotator::tenancy
