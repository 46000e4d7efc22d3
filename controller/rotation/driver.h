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
#include "connection/session.h"
#include "kube/client.h"
#include "rotation/protocol.h"
#include "runtime/status_writer.h"
#include "target/writer.h"

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
  Driver(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
         base::Executor& executor, DriverOptions options);

  // `listed`: what a list has told of the robot, in place of its first own answer.
  DriverResult run(api::RobotTokenRotation rotation, connection::Session& session,
                   ProtocolInput input, const std::vector<target::DesiredSecret>& targets,
                   std::optional<quay::RobotCredential> listed, const base::Log& log,
                   const std::stop_token& stop);
  void step(std::string_view name) const;

 private:
  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  target::Writer& writer_;
  base::Executor& executor_;
  DriverOptions options_;
};

}  // namespace quay_rotator::rotation
