#include "schedule/schedule.h"

#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::schedule {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

base::WallTime at(std::string_view text) {
  return base::parse_time(text).value();
}

api::RobotTokenRotation rotation_every(base::Duration interval, base::Duration jitter = {}) {
  api::RobotTokenRotation rotation;
  rotation.meta.uid = "8f7a1c52-0000-4000-8000-000000000001";
  rotation.spec.interval = interval;
  rotation.spec.jitter = jitter;
  return rotation;
}

TEST(Spread, StaysWithinTheJitter) {
  for (int turn = 0; turn < 1000; ++turn) {
    const auto share = spread("uid", base::WallTime(seconds(turn)), seconds(3));
    EXPECT_GE(share, base::Duration::zero());
    EXPECT_LE(share, seconds(3));
  }
}

TEST(Spread, IsNothingWithoutJitter) {
  EXPECT_EQ(spread("uid", at("2026-03-01T12:00:00Z"), {}), base::Duration::zero());
  EXPECT_EQ(spread("uid", at("2026-03-01T12:00:00Z"), seconds(-5)), base::Duration::zero());
}

// A literal: another process, or another version of this program, must not decide otherwise.
TEST(Spread, IsTheSameInEveryProcess) {
  EXPECT_EQ(spread("uid", at("2026-03-01T12:00:00Z"), minutes(10)).count(), 343350449633);
  EXPECT_EQ(spread("uid", at("2026-03-01T12:00:00.9Z"), minutes(10)),
            spread("uid", at("2026-03-01T12:00:00Z"), minutes(10)));
}

TEST(Spread, IsEvenOverResources) {
  std::array<int, 10> buckets{};
  for (int number = 0; number < 10'000; ++number) {
    const auto share =
        spread("uid-" + std::to_string(number), at("2026-03-01T12:00:00Z"), seconds(10));
    ++buckets.at(std::min<std::size_t>(9, static_cast<std::size_t>(share / seconds(1))));
  }
  for (const int count : buckets) EXPECT_NEAR(count, 1000, 150);
}

TEST(Spread, DiffersFromTurnToTurn) {
  std::set<base::Duration> shares;
  for (int turn = 0; turn < 100; ++turn) {
    shares.insert(spread("uid", base::WallTime(hours(turn)), hours(1)));
  }
  EXPECT_EQ(shares.size(), 100U);
}

TEST(Spread, TakesTheLongestJitterThereIs) {
  EXPECT_GE(spread("uid", base::WallTime::max(), base::Duration::max()), base::Duration::zero());
}

TEST(NextRotation, IsUnknownBeforeAnythingIsKnown) {
  EXPECT_EQ(next_rotation(rotation_every(hours(1))), std::nullopt);
}

TEST(NextRotation, CountsFromTheLastRotation) {
  auto rotation = rotation_every(hours(720));
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  EXPECT_EQ(next_rotation(rotation), at("2026-03-31T12:00:00Z"));
}

TEST(NextRotation, CountsFromAForeignRotationThatCameLater) {
  auto rotation = rotation_every(hours(1));
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  rotation.status.robots = {{.name = "acme+puller", .known_since = at("2026-03-01T12:30:00Z")}};
  EXPECT_EQ(next_rotation(rotation), at("2026-03-01T13:30:00Z"));
  rotation.status.last_rotation_time = at("2026-03-01T12:45:00Z");
  EXPECT_EQ(next_rotation(rotation), at("2026-03-01T13:45:00Z"));
  rotation.status.last_rotation_time.reset();
  EXPECT_EQ(next_rotation(rotation), at("2026-03-01T13:30:00Z"));
}

TEST(NextRotation, FollowsAChangedInterval) {
  auto rotation = rotation_every(hours(720));
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  rotation.spec.interval = hours(1);
  EXPECT_EQ(next_rotation(rotation), at("2026-03-01T13:00:00Z"));
}

TEST(NextRotation, AddsAShareOfTheJitter) {
  auto rotation = rotation_every(hours(1), minutes(10));
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  const auto next = next_rotation(rotation).value();
  EXPECT_GT(next, at("2026-03-01T13:00:00Z"));
  EXPECT_LE(next, at("2026-03-01T13:10:00Z"));
}

