#include "runtime/lane.h"

#include <gtest/gtest.h>

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using Health = Lane::Health;
using Heard = Lane::Heard;

constexpr base::MonotonicTime start{1h};

TEST(LaneHealth, IsWhatWasHeardLast) {
  Lane lane;
  EXPECT_EQ(lane.health(start), Health::unproven);
  lane.begin_call(start);
  lane.end_call(start + 1s, Heard::answer);
  EXPECT_EQ(lane.health(start + 1h), Health::answering);
  lane.begin_call(start + 1h);
  lane.end_call(start + 1h, Heard::silence);
  EXPECT_EQ(lane.health(start + 2h), Health::failing);
  lane.begin_call(start + 2h);
  lane.end_call(start + 2h, Heard::unknown);
  EXPECT_EQ(lane.health(start + 2h), Health::failing) << "we gave up ourselves: that says nothing";
  lane.begin_call(start + 2h);
  lane.end_call(start + 2h, Heard::answer);
  EXPECT_EQ(lane.health(start + 2h), Health::answering);
}

TEST(LaneHealth, FailsWhileACallWaitsForLong) {
  Lane lane;
  lane.presume(Health::answering);
  lane.begin_call(start);
  EXPECT_EQ(lane.health(start + 2s), Health::answering);
  EXPECT_EQ(lane.health(start + 3s), Health::failing);
  lane.begin_call(start + 3s);
  EXPECT_EQ(lane.health(start + 3s), Health::failing);
  lane.end_call(start + 4s, Heard::answer);
  EXPECT_EQ(lane.health(start + 6s), Health::answering) << "somebody answers there";
  EXPECT_EQ(lane.health(start + 7s), Health::failing) << "the first call still waits";
  lane.end_call(start + 8s, Heard::answer);
  EXPECT_EQ(lane.health(start + 1h), Health::answering);
}

TEST(LaneHealth, IsPresumedUntilACallTells) {
  Lane lane;
  lane.presume(Health::failing);
  EXPECT_EQ(lane.health(start), Health::failing);
  lane.presume(Health::answering);
  EXPECT_EQ(lane.health(start), Health::answering);
  lane.begin_call(start);
  lane.end_call(start, Heard::silence);
  lane.presume(Health::answering);
  EXPECT_EQ(lane.health(start), Health::failing);
  lane.forget_health();
  EXPECT_EQ(lane.health(start), Health::unproven);
  lane.presume(Health::answering);
  EXPECT_EQ(lane.health(start), Health::answering);
}

class LanePermits : public ::testing::Test {
 protected:
  // A run of so many calls that begins when it may; how long after the start that is.
  base::Duration run(int calls, int reserved) {
    now_ = lane_.reserve(reserved, now_);
    for (int call = 0; call < calls; ++call) {
      lane_.begin_call(now_);
      lane_.end_call(now_, Heard::answer);
    }
    lane_.release(reserved);
    return now_ - start;
  }

  Lane lane_;
  base::MonotonicTime now_ = start;
};

TEST_F(LanePermits, WithoutALimitNothingWaits) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(run(4, 4), 0s);
}

TEST_F(LanePermits, RunThatNeedsMoreThanTheBurstBeginsLateAndThenWaitsForNothing) {
  lane_.set_rate_limit(0.01, 1);
  EXPECT_EQ(run(4, 4), 300s);
  EXPECT_EQ(run(4, 4), 700s);
  EXPECT_EQ(run(4, 4), 1100s);
}

TEST_F(LanePermits, WhatARunDidNotNeedServesTheNext) {
  lane_.set_rate_limit(1, 1);
  EXPECT_EQ(run(1, 4), 3s);
  EXPECT_EQ(run(4, 4), 4s);
}

TEST_F(LanePermits, WhatARunNeedsBeyondItsPermitsOthersWaitFor) {
  lane_.set_rate_limit(1, 1);
  EXPECT_EQ(run(6, 1), 0s);
  EXPECT_EQ(run(1, 1), 6s);
}

TEST_F(LanePermits, RunsSideBySideDoNotSpendTheSamePermits) {
  lane_.set_rate_limit(1, 4);
  EXPECT_EQ(lane_.reserve(4, start), start);
  EXPECT_EQ(lane_.reserve(4, start), start + 4s);
  lane_.release(4);
  lane_.release(4);
  EXPECT_EQ(lane_.reserve(8, start), start) << "nobody made a call";
}

TEST_F(LanePermits, LimitIsChangedAndLifted) {
  lane_.set_rate_limit(0.01, 1);
  EXPECT_EQ(lane_.reserve(2, start), start + 100s);
  lane_.set_rate_limit(10, 1);
  EXPECT_LE(lane_.reserve(2, start), start + 1s);
  lane_.set_rate_limit(0, 1);
  EXPECT_EQ(lane_.reserve(100, start), start);
}

TEST(Lanes, OneOfANameIsTheSameForAsLongAsSomebodyHoldsIt) {
  Lanes lanes;
  const auto first = lanes.of("QuayConnection/team-a/quay");
  EXPECT_EQ(lanes.of("QuayConnection/team-a/quay"), first);
  EXPECT_NE(lanes.of("QuayConnection/team-b/quay"), first);
  for (int i = 0; i < 10'000; ++i) lanes.of(std::to_string(i));
  EXPECT_EQ(lanes.of("QuayConnection/team-a/quay"), first);
}

}  // namespace
}  // namespace quay_rotator::runtime
