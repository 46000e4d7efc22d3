#include "credential/adopt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/credential/machines.h"

namespace quay_rotator::credential {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using End = Outcome::End;
using Verified = Outcome::Verified;

TEST(Adopt, HealingNeverRegenerates) {
  const Trace trace = run(adopt(old_token), {RobotRead{old_token}, all_well()}, old_token);
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "publish"));
  EXPECT_FALSE(trace.outcome.foreign);
}

TEST(Adopt, AnUnreadableLedgerIsSettledWhenTheHoldIsOver) {
  AdoptInput input = adopt(old_token);
  input.ledger_unreadable = true;
  input.ledger_seen_for = seconds(10);
  Trace trace = run(input, {RobotRead{old_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.hold_left, hold - seconds(10));
  input.ledger_seen_for = hold;
  trace = run(input, {RobotRead{old_token}, all_well(), LoggedIn{}});
  EXPECT_EQ(trace.outcome.hold_left, std::nullopt);
}

// Of tokens that were current one after the other, the newest is `new_token`.
AdoptInput adopt_after_rotation() {
  AdoptInput input = adopt(new_token);
  input.known.superseded = {old_token};
  return input;
}

TEST(Adopt, AnOlderTokenIsNeverPublished) {
  RegenerateInput rotation = rotate();
  rotation.known = adopt_after_rotation().known;
  for (const Trace& trace : {run(adopt_after_rotation(), {RobotRead{old_token}}),
                             run(std::move(rotation), {RobotRead{old_token}})}) {
    EXPECT_THAT(trace.asks, ElementsAre("read-robot"));
    EXPECT_EQ(trace.outcome.end, End::stale_read);
    EXPECT_EQ(trace.outcome.stale, old_token);
    EXPECT_EQ(trace.outcome.fingerprint, new_token);
    EXPECT_FALSE(trace.outcome.foreign);
  }
}

TEST(Adopt, AnOlderTokenThatStaysAndIsAcceptedIsAQuayThatWasPutBack) {
  AdoptInput input = adopt_after_rotation();
  input.known.stale = old_token;
  input.known.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login", "publish"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, old_token);
  EXPECT_EQ(trace.outcome.verified, Verified::good);
  EXPECT_TRUE(trace.outcome.foreign);
  EXPECT_FALSE(trace.outcome.stale);
}

TEST(Adopt, AnOlderTokenThatStaysIsStaleAsLongAsTheRegistryDoesNotAcceptIt) {
  using Kind = quay::Error::Kind;
  for (const Kind kind : {Kind::login_refused, Kind::registry_unavailable}) {
    AdoptInput input = adopt_after_rotation();
    input.known.stale = old_token;
    input.known.stale_for = hold;
    const Trace trace = run(std::move(input), {RobotRead{old_token}, quay_says(kind)});
    EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login"));
    EXPECT_EQ(trace.outcome.end, End::stale_read);
  }
}

TEST(Adopt, AnOlderTokenIsNotBelievedBeforeTheHoldIsOverNorForAnothersSake) {
  AdoptInput input = adopt_after_rotation();
  input.known.stale = old_token;
  input.known.stale_for = hold - seconds(1);
  EXPECT_EQ(run(input, {RobotRead{old_token}}).outcome.end, End::stale_read);
  input.known.stale = third_token;
  input.known.stale_for = 2 * hold;
  EXPECT_EQ(run(input, {RobotRead{old_token}}).outcome.end, End::stale_read);
}

TEST(Adopt, WithoutVerificationTheHoldAloneDecides) {
  AdoptInput input = adopt_after_rotation();
  input.verify = false;
  input.known.stale = old_token;
  input.known.stale_for = hold;
  const Trace trace = run(std::move(input), {RobotRead{old_token}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "publish"));
  EXPECT_EQ(trace.outcome.fingerprint, old_token);
  EXPECT_EQ(trace.outcome.verified, Verified::not_done);
}

TEST(Adopt, AListedTokenIsPublishedOnceTheRegistryAcceptsIt) {
  const Trace trace =
      run(adopt({}), {RobotRead{old_token, /*listed=*/true}, LoggedIn{}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login", "publish"));
  EXPECT_EQ(trace.outcome.end, End::done);
  EXPECT_EQ(trace.outcome.fingerprint, old_token);
  EXPECT_EQ(trace.outcome.verified, Verified::good);
  EXPECT_FALSE(trace.outcome.foreign);
}

// Refused or without an answer: it may be older than what the robot's own answer tells.
TEST(Adopt, AListedTokenThatIsNotProvenIsReadAgain) {
  using Kind = quay::Error::Kind;
  for (const Kind kind : {Kind::login_refused, Kind::registry_unavailable}) {
    const Trace trace = run(adopt({}), {RobotRead{old_token, /*listed=*/true}, quay_says(kind),
                                        RobotRead{new_token}, all_well(), LoggedIn{}});
    EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login", "read-robot", "publish", "login"));
    EXPECT_EQ(trace.outcome.fingerprint, new_token);
    EXPECT_EQ(trace.outcome.verified, Verified::good);
  }
  AdoptInput unverified = adopt({});
  unverified.verify = false;
  const Trace trace = run(std::move(unverified), {RobotRead{old_token, /*listed=*/true},
                                                  RobotRead{new_token}, all_well()});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "read-robot", "publish"));
  EXPECT_EQ(trace.outcome.fingerprint, new_token);
}

TEST(Adopt, AListedTokenThatIsKnownToBeOlderIsAStaleReadLikeAnyOther) {
  AdoptInput input = adopt({});
  input.known.superseded = {old_token};
  const Trace trace = run(std::move(input), {RobotRead{old_token, /*listed=*/true}, LoggedIn{}});
  EXPECT_THAT(trace.asks, ElementsAre("read-robot", "login"));
  EXPECT_EQ(trace.outcome.end, End::stale_read);
}

}  // namespace
}  // namespace quay_rotator::credential
