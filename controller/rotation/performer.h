// Does what a plan calls Work: reserves what it takes, runs the protocol, remembers what it has
// shown, and tells.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/executor.h"
#include "base/log.h"
#include "connection/newcomers.h"
#include "connection/session.h"
#include "rotation/knowledge.h"
#include "rotation/plan.h"
#include "rotation/run.h"
#include "rotation/status/after_run.h"
#include "rotation/teller.h"
#include "rotation/view.h"
#include "runtime/metrics.h"
#include "runtime/status_writer.h"
#include "runtime/work_queue.h"

namespace quay_rotator::rotation {

// All must outlive it.
struct PerformerParts {
  Caches caches;
  Knowledge& knowledge;
  runtime::WorkQueue& queue;  // of which permits are reserved
  connection::Sessions& sessions;
  connection::Newcomers& newcomers;
  Runner& runner;
  runtime::StatusWriter<api::RobotTokenRotation>& status;
  Teller& teller;
  runtime::Metrics& metrics;
  base::Executor& executor;
  base::Log log;
};

// Thread-safe for different resources.
class Performer {
 public:
  explicit Performer(PerformerParts parts) : parts_(std::move(parts)) {}

  // `memory` is from the beginning of the look.
  runtime::Next perform(const View& view, const Work& work, Why why, const Memory& memory,
                        const std::stop_token& stop);
  // Not before `delay`, unless there has been news since `news` (of the memory of that look).
  runtime::Next retry(const api::RobotTokenRotation& rotation, std::uint64_t news,
                      base::Duration delay);

 private:
  using Session = std::shared_ptr<connection::Session>;
  runtime::Next without_session(const View& view, const tenancy::Way& way,
                                const connection::Problem& problem, const Memory& memory,
                                const std::stop_token& stop);
  // What a list tells of a robot that waits for its adoption: nothing, for most robots. An error
  // when it does not tell yet: when it will.
  tl::expected<std::optional<quay::RobotCredential>, runtime::Next> look_in_list(
      const api::RobotTokenRotation& rotation, const Session& session, const std::stop_token& stop);
  [[nodiscard]] Order order(const Work& work, const Memory& memory) const;
  // `rotation` is as the run has written it last.
  runtime::Next finish(const View& view, api::RobotTokenRotation rotation,
                       const credential::Outcome& outcome, const Work& work, Circumstances run,
                       const Memory& memory, const std::stop_token& stop);
  // Takes to memory what the run has shown, and says how long to wait should it be repeated.
  // `open`: a ledger stays in the status.
  base::Duration learn(const api::RobotTokenRotation& before, const credential::Outcome& outcome,
                       bool open);
  // Somebody else has written what this run knows nothing of.
  runtime::Next overtaken(const api::RobotTokenRotation& before, const Memory& memory);
  runtime::Next done(const api::RobotTokenRotation& rotation, const Work& work,
                     const Memory& memory);

  PerformerParts parts_;
};

}  // namespace quay_rotator::rotation
