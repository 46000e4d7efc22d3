#include "base/byte_budget.h"

#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

TEST(ByteBudget, IsSharedByAllWhoHoldMoreThanWhatIsFree) {
  const auto budget = std::make_shared<ByteBudget>(100);
  ByteShare one(budget, 10);
  std::optional<ByteShare> other(std::in_place, budget, 10);
  EXPECT_TRUE(one.hold(10));
  EXPECT_EQ(budget->taken(), 0U);
  EXPECT_TRUE(other->hold(90));
  EXPECT_EQ(budget->taken(), 80U);
  EXPECT_TRUE(one.hold(30));
  EXPECT_FALSE(one.hold(31));
  EXPECT_EQ(budget->taken(), 100U) << "what it held before";
  EXPECT_TRUE(other->hold(20));
  EXPECT_TRUE(one.hold(31));
  other.reset();
  EXPECT_EQ(budget->taken(), 21U);
  EXPECT_TRUE(one.hold(0));
  EXPECT_EQ(budget->taken(), 0U);
}

TEST(ByteBudget, GoesWithTheShareThatIsMoved) {
  const auto budget = std::make_shared<ByteBudget>(100);
  ByteShare from(budget, 0);
  EXPECT_TRUE(from.hold(60));
  {
    ByteShare to(std::move(from));
    EXPECT_EQ(budget->taken(), 60U);
    EXPECT_TRUE(to.hold(100));
  }
  EXPECT_EQ(budget->taken(), 0U);
}

TEST(ByteBudget, WithoutOneEverythingIsFree) {
  ByteShare share;
  EXPECT_TRUE(share.hold(std::size_t{1} << 40U));
}

TEST(ByteBudget, IsNeverExceededByManyAtOnce) {
  constexpr std::size_t most = 1000;
  const auto budget = std::make_shared<ByteBudget>(most);
  std::vector<std::jthread> threads;
  for (std::size_t t = 1; t <= 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 2000; ++i) {
        ByteShare share(budget, 5);
        share.hold(t * 37);
        EXPECT_LE(budget->taken(), most);
        share.hold(i % 300);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(budget->taken(), 0U);
}

}  // namespace
}  // namespace quay_rotator::base
