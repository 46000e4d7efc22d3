#include "base/turnstile.h"

#include <atomic>
#include <memory>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

TEST(TurnstileTest, LetsInAsManyAsThereIsRoomForAtOnce) {
  const auto executor = make_system_executor();
  Turnstile turnstile(*executor, 2, std::chrono::hours(1));
  const auto first = turnstile.enter({});
  const auto second = turnstile.enter({});
}

TEST(TurnstileTest, WhoeverIsNextGoesInWhenSomebodyLeaves) {
  const auto executor = make_system_executor();
  Turnstile turnstile(*executor, 1, std::chrono::hours(1));
  std::atomic<bool> inside = false;
  std::unique_ptr<Thread> other;
  {
    const auto pass = turnstile.enter({});
    other = executor->spawn("other", [&](const std::stop_token& stop) {
      const auto own = turnstile.enter(stop);
      inside = true;
    });
    EXPECT_FALSE(inside);
  }
  other->join();
  EXPECT_TRUE(inside);
}

TEST(TurnstileTest, NobodyWaitsLongerThanPatience) {
  const auto executor = make_system_executor();
  Turnstile turnstile(*executor, 1, std::chrono::milliseconds(1));
  const auto first = turnstile.enter({});
  const auto impatient = turnstile.enter({});
}

TEST(TurnstileTest, AStopRequestEndsTheWaiting) {
  const auto executor = make_system_executor();
  Turnstile turnstile(*executor, 1, std::chrono::hours(1));
  std::stop_source stop;
  stop.request_stop();
  const auto first = turnstile.enter({});
  const auto stopped = turnstile.enter(stop.get_token());
}

}  // namespace
}  // namespace quay_rotator::base
