#include "schedule/refresh.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "schedule/schedule.h"

namespace quay_rotator::schedule {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const base::WallTime since{hours(500'000)};

api::RobotTokenRotation rotation(base::WallTime::duration life, const std::string& uid = "uid") {
  api::RobotTokenRotation rotation;
  rotation.meta.uid = uid;
  rotation.spec.robot = {"acme", "puller"};
  rotation.spec.strategy = {api::StrategyType::federate, {}, {.service_account = "puller"}};
  api::RobotStatus robot;
  robot.name = "acme+puller";
  robot.fingerprint = base::Fingerprint::of("x");
  robot.known_since = since;
  robot.expires = since + life;
  rotation.status.robots = {robot};
  return rotation;
}

constexpr base::BackoffPolicy ordinary{seconds(5), minutes(5)};

TEST(RefreshTest, IsAtTwoThirdsOfTheLifeOrALittleEarlier) {
  base::WallTime first = base::WallTime::max();
  base::WallTime last = base::WallTime::min();
  for (int i = 0; i < 2000; ++i) {
    const auto time = *refresh_time(rotation(hours(1), "uid-" + std::to_string(i)));
    first = std::min(first, time);
    last = std::max(last, time);
  }
  EXPECT_GE(first, since + minutes(35));
  EXPECT_LT(first, since + minutes(35) + seconds(10));
  EXPECT_LE(last, since + minutes(40));
  EXPECT_GT(last, since + minutes(40) - seconds(10));
}

TEST(RefreshTest, IsTheSameInEveryProcessAndAnotherEachTurn) {
  const api::RobotTokenRotation one = rotation(hours(1));
  api::RobotTokenRotation next = one;
  next.status.active()->known_since = since + minutes(40);
  next.status.active()->expires = since + minutes(100);
  EXPECT_EQ(refresh_time(one), refresh_time(one));
  EXPECT_NE(*refresh_time(next) - minutes(40), *refresh_time(one));
}

TEST(RefreshTest, AShortLifeIsNoBusyLoop) {
  EXPECT_EQ(refresh_time(rotation(seconds(1))), since + seconds(5));
  EXPECT_EQ(refresh_time(rotation(seconds(-100))), since + seconds(5));
}

TEST(RefreshTest, ConcernsCredentialsThatEndAlone) {
  api::RobotTokenRotation regenerates = rotation(hours(1));
  regenerates.spec.strategy = {};
  EXPECT_FALSE(refresh_time(regenerates));
  api::RobotTokenRotation moves = rotation(hours(1));
  moves.status.active()->expires.reset();
  EXPECT_FALSE(refresh_time(moves));
  EXPECT_FALSE(refresh_due(moves, since + hours(9)));
  EXPECT_FALSE(refresh_alarm(moves));
}

TEST(RefreshTest, IsDueInTimeAndWhereAClockWasWrong) {
  const api::RobotTokenRotation one = rotation(hours(1));
  EXPECT_FALSE(refresh_due(one, since + minutes(34)));
  EXPECT_TRUE(refresh_due(one, since + minutes(40)));
  EXPECT_FALSE(refresh_due(one, since - seconds(30)));
  EXPECT_TRUE(refresh_due(one, since - minutes(2)));
}

TEST(RefreshTest, FailsAloudWhenHalfOfWhatWasLeftIsGone) {
  const api::RobotTokenRotation one = rotation(hours(1));
  const auto time = *refresh_time(one);
  EXPECT_EQ(*refresh_alarm(one) - time, since + hours(1) - *refresh_alarm(one));
}

TEST(RefreshTest, ADozenTriesFitIntoWhatIsLeft) {
  for (const base::WallTime::duration life :
       {base::WallTime::duration(hours(1)), base::WallTime::duration(minutes(2)),
        base::WallTime::duration(seconds(60))}) {
    const api::RobotTokenRotation one = rotation(life);
    base::WallTime now = *refresh_time(one);
    int tries = 1;
    for (; now < since + life; ++tries) {
      now += std::chrono::floor<std::chrono::microseconds>(
          base::backoff_delay(refresh_backoff(one, now, ordinary), tries, ~0ULL));
    }
    EXPECT_GE(tries, 12) << life.count();
    EXPECT_LT(tries, 120) << life.count();
  }
  EXPECT_EQ(refresh_backoff(rotation(hours(1)), since + hours(2), ordinary).most, minutes(5));
}

TEST(RefreshTest, TheStatusTellsWhen) {
  api::RobotTokenRotation one = rotation(hours(1));
  EXPECT_EQ(next(one), (api::Next{*refresh_time(one), api::NextReason::refresh}));
  one.status.retry_after = since + minutes(50);
  EXPECT_EQ(next(one)->reason, api::NextReason::backing_off);
}

}  // namespace
}  // namespace quay_rotator::schedule
