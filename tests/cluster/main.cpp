#include <gtest/gtest.h>

#include "cluster/cluster.h"
#include "http/cpprest_transport.h"

namespace {

// Not left to destructors of globals: cpprestsdk's threads must have ended before main returns.
class Parts : public testing::Environment {
 public:
  void SetUp() override { quay_rotator::cluster::bring_up_cluster(); }
  void TearDown() override { quay_rotator::cluster::take_down_cluster(); }
};

}  // namespace

int main(int argc, char** argv) {
  quay_rotator::http::initialize_cpprest();
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new Parts);
  return RUN_ALL_TESTS();
}
