#include "runtime/health.h"

#include <gtest/gtest.h>

namespace quay_rotator::runtime {
namespace {

TEST(HealthTest, NoChecksIsHealthy) {
  const Health health;
  EXPECT_TRUE(health.liveness().ok);
  EXPECT_TRUE(health.readiness().ok);
}

TEST(HealthTest, NamesEveryCheckAndWhatIsWrong) {
  Health health;
  std::string trouble = "not synced";
  health.add_liveness("ping", [] { return ""; });
  health.add_readiness("leader", [] { return ""; });
  health.add_readiness("sync", [&] { return trouble; });

  EXPECT_TRUE(health.liveness().ok);
  EXPECT_EQ(health.liveness().text, "[+]ping ok\n");
  EXPECT_FALSE(health.readiness().ok);
  EXPECT_EQ(health.readiness().text, "[+]leader ok\n[-]sync: not synced\n");
  trouble.clear();
  EXPECT_TRUE(health.readiness().ok);
}

}  // namespace
}  // namespace quay_rotator::runtime