// A status holds whole seconds: the process that wrote it and the one that reads it must agree.
TEST(NextRotation, DoesNotDependOnFractionsOfSeconds) {
  auto fresh = rotation_every(std::chrono::milliseconds(2500), seconds(2));
  fresh.status.last_rotation_time = at("2026-03-01T12:00:00.7Z");
  auto restarted = fresh;
  restarted.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  EXPECT_EQ(next_rotation(fresh), next_rotation(restarted));
  const auto next = next_rotation(restarted).value();
  EXPECT_EQ(std::chrono::floor<seconds>(next), next);
  EXPECT_GE(next, at("2026-03-01T12:00:03Z"));
}

TEST(NextRotation, EndsWhereTimeStampsEnd) {
  auto rotation = rotation_every(base::Duration::max(), base::Duration::max());
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  EXPECT_LT(next_rotation(rotation), at("9999-12-31T23:59:59Z"));
  rotation.status.last_rotation_time = at("9999-12-31T23:59:58Z");
  EXPECT_EQ(next_rotation(rotation), at("9999-12-31T23:59:59Z"));
  rotation.status.last_rotation_time = base::WallTime::max();
  EXPECT_EQ(next_rotation(rotation), at("9999-12-31T23:59:59Z"));
}

TEST(NextRotation, IsOneIntervalFromNowWhereAClockWasWrongOnce) {
  auto rotation = rotation_every(hours(720));
  const auto now = at("2026-03-01T12:00:00Z");
  EXPECT_FALSE(is_of_the_future(rotation, now));
  rotation.status.last_rotation_time = at("2099-01-01T00:00:00Z");
  rotation.status.robots = {{.name = "acme+puller", .known_since = at("2026-01-01T00:00:00Z")}};
  rotation.status.history = {
      {at("2099-01-01T00:00:00Z"), "acme+puller", "Interval", "Succeeded", {}, {}},
      {at("2026-01-01T00:00:00Z"), "acme+puller", "Adopted", "Succeeded", {}, {}}};
  EXPECT_TRUE(is_of_the_future(rotation, now));
  clamp_to_now(rotation.status, now);
  EXPECT_FALSE(is_of_the_future(rotation, now));
  EXPECT_EQ(next_rotation(rotation), at("2026-03-31T12:00:00Z"));
  EXPECT_EQ(rotation.status.known_since(), at("2026-01-01T00:00:00Z"));
  EXPECT_EQ(rotation.status.history[0].time, now);
  EXPECT_EQ(rotation.status.history[1].time, at("2026-01-01T00:00:00Z"));

  rotation.status.last_rotation_time = now + hours(720);
  EXPECT_FALSE(is_of_the_future(rotation, now)) << "perhaps it is our clock";
  rotation.status.last_rotation_time.reset();
  rotation.status.robots = {{.name = "acme+puller", .known_since = at("2099-01-01T00:00:00Z")}};
  EXPECT_TRUE(is_of_the_future(rotation, now));
}

TEST(Next, IsTheIntervalsUnlessWhatFailedIsTriedAgainLater) {
  using Next = std::optional<api::Next>;
  auto rotation = rotation_every(hours(1));
  EXPECT_EQ(next(rotation), std::nullopt);
  const auto retry = at("2026-03-01T12:30:00Z");
  const Next backing_off{{retry, api::NextReason::backing_off}};
  rotation.status.retry_after = retry;
  EXPECT_EQ(next(rotation), backing_off) << "nothing is known yet";

  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  const Next interval{{at("2026-03-01T13:00:00Z"), api::NextReason::interval}};
  EXPECT_EQ(next(rotation), interval) << "the rotation is not what has failed";
  rotation.rotate_request = "now";
  EXPECT_EQ(next(rotation), backing_off);
  rotation.rotate_request.clear();
  rotation.status.last_rotation_time = at("2026-03-01T11:00:00Z");
  EXPECT_EQ(next(rotation), backing_off) << "due since 12:00";
  rotation.status.retry_after.reset();
  EXPECT_EQ(next(rotation)->reason, api::NextReason::interval);
}

