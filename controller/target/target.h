// What a rotation wants of its targets. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "kube/object.h"
#include "target/allowed_metadata.h"
#include "target/owner.h"

namespace quay_rotator::target {

// One Secret as it should be, but for the robot's name and token.
struct DesiredSecret {
  kube::ObjectKey key;
  std::vector<std::string> registries;  // sorted; never empty
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;  // but those that name the owner
  Owner owner;
  bool owned = false;  // Kubernetes collects it with its owner
  api::SecretShape shape = api::SecretShape::docker_config;
};

// `default_registry` is the connection's host and port. The operator's own marks are among the
// labels and annotations and win over what the spec says there; what is not `allowed` is left out.
std::vector<DesiredSecret> desired_secrets(const api::RobotTokenRotation& rotation,
                                           const std::string& default_registry,
                                           const AllowedMetadata& allowed = {});

}  // namespace quay_rotator::target
