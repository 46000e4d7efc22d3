#include "tenancy/cluster_mark.h"

#include <chrono>

#include <nlohmann/json.hpp>

namespace quay_rotator::tenancy {

Mark mark_of(const api::RobotTokenRotation& rotation, std::string_view cluster) {
  if (rotation.cluster.empty()) return Mark::none;
  return rotation.cluster == cluster ? Mark::ours : Mark::foreign;
}

bool initial_rotation_pending(const api::RobotTokenRotation& rotation) {
  return rotation.spec.initial == api::Initial::rotate && !rotation.initialized &&
         !rotation.status.last_rotation_time &&
         // Its first credential is a new one anyway.
         rotation.spec.strategy.type != api::StrategyType::federate;
}

bool restored_without_status(const api::RobotTokenRotation& rotation) {
  return rotation.initialized && !rotation.status.fingerprint() && !rotation.status.rotation;
}

std::string open_request(const api::RobotTokenRotation& rotation) {
  const bool handled = rotation.rotate_request == rotation.status.last_handled_rotate_request ||
                       restored_without_status(rotation);
  return handled ? "" : rotation.rotate_request;
}

bool beginning_is_over(const api::RobotTokenRotation& rotation) {
  return rotation.status.fingerprint() && !initial_rotation_pending(rotation) &&
         open_request(rotation).empty();
}

nlohmann::json marking(const api::RobotTokenRotation& rotation, const std::string& cluster,
                       base::WallTime now) {
  nlohmann::json annotations = nlohmann::json::object();
  if (rotation.cluster.empty()) annotations[std::string(api::cluster_annotation)] = cluster;
  if (!rotation.initialized && beginning_is_over(rotation)) {
    annotations[std::string(api::initialized_annotation)] =
        base::format_time(std::chrono::floor<std::chrono::seconds>(now));
  }
  if (annotations.empty()) return nlohmann::json::object();
  return {{"metadata",
           {{"resourceVersion", rotation.meta.resource_version},
            {"annotations", std::move(annotations)}}}};
}

}  // namespace quay_rotator::tenancy