TEST(Reason, IsWhatWasAskedForBeforeWhatIsDue) {
  using api::RotationReason;
  auto rotation = rotation_every(hours(1));
  const auto now = at("2026-03-01T12:00:00Z");
  EXPECT_EQ(reason(rotation, std::nullopt, now), std::nullopt);
  EXPECT_EQ(reason(rotation, now + seconds(1), now), std::nullopt);
  EXPECT_EQ(reason(rotation, now, now), RotationReason::interval);
  rotation.rotate_request = "now";
  EXPECT_EQ(reason(rotation, now, now), RotationReason::requested);
  rotation.spec.initial = api::Initial::rotate;
  EXPECT_EQ(reason(rotation, now, now), RotationReason::initial);
}

TEST(DueTime, IsTheNextRotationWhileWeLead) {
  auto rotation = rotation_every(hours(1), minutes(10));
  EXPECT_EQ(due_time(rotation, at("2026-03-01T12:00:00Z")), std::nullopt);
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  EXPECT_EQ(due_time(rotation, at("2026-03-01T12:59:59Z")), next_rotation(rotation));
}

TEST(DueTime, SpreadsWhatWasMissedFromTheStart) {
  std::set<base::WallTime> times;
  const auto start = at("2026-03-09T08:00:00Z");
  for (int number = 0; number < 100; ++number) {
    auto rotation = rotation_every(hours(1), hours(1));
    rotation.meta.uid = "uid-" + std::to_string(number);
    rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
    const auto due = due_time(rotation, start).value();
    EXPECT_GE(due, start);
    EXPECT_LE(due, start + hours(1));
    times.insert(due);
  }
  EXPECT_GT(times.size(), 90U);
}

TEST(DueTime, IsTheStartForWhatWasMissedWithoutJitter) {
  auto rotation = rotation_every(hours(1));
  rotation.status.last_rotation_time = at("2026-03-01T12:00:00Z");
  EXPECT_EQ(due_time(rotation, at("2026-03-09T08:00:00Z")), at("2026-03-09T08:00:00Z"));
}

api::RobotTokenRotation alternating() {
  api::RobotTokenRotation rotation = rotation_every(hours(24));
  rotation.spec.robot = {"acme", "a"};
  rotation.spec.strategy = {api::StrategyType::alternate, {"b", hours(2)}, {}};
  const base::WallTime noon = at("2026-03-01T12:00:00Z");
  rotation.status.last_rotation_time = noon;
  rotation.status.robots = {
      {"acme+b", api::RobotRole::active, base::Fingerprint::of("new"), noon},
      {"acme+a", api::RobotRole::standby, base::Fingerprint::of("old"), noon - hours(24)}};
  rotation.status.robots[1].replaced_at = noon;
  return rotation;
}

TEST(Retirement, IsOneOverlapAfterTheTokenWasReplaced) {
  api::RobotTokenRotation rotation = alternating();
  EXPECT_EQ(retirement(rotation), at("2026-03-01T14:00:00Z"));
  EXPECT_EQ(next(rotation), (api::Next{at("2026-03-01T14:00:00Z"), api::NextReason::retire}));
  rotation.status.robots[1].retired_at = at("2026-03-01T14:00:00Z");
  EXPECT_EQ(retirement(rotation), std::nullopt) << "over";
  EXPECT_EQ(next(rotation), (api::Next{at("2026-03-02T12:00:00Z"), api::NextReason::interval}));
}

TEST(Retirement, IsOfNoTokenThatIsKeptOrNeverWasInATarget) {
  api::RobotTokenRotation rotation = alternating();
  rotation.spec.strategy.alternate.retire = api::Retire::keep;
  EXPECT_EQ(retirement(rotation), std::nullopt);
  rotation = alternating();
  rotation.spec.strategy.alternate.overlap = {};
  EXPECT_EQ(retirement(rotation), std::nullopt) << "until the next turn";
  rotation = alternating();
  rotation.status.robots[1].fingerprint.reset();
  EXPECT_EQ(retirement(rotation), std::nullopt) << "never in a target";
  rotation = alternating();
  rotation.spec.strategy.alternate.standby = "c";
  EXPECT_EQ(retirement(rotation), std::nullopt) << "of another spec's time";
  rotation = alternating();
  rotation.status.robots.pop_back();
  EXPECT_EQ(retirement(rotation), std::nullopt);
}

}  // namespace
}  // namespace quay_rotator::schedule
