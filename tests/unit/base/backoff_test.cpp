#include "base/backoff.h"

#include <limits>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t most_random = std::numeric_limits<std::uint64_t>::max();
constexpr BackoffPolicy policy{.first = 1s, .most = 30s};

TEST(Backoff, DoublesUpToTheMost) {
  EXPECT_EQ(backoff_delay(policy, 1, 0), 500ms);
  EXPECT_EQ(backoff_delay(policy, 2, 0), 1s);
  EXPECT_EQ(backoff_delay(policy, 5, 0), 8s);
  EXPECT_EQ(backoff_delay(policy, 6, 0), 15s);
  EXPECT_EQ(backoff_delay(policy, std::numeric_limits<int>::max(), 0), 15s);
}

TEST(Backoff, SpreadsOverTheUpperHalf) {
  EXPECT_EQ(backoff_delay(policy, 3, most_random / 2 + 1), 3s);
  EXPECT_GT(backoff_delay(policy, 3, most_random), 4s - 1us);
  EXPECT_LE(backoff_delay(policy, 3, most_random), 4s);
  EXPECT_LE(backoff_delay(policy, 1'000'000, most_random), 30s);
}

TEST(Backoff, TakesAnotherFactor) {
  EXPECT_EQ(backoff_delay({.first = 2s, .most = 1h, .factor = 3.0}, 3, 0), 9s);
}

}  // namespace
}  // namespace quay_rotator::base
