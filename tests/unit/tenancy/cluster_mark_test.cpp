#include "tenancy/cluster_mark.h"

#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::tenancy {
namespace {

using nlohmann::json;

const base::WallTime now =
    base::WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 28)) +
    std::chrono::milliseconds(7);

api::RobotTokenRotation fresh(api::Initial initial = api::Initial::adopt) {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team-a", "puller"}, "uid", "7"};
  rotation.spec.initial = initial;
  return rotation;
}

api::RobotTokenRotation adopted(api::Initial initial = api::Initial::adopt) {
  api::RobotTokenRotation rotation = fresh(initial);
  rotation.status.robots = {{.name = "acme+puller", .fingerprint = base::Fingerprint::of("token")}};
  return rotation;
}

TEST(ClusterMark, TellsOursFromAnother) {
  api::RobotTokenRotation rotation = fresh();
  EXPECT_EQ(mark_of(rotation, "here"), Mark::none);
  rotation.cluster = "here";
  EXPECT_EQ(mark_of(rotation, "here"), Mark::ours);
  rotation.cluster = "there";
  EXPECT_EQ(mark_of(rotation, "here"), Mark::foreign);
}

TEST(ClusterMark, IsWrittenOnceWithAPrecondition) {
  api::RobotTokenRotation rotation = fresh();
  EXPECT_EQ(
      marking(rotation, "here", now),
      json({{"metadata",
             {{"resourceVersion", "7"}, {"annotations", {{"quayrotator.dev/cluster", "here"}}}}}}));
  rotation.cluster = "here";
  EXPECT_EQ(marking(rotation, "here", now), json::object());
}

TEST(ClusterMark, TheBeginningIsOverWhenNothingOfItIsLeftToDo) {
  const json over = {{"quayrotator.dev/cluster", "here"},
                     {"quayrotator.dev/initialized-at", "2026-11-28T00:00:00Z"}};
  const json not_yet = {{"quayrotator.dev/cluster", "here"}};
  const auto written = [](const api::RobotTokenRotation& rotation) {
    return marking(rotation, "here", now).at("metadata").at("annotations");
  };
  EXPECT_EQ(written(fresh()), not_yet);
  EXPECT_EQ(written(adopted()), over);
  // A crash between the mark and what is to be done loses neither.
  api::RobotTokenRotation rotation = adopted(api::Initial::rotate);
  EXPECT_TRUE(initial_rotation_pending(rotation));
  EXPECT_EQ(written(rotation), not_yet);
  rotation.status.last_rotation_time = now;
  EXPECT_FALSE(initial_rotation_pending(rotation));
  EXPECT_EQ(written(rotation), over);
  rotation.rotate_request = "today";
  EXPECT_EQ(open_request(rotation), "today");
  EXPECT_EQ(written(rotation), not_yet);
  rotation.status.last_handled_rotate_request = "today";
  EXPECT_EQ(written(rotation), over);
}

TEST(ClusterMark, WhatIsRestoredWithoutItsStatusBeginsNothingAgain) {
  api::RobotTokenRotation rotation = fresh(api::Initial::rotate);
  rotation.rotate_request = "last year";
  EXPECT_FALSE(restored_without_status(rotation));
  EXPECT_EQ(open_request(rotation), "last year");
  rotation.initialized = true;
  EXPECT_TRUE(restored_without_status(rotation));
  EXPECT_EQ(open_request(rotation), "");
  EXPECT_FALSE(initial_rotation_pending(rotation));
  // A ledger is a status.
  rotation.status.rotation = api::Ledger{};
  EXPECT_FALSE(restored_without_status(rotation));
}

}  // namespace
}  // namespace quay_rotator::tenancy
