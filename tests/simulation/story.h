// What the named stories share: a world, how it mostly begins, and what is looked at in the end.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulation/world.h"

namespace quay_rotator::simulation {

// A field of a condition; "" when there is none of that type.
inline std::string condition(const nlohmann::json& status, std::string_view type,
                             const char* field = "status") {
  for (const nlohmann::json& each : status.value("conditions", nlohmann::json::array())) {
    if (each.value("type", "") == type) return each.value(field, "");
  }
  return "";
}

class Story : public ::testing::Test {
 protected:
  // A connection, one resource, and a replica that has had time to adopt the robot's token.
  void live(const RotationOptions& options = {}, const ReplicaOptions& replica = {}) {
    world.create_connection();
    rotation = world.create_rotation(options);
    world.start(0, replica);
    world.advance(std::chrono::minutes(2));
  }
  // Of its Ready condition.
  std::string reason(const kube::ObjectKey& key) const {
    return condition(world.status(key), "Ready", "reason");
  }
  void expect_no_violation() { EXPECT_THAT(world.observer.violations(), ::testing::IsEmpty()); }
  void expect_settled() {
    EXPECT_THAT(world.observer.unsettled(), ::testing::IsEmpty());
    expect_no_violation();
  }

  World world{1};
  kube::ObjectKey rotation;
};

}  // namespace quay_rotator::simulation
