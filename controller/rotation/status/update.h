// What telling makes of a look: the status to write, and what is announced about it.
#pragma once

#include <string>
#include <vector>

#include "api/robot_token_rotation.h"
#include "kube/event_recorder.h"

namespace quay_rotator::rotation {

// One Event.
struct Notice {
  kube::EventType type = kube::EventType::normal;
  std::string
      reason;  // Rotated, RotationFailed, Adopted, Healed, Conflict, PreflightFailed,
               // PublishFailed, ForeignRotation, RobotRecreated, Recovered, StaleRead,
               // ClockWasWrong, OwnedByAnotherCluster, NamespaceUnreadable, or a trouble's own
  std::string note;
};

// A new status with what is to be announced about it.
struct StatusUpdate {
  api::RobotTokenRotationStatus status;
  std::vector<Notice> notices;
};

}  // namespace quay_rotator::rotation
