#include "base/rate_limit.h"

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

using namespace std::chrono_literals;

constexpr MonotonicTime start{1h};

TEST(RateLimit, GivesABurstAndThenOnePermitATime) {
  RateLimit limit(4, 2);
  EXPECT_EQ(limit.take(start), start);
  EXPECT_EQ(limit.take(start), start);
  EXPECT_EQ(limit.take(start), start + 250ms);
  EXPECT_EQ(limit.take(start), start + 500ms);
}

TEST(RateLimit, RefillsToTheBurstAndNotBeyond) {
  RateLimit limit(4, 2);
  for (int i = 0; i < 4; ++i) (void)limit.take(start);  // in debt until start + 500 ms
  EXPECT_EQ(limit.take(start + 500ms), start + 750ms);
  const MonotonicTime later = start + 1h;
  EXPECT_EQ(limit.take(later), later);
  EXPECT_EQ(limit.take(later), later);
  EXPECT_EQ(limit.take(later), later + 250ms);
}

TEST(RateLimit, NeverPromisesThePast) {
  RateLimit limit(4, 1);
  (void)limit.take(start);
  EXPECT_EQ(limit.take(start - 1s), start + 250ms);
  EXPECT_EQ(limit.take(start + 1h), start + 1h);
  EXPECT_EQ(limit.take(start), start + 1h + 250ms);
}

TEST(RateLimit, TakesNewSettings) {
  RateLimit limit(1, 10);
  limit.set(2, 1);
  EXPECT_EQ(limit.take(start), start);
  EXPECT_EQ(limit.take(start), start + 500ms);
}

}  // namespace
}  // namespace quay_rotator::base
