#include "runtime/heartbeat.h"

#include <gtest/gtest.h>

namespace quay_rotator::runtime {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr base::MonotonicTime start{std::chrono::hours(1)};

TEST(HeartbeatTest, WhoHasNothingToDoMayRestForEver) {
  Heartbeat heartbeat(minutes(10));
  EXPECT_EQ(heartbeat.trouble(start + std::chrono::hours(1000)), "");
  {
    const Heartbeat::Work work(heartbeat, start);
    EXPECT_NE(heartbeat.trouble(start + minutes(11)), "");
  }
  EXPECT_EQ(heartbeat.trouble(start + minutes(11)), "");
}

TEST(HeartbeatTest, WhoIsAtOneThingForTooLongIsStuck) {
  Heartbeat heartbeat(minutes(10));
  heartbeat.beat(start);
  EXPECT_EQ(heartbeat.trouble(start + minutes(10)), "");
  EXPECT_EQ(heartbeat.trouble(start + minutes(11) + seconds(1)), "no sign of life for 11m1s");
  heartbeat.beat(start + minutes(12));
  EXPECT_EQ(heartbeat.trouble(start + minutes(13)), "");
  // Whoever asked the clock before the thread did.
  EXPECT_EQ(heartbeat.trouble(start + minutes(11)), "");
}

TEST(HeartbeatTest, OneOfSeveralIsEnough) {
  Heartbeats all;
  Heartbeat& first = all.add("worker", minutes(1));
  Heartbeat& second = all.add("drift", minutes(2));
  first.beat(start);
  second.beat(start);
  EXPECT_EQ(all.trouble(start + minutes(1)), "");
  first.rest();
  EXPECT_EQ(all.trouble(start + minutes(2)), "");
  EXPECT_EQ(all.trouble(start + minutes(3)), "drift: no sign of life for 3m");
}

}  // namespace
}  // namespace quay_rotator::runtime
