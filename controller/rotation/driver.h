// Performs what Protocol decides. The only code that holds a token between Quay and a Secret, and
// the only caller of QuaySession::regenerate.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"
#include "rotation/protocol.h"
#include "rotation/publisher.h"
#include "rotation/quay_session.h"
#include "rotation/status_writer.h"

namespace quay_rotator::rotation {

// Called after each step by name ("read-robot", "dry-run", "login", "ledger", "before-regenerate",
// "regenerate", "publish", "commit", "event"): test builds end the process there. May be empty.
using StepHook = std::function<void(std::string_view step)>;

struct DriverOptions {
  base::Duration request_deadline = std::chrono::seconds(30);  // of one regenerate call
  base::Duration regenerate_hold = std::chrono::minutes(10);   // see ProtocolInput::hold
  std::function<bool()> leading;                               // asked right before the POST
  StepHook after_step;
};

struct DriverResult {
  Report report;
  std::string robot;                     // full name, when Quay told it
  std::optional<base::Duration> outage;  // of a regeneration: never too short
  api::RobotTokenRotation rotation;      // as last written: with the ledger, if there was one
};

// Thread-safe; one resource at a time is the work queue's promise.
class Driver {
 public:
  Driver(StatusWriter& status, Publisher& publisher, base::Executor& executor,
         DriverOptions options);

  // `listed`: what a list has told of the robot, in place of its first own answer.
  DriverResult run(api::RobotTokenRotation rotation, QuaySession& session, ProtocolInput input,
                   const std::vector<DesiredSecret>& targets,
                   std::optional<quay::RobotCredential> listed, const base::Log& log,
                   const std::stop_token& stop);
  void step(std::string_view name) const;

 private:
  StatusWriter& status_;
  Publisher& publisher_;
  base::Executor& executor_;
  DriverOptions options_;
};

}  // namespace quay_rotator::rotation
