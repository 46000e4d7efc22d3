#include "http/exchange.h"

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/byte_budget.h"
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

// Whatever 64 servers send at once: in bodies, in headers that the library still holds, in errors.
TEST(Exchange, HoldsNoMoreOfAllAnswersThanTheirBudget) {
  constexpr std::size_t most = 10'000;
  constexpr std::size_t free = 100;
  constexpr int calls = 64;
  const auto budget = std::make_shared<base::ByteBudget>(most);
  std::vector<std::unique_ptr<Exchange>> exchanges;
  int crowded_out = 0;
  for (int i = 0; i < calls; ++i) {
    exchanges.push_back(
        std::make_unique<Exchange>(Exchange::Limits{1000, 1000}, Exchange::Interest::whole,
                                   base::MonotonicTime::max(), base::ByteShare(budget, free)));
    Exchange& exchange = *exchanges.back();
    if (i % 3 == 1) {
      exchange.count_wire_bytes(900);
    } else {
      exchange.open(i % 3 == 2 ? 500 : 200, {});
      for (int piece = 0; piece < 9; ++piece) exchange.receive(std::string(100, 'A'), [](bool) {});
    }
    EXPECT_LE(budget->taken(), most);
    crowded_out += exchange.crowded_out() ? 1 : 0;
    // What is no success is cut off instead, and its beginning counts.
    EXPECT_EQ(exchange.crowded_out(), exchange.too_large());
  }
  EXPECT_GT(crowded_out, calls / 3);
  EXPECT_GT(budget->taken(), most * 8 / 10);
  exchanges.clear();
  EXPECT_EQ(budget->taken(), 0U);
}

TEST(Exchange, AnOrdinaryAnswerNeedsNothingOfTheBudget) {
  const auto budget = std::make_shared<base::ByteBudget>(10);
  base::ByteShare others(budget, 0);
  ASSERT_TRUE(others.hold(10));
  Exchange exchange({1000, 1000}, Exchange::Interest::whole, base::MonotonicTime::max(),
                    base::ByteShare(budget, 100));
  exchange.open(200, {});
  EXPECT_EQ(exchange.receive(std::string(100, 'A'), [](bool) {}), Exchange::Received::taken);
  EXPECT_FALSE(exchange.too_large());
}

// A stream waits for its own reader, and what it holds after that is little again.
TEST(Exchange, AStreamGoesOnWithWhatIsFreeWhileOthersHoldTheBudget) {
  const auto budget = std::make_shared<base::ByteBudget>(50);
  std::optional<base::ByteShare> others(std::in_place, budget, 0);
  ASSERT_TRUE(others->hold(50));
  Exchange exchange({1000, 1000}, Exchange::Interest::pieces, base::MonotonicTime::max(),
                    base::ByteShare(budget, 100));
  exchange.open(200, {});
  base::SecretString piece;
  const std::string late(80, 'B');
  for (int i = 0; i < 20; ++i) {
    bool taken = false;
    ASSERT_EQ(exchange.receive(std::string(80, 'A'), [](bool) {}), Exchange::Received::taken);
    ASSERT_EQ(exchange.receive(late, [&](bool was) { taken = was; }), Exchange::Received::held);
    for (const char expected : {'A', 'B'}) {
      ASSERT_EQ(exchange.await_piece(std::chrono::hours(1), base::MonotonicTime::max(), {}, piece),
                Exchange::Wake::event);
      EXPECT_EQ(piece.reveal(), std::string(80, expected));
    }
    EXPECT_TRUE(taken);
    // The reader is done with it before it asks for more.
    const std::stop_source stopped;
    auto stopping = stopped;
    stopping.request_stop();
    static_cast<void>(exchange.await_piece(std::chrono::hours(1), base::MonotonicTime::max(),
                                           stopping.get_token(), piece));
  }
  EXPECT_FALSE(exchange.too_large());
}

}  // namespace
}  // namespace quay_rotator::http
