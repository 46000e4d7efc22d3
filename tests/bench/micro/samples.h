// Objects as a kube-apiserver sends them, managedFields and all.
#pragma once

#include <cstddef>
#include <string>

#include "api/robot_token_rotation.h"

namespace quay_rotator::bench {

// A RobotTokenRotation that has rotated ten times, and the Secret that it wrote. `number` is in
// their names.
std::string rotation_text(std::size_t number);
std::string secret_text(std::size_t number);
// A line of a watch.
std::string event_text(const std::string& object);
// A page of a list.
std::string list_text(std::string (*object)(std::size_t), std::size_t count);

// The resource of rotation_text().
api::RobotTokenRotation rotation(std::size_t number);

}  // namespace quay_rotator::bench
