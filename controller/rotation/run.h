// Performs what the machines of credential/ decide: obtains a token, then delivers it. The only
// code that holds a token between Quay and a Secret, and the only caller of Session::regenerate.
//
// Guarantees: a request to regenerate is sent only while the ledger that this run wrote is younger
// than the request deadline and this process leads; once sent it is seen through, whatever the stop
// token says.
// Errors: none of its own; what fails is in the Outcome.
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
#include "credential/obtain.h"
#include "credential/outcome.h"
#include "rotation/plan.h"
#include "runtime/status_writer.h"
#include "target/writer.h"

namespace quay_rotator::rotation {

// Called after each step by name ("read-robot", "dry-run", "login", "ledger", "before-regenerate",
// "regenerate", "publish", "exchange", "keep-federation", "leave-federation", "commit", "event"):
// test builds end the process there. May be empty.
using StepHook = std::function<void(std::string_view step)>;

struct RunOptions {
  base::Duration request_deadline = std::chrono::seconds(30);  // of one regenerate call
  // How long a POST of which nobody knows what became of it may still be carried out; at least
  // twice the deadline.
  base::Duration regenerate_hold = std::chrono::minutes(10);
  std::function<bool()> leading;  // asked right before the POST
  StepHook after_step = {};
  // A token of the ServiceAccount that the spec names, for the Quay with that quay_key; see
  // connection/service_account.h. Empty: there is none.
  std::function<connection::MaterialExpected<base::SecretString>(
      const api::RobotTokenRotation& rotation, const std::string& quay,
      const std::stop_token& stop)>
      identity = {};
};

// What a run is to do, and what of it is known beside the resource.
struct Order {
  Goal goal = Goal::synchronize;
  api::RotationReason reason = api::RotationReason::interval;
  bool may_regenerate = true;
  bool compare = false;              // of Work
  std::string rotation_id;           // for a new ledger
  base::Duration ledger_seen_for{};  // since this process first saw the ledger that is there
  // See credential::Known.
  std::optional<base::Fingerprint> stale;
  base::Duration stale_for{};
  bool forgeable = false;  // tenancy::Way::forgeable
};

// Whose token that is about, by its short name.
std::string_view robot_of(const api::RobotTokenRotation& rotation, Goal goal);
// The strategy by which that is done.
credential::Obtain strategy(const api::RobotTokenRotation& rotation, Order order,
                            const RunOptions& options);

// Thread-safe; one resource at a time is the work queue's promise.
class Runner {
 public:
  Runner(runtime::StatusWriter<api::RobotTokenRotation>& status, target::Writer& writer,
         base::Executor& executor, RunOptions options);

  // `rotation` is then as it was last written: with the ledger, if there was one. `listed`: what a
  // list has told of the robot, in place of its first own answer.
  credential::Outcome run(api::RobotTokenRotation& rotation, connection::Session& session,
                          Order order, const std::vector<target::DesiredSecret>& targets,
                          std::optional<quay::RobotCredential> listed, const base::Log& log,
                          const std::stop_token& stop);
  void step(std::string_view name) const;

 private:
  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  target::Writer& writer_;
  base::Executor& executor_;
  RunOptions options_;
};

}  // namespace quay_rotator::rotation
