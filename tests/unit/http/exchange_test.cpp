#include "http/exchange.h"

#include <gtest/gtest.h>

#include "base/time.h"

namespace quay_rotator::http {
namespace {

using std::chrono::steady_clock;

// A process that was frozen in a handshake: its caller has not been able to leave yet.
TEST(Exchange, SendsNothingOnceItsDeadlineHasPassed) {
  Exchange late({1, 1}, Exchange::Interest::whole,
                steady_clock::now() - std::chrono::nanoseconds(1));
  EXPECT_FALSE(late.begin_connecting());
  EXPECT_FALSE(late.begin_sending());
  EXPECT_FALSE(late.sending());
  EXPECT_FALSE(late.leave()) << "nothing was sent";
}

TEST(Exchange, SendsUntilItsCallerLeaves) {
  Exchange exchange({1, 1}, Exchange::Interest::whole, base::MonotonicTime::max());
  EXPECT_TRUE(exchange.begin_sending());
  EXPECT_TRUE(exchange.leave()) << "some of it may have arrived";
  EXPECT_FALSE(exchange.begin_sending());
}

}  // namespace
}  // namespace quay_rotator::http
