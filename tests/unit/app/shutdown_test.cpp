#include "app/shutdown.h"

#include <gtest/gtest.h>

#include "support/virtual_executor.h"

namespace quay_rotator::app {
namespace {

using std::chrono::seconds;

class ShutdownTest : public ::testing::Test {
 protected:
  std::unique_ptr<Shutdown> begin() {
    return std::make_unique<Shutdown>(
        executor_, ShutdownLimits{}, [this] { abandoned_ = true; }, [this] { ended_ = true; });
  }

  testing::VirtualExecutor executor_{1};
  bool abandoned_ = false;
  bool ended_ = false;
};

TEST_F(ShutdownTest, WhatHangsIsCutOffAndThenLeftBehindBeforeKubernetesKills) {
  const auto shutdown = begin();
  executor_.advance(seconds(19));
  EXPECT_FALSE(abandoned_);
  executor_.advance(seconds(2));
  EXPECT_TRUE(abandoned_);
  EXPECT_FALSE(ended_);
  executor_.advance(seconds(7));
  EXPECT_TRUE(ended_);
}

TEST_F(ShutdownTest, WhatEndsInTimeIsLeftAlone) {
  auto shutdown = begin();
  executor_.advance(seconds(10));
  shutdown.reset();
  executor_.advance(seconds(60));
  EXPECT_FALSE(abandoned_);
  EXPECT_FALSE(ended_);

  shutdown = begin();
  executor_.advance(seconds(25));
  shutdown.reset();
  executor_.advance(seconds(60));
  EXPECT_TRUE(abandoned_);
  EXPECT_FALSE(ended_);
}

}  // namespace
}  // namespace quay_rotator::app
