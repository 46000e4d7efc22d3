#include "http/exchange.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "http/tls.h"

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

// The library has handed pieces over before it told what they belong to.
TEST(Exchange, KeepsTheBeginningOfAnErrorAlsoWhenItsStatusComesAfterIt) {
  Exchange exchange({100, 4}, Exchange::Interest::whole, base::MonotonicTime::max());
  EXPECT_EQ(exchange.receive("123456", [](bool) {}), Exchange::Received::taken);
  exchange.open(503, {});
  EXPECT_TRUE(exchange.cut());
  EXPECT_EQ(exchange.receive("7", [](bool) {}), Exchange::Received::unwanted);
  EXPECT_EQ(exchange.take_body().reveal(), "1234");
}

TEST(Exchange, APieceThatCameWhileItsCallerWasBusyIsNotTakenForTheEnd) {
  Exchange exchange({10, 4}, Exchange::Interest::pieces, base::MonotonicTime::max());
  exchange.open(200, {});
  const auto next = [&exchange] {
    base::SecretString piece;
    EXPECT_EQ(exchange.await_piece(std::chrono::hours(1), base::MonotonicTime::max(), {}, piece),
              Exchange::Wake::event);
    return std::string(piece.reveal());
  };
  EXPECT_EQ(exchange.receive("123456", [](bool) {}), Exchange::Received::taken);
  EXPECT_EQ(next(), "123456");
  bool resumed = false;
  EXPECT_EQ(exchange.receive("789012", [&](bool taken) { resumed = taken; }),
            Exchange::Received::held);
  EXPECT_FALSE(resumed);
  EXPECT_EQ(next(), "789012");
  EXPECT_TRUE(resumed);
  exchange.finish(std::nullopt);
  EXPECT_EQ(next(), "");
}

TEST(Exchange, EndsAHandshakeThatDoesNotEnd) {
  Exchange exchange({64U << 20U, 4}, Exchange::Interest::whole, base::MonotonicTime::max());
  exchange.count_handshake_bytes(most_handshake_bytes);
  EXPECT_FALSE(exchange.failure());
  exchange.count_handshake_bytes(1);
  EXPECT_TRUE(exchange.failure());
  EXPECT_EQ(exchange.await_open(base::MonotonicTime::max(), {}), Exchange::Wake::event);
  exchange.finish(std::nullopt);
  EXPECT_TRUE(exchange.failure()) << "what the library says later is no news";
}

}  // namespace
}  // namespace quay_rotator::http
