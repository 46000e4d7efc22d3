// Whose a target is: the RobotTokenRotation, by namespace, name and uid. Pure.
#pragma once

#include <string>

#include "api/robot_token_rotation.h"
#include "kube/object.h"

namespace quay_rotator::target {

// The namespace and name say whose a Secret is: only a Secret that names both is written without
// being asked for. The uid says of which life: where it differs the Secret comes from a backup, or
// its rotation was made anew, and is healed.
struct Owner {
  kube::ObjectKey key;
  std::string uid;
  bool operator==(const Owner&) const = default;

  static Owner of(const api::RobotTokenRotation& rotation);
};

// Who an owner is among those who write a Secret: "quay-rotator/<namespace>/<name>", so that two
// rotations conflict instead of overwriting each other. Shortened by a digest where Kubernetes'
// limit of 128 characters demands it.
std::string field_manager(const Owner& owner);

}  // namespace quay_rotator::target
