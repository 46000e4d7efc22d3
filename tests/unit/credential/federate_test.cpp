#include "credential/federate.h"

#include <gmock/gmock.h>

#include "machines.h"

namespace quay_rotator::credential {
namespace {

using End = Outcome::End;
using Verified = Outcome::Verified;
using ::testing::ElementsAre;
using Kind = quay::Error::Kind;

const base::WallTime expires{std::chrono::hours(1)};
const Exchanged exchanged{new_token, expires};

Trace federate(std::vector<Answer> answers, DeliverInput deliver = {}, bool manage = true) {
  return run(Federating({manage}), deliver, std::move(answers));
}

TEST(FederateTest, ARefreshIsOneExchangeAndOneDelivery) {
  const Trace trace = federate({exchanged, all_well()}, {.trusted = true});
  EXPECT_THAT(trace.asks, ElementsAre("exchange", "publish"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, new_token);
  EXPECT_EQ(trace.outcome.expires, expires);
  EXPECT_EQ(trace.outcome.verified, Verified::not_done);
  EXPECT_FALSE(trace.outcome.foreign || trace.outcome.regenerated || trace.outcome.ledger);
}

TEST(FederateTest, TheFirstIsTriedAtTheRegistry) {
  const Trace trace = federate({exchanged, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("exchange", "publish", "login"));
  EXPECT_EQ(trace.outcome.verified, Verified::good);
}

// The robot's own token, which a read would tell, is another one, and no news.
TEST(FederateTest, ARefusedLoginIsNotAnsweredWithTheRobotsOwnToken) {
  const Trace trace = federate({exchanged, all_well(), quay_says(Kind::login_refused)});
  EXPECT_THAT(trace.asks, ElementsAre("exchange", "publish", "login"));
  EXPECT_EQ(trace.outcome.verified, Verified::refused);
  EXPECT_EQ(trace.outcome.fingerprint, new_token);
}

TEST(FederateTest, IsLetInWhereTheSpecSaysSo) {
  const Trace trace = federate(
      {quay_says(Kind::not_federated), FederationWritten{}, exchanged, all_well(), LoggedIn{}});
  EXPECT_THAT(trace.asks,
              ElementsAre("exchange", "keep-federation", "exchange", "publish", "login"));
  EXPECT_EQ(trace.outcome.end, End::done);
}

TEST(FederateTest, WritesNoListTwiceAndNoneThatItMayNot) {
  const Trace twice = federate(
      {quay_says(Kind::not_federated), FederationWritten{}, quay_says(Kind::not_federated)});
  EXPECT_THAT(twice.asks, ElementsAre("exchange", "keep-federation", "exchange"));
  EXPECT_EQ(twice.outcome.end, End::quay_failed);
  const Trace unmanaged = federate({quay_says(Kind::not_federated)}, {}, /*manage=*/false);
  EXPECT_THAT(unmanaged.asks, ElementsAre("exchange"));
  EXPECT_EQ(unmanaged.outcome.quay_error->kind, Kind::not_federated);
  const Trace another = federate({quay_says(Kind::server_error)});
  EXPECT_THAT(another.asks, ElementsAre("exchange"));
}

TEST(FederateTest, WithoutATokenOfTheServiceAccountNothingIsDone) {
  const Trace trace = federate({NoIdentity{{"ServiceAccountNotFound", "no such"}}});
  EXPECT_EQ(trace.outcome.end, End::no_identity);
  EXPECT_EQ(trace.outcome.refusal->reason, "ServiceAccountNotFound");
  const Trace conflict =
      federate({quay_says(Kind::not_federated), kube_says(kube::Error::Kind::conflict)});
  EXPECT_EQ(conflict.outcome.end, End::start_over);
  const Trace down =
      federate({quay_says(Kind::not_federated), kube_says(kube::Error::Kind::unreachable)});
  EXPECT_EQ(down.outcome.end, End::api_server);
}

TEST(FederateTest, TheFederationIsLeftOnceEveryTargetHasAnotherToken) {
  const DeliverInput leave{.leave_federation = true};
  const Trace left = run(Adopting(adopt(std::nullopt)), leave,
                         {RobotRead{old_token}, all_well(), LoggedIn{}, FederationWritten{}});
  EXPECT_THAT(left.asks, ElementsAre("read-robot", "publish", "login", "leave-federation"));
  EXPECT_TRUE(left.outcome.left_federation);
  EXPECT_EQ(left.outcome.verified, Verified::good);
  const Trace stays =
      run(Adopting(adopt(std::nullopt)), leave,
          {RobotRead{old_token}, all_well(), LoggedIn{}, quay_says(Kind::insufficient_scope)});
  EXPECT_EQ(stays.outcome.end, End::done);
  EXPECT_EQ(stays.outcome.leave_error->kind, Kind::insufficient_scope);
  const Trace early = run(Adopting(adopt(std::nullopt)), leave, {RobotRead{old_token}, refused()});
  EXPECT_THAT(early.asks, ElementsAre("read-robot", "publish"));
}

}  // namespace
}  // namespace quay_rotator::credential
