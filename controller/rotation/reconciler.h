// Looks at one RobotTokenRotation, decides by plan(), has it done, and says when to look again.
// Everything is decided from the caches, the status and what the process knows (knowledge.h).
#pragma once

#include <stop_token>
#include <string>

#include "base/executor.h"
#include "base/log.h"
#include "rotation/performer.h"
#include "rotation/run.h"
#include "rotation/teller.h"
#include "rotation/view.h"
#include "runtime/metrics.h"
#include "runtime/work_queue.h"
#include "target/prune.h"

namespace quay_rotator::rotation {

// All must outlive it.
struct ReconcilerParts {
  Caches caches;
  Knowledge& knowledge;
  Performer& performer;
  Teller& teller;
  target::Pruner& pruner;
  runtime::Metrics& metrics;
  base::Executor& executor;
  base::Log log;
  StepHook after_step;  // may be empty
};

// Thread-safe for different keys; the work queue keeps one key with one worker.
class Reconciler {
 public:
  explicit Reconciler(ReconcilerParts parts) : parts_(std::move(parts)) {}

  runtime::Next reconcile(const kube::ObjectKey& key, const std::stop_token& stop);
  // The last look ended with an exception of that type: told, and tried again after a back-off.
  runtime::Next failed(const kube::ObjectKey& key, const std::string& exception);

 private:
  // One for each alternative of Decision::what, but for Work.
  runtime::Next rest(const View& view, const Rest& rest, const Memory& memory,
                     const std::stop_token& stop);
  runtime::Next halt(const View& view, Why why, const std::stop_token& stop);
  runtime::Next await_caches(const api::RobotTokenRotation& rotation, const Sight::View& sight,
                             Why why, const std::stop_token& stop);
  runtime::Next mark(const View& view, const std::stop_token& stop);

  ReconcilerParts parts_;
};

}  // namespace quay_rotator::rotation
