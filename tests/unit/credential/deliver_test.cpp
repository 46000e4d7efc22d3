#include "credential/deliver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/credential/machines.h"

namespace quay_rotator::credential {
namespace {

using testing::ElementsAre;
using End = Outcome::End;
using Verified = Outcome::Verified;

TEST(Deliver, AnUnwrittenTargetKeepsTheLedger) {
  const Trace trace = run_from_regenerate(Regenerated{new_token}, {refused()});
  EXPECT_EQ(trace.outcome.end, End::unpublished);
  EXPECT_FALSE(trace.outcome.clear_ledger);
  EXPECT_TRUE(trace.outcome.regenerated);
}

TEST(Deliver, ARefusedNewTokenIsComparedWithQuayAndAnotherOneIsPublished) {
  const Trace trace = run_from_regenerate(Regenerated{new_token},
                                          {all_well(), quay_says(quay::Error::Kind::login_refused),
                                           RobotRead{third_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, third_token);
  EXPECT_TRUE(trace.outcome.foreign);
  EXPECT_EQ(trace.outcome.verified, Verified::good);
}

TEST(Deliver, ARefusedTokenThatQuayStillHoldsIsReportedNotRotatedAgain) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{new_token}});
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.verified, Verified::refused);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Deliver, AnUnavailableRegistrySaysNothingAboutTheToken) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token}, {all_well(), quay_says(quay::Error::Kind::registry_unavailable)});
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.verified, Verified::unknown);
}

TEST(Deliver, AnOlderTokenAfterARefusedLoginIsAStaleReadNotNews) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{old_token}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "dry-run", "login", "ledger", "regenerate",
                                      "publish", "login", "read-robot"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, new_token);
  EXPECT_EQ(trace.outcome.stale, old_token);
  EXPECT_EQ(trace.outcome.verified, Verified::unknown);
  EXPECT_FALSE(trace.outcome.foreign);
  EXPECT_TRUE(trace.outcome.clear_ledger);
}

TEST(Deliver, NoTokenOfARunIsTakenForNewsAgain) {
  const Trace trace = run_from_regenerate(
      Regenerated{new_token},
      {all_well(), quay_says(quay::Error::Kind::login_refused), RobotRead{third_token}, all_well(),
       quay_says(quay::Error::Kind::login_refused), RobotRead{new_token}});
  EXPECT_EQ(trace.asks.back(), "read-robot");
  EXPECT_EQ(trace.outcome.fingerprint, third_token);
  EXPECT_EQ(trace.outcome.made, new_token);
  EXPECT_EQ(trace.outcome.stale, new_token);
}

TEST(Deliver, RepublishesAFewTimesAtMost) {
  std::vector<Answer> rest;
  for (int other = 0; other < 4; ++other) {
    rest.insert(rest.end(), {all_well(), quay_says(quay::Error::Kind::login_refused),
                             RobotRead{Fingerprint::of(std::to_string(other))}});
  }
  const Trace trace = run_from_regenerate(Regenerated{new_token}, std::move(rest));
  EXPECT_EQ(trace.asks.back(), "read-robot");
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, Fingerprint::of("2"));
  EXPECT_EQ(trace.outcome.verified, Verified::refused);
}

TEST(Deliver, ATokenThatWasVerifiedBeforeIsNotTriedAgain) {
  const std::vector<Answer> answers{RobotRead{old_token}, all_well()};
  EXPECT_THAT(run(adopt(old_token), answers, old_token).asks, ElementsAre("read-robot", "publish"));
  EXPECT_THAT(run(adopt(old_token), answers, new_token).asks,
              ElementsAre("read-robot", "publish", "…"));
}

}  // namespace
}  // namespace quay_rotator::credential
