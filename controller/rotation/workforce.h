// The queues and the workers that serve them: the program's and the simulation's alike.
#pragma once

#include <functional>
#include <vector>

#include "base/executor.h"
#include "runtime/lane.h"
#include "runtime/metrics.h"
#include "runtime/work_queue.h"
#include "runtime/workers.h"

namespace quay_rotator::rotation {

// The two queues share the lanes: what one learns of a connection the other knows.
class Workforce {
 public:
  // `workers` look at that many RobotTokenRotations at once; one more takes ledgers alone, and a
  // few look at connections.
  Workforce(base::Executor& executor, int workers, runtime::Metrics& metrics);

  runtime::Lanes& lanes() { return lanes_; }
  runtime::WorkQueue& rotations() { return rotations_; }
  runtime::WorkQueue& connections() { return connections_; }

  // Not thread-safe: for whoever leads.
  void serve_rotations(const std::function<runtime::WorkerTask()>& make_task);
  void serve_connections(const std::function<runtime::WorkerTask()>& make_task);

  void request_stop();
  void join();

 private:
  base::Executor& executor_;
  int workers_;
  runtime::Lanes lanes_;
  runtime::WorkQueue rotations_;
  runtime::WorkQueue connections_;
  std::vector<std::unique_ptr<runtime::Workers>> crews_;  // last: they take from the queues
};

}  // namespace quay_rotator::rotation
