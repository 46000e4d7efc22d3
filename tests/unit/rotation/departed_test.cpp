#include "rotation/departed.h"

#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

api::RobotTokenRotation open_rotation(const std::string& name = "puller") {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team", name}, "uid", "7"};
  rotation.spec.deletion_policy = api::DeletionPolicy::retain;
  rotation.status.rotation = api::Ledger{};
  return rotation;
}

TEST(Departed, RemembersWhatLeavesSecretsAndALedger) {
  Departed departed;
  const base::MonotonicTime now{};
  auto rotation = open_rotation();
  EXPECT_TRUE(departed.add(rotation, now));
  const auto found = departed.find(rotation.meta.key, now);
  ASSERT_NE(found, nullptr);
  EXPECT_TRUE(found->deleting);
  EXPECT_EQ(found->status, rotation.status);
  departed.drop(rotation.meta.key);
  EXPECT_EQ(departed.find(rotation.meta.key, now), nullptr);

  rotation.spec.deletion_policy = api::DeletionPolicy::delete_;
  EXPECT_FALSE(departed.add(rotation, now)) << "Kubernetes removes its Secrets";
  rotation = open_rotation();
  rotation.invalid = "nobody knows its Secrets";
  EXPECT_FALSE(departed.add(rotation, now));
  rotation = open_rotation();
  rotation.status.rotation.reset();
  EXPECT_FALSE(departed.add(rotation, now));
}

TEST(Departed, ForgetsAfterADayAndTheOldestFirst) {
  Departed departed;
  const base::MonotonicTime start{};
  for (int number = 0; number <= 1000; ++number) {
    departed.add(open_rotation(std::to_string(number)), start + seconds(number));
  }
  EXPECT_EQ(departed.find({"team", "0"}, start), nullptr);
  EXPECT_NE(departed.find({"team", "1"}, start + hours(23)), nullptr);
  EXPECT_EQ(departed.find({"team", "1"}, start + hours(25)), nullptr);
  EXPECT_EQ(departed.find({"team", "1"}, start), nullptr);
}

}  // namespace
}  // namespace quay_rotator::rotation
