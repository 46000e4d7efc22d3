#include "rotation/workforce.h"

#include <algorithm>

namespace quay_rotator::rotation {

namespace {

using runtime::Serves;
using runtime::Shares;
using runtime::Workers;

constexpr base::BackoffPolicy queue_backoff{std::chrono::seconds(5), std::chrono::minutes(5)};

// Two for connections that do not answer, and at least one for the others.
int for_connections(int workers) {
  return std::clamp(workers / 4, 3, 8);
}

}  // namespace

Workforce::Workforce(base::Executor& executor, int workers, runtime::Metrics& metrics)
    : executor_(executor),
      workers_(workers),
      rotations_(executor, queue_backoff,
                 {[&metrics](std::size_t depth) { metrics.queue_depth(depth); },
                  [&metrics](base::Duration waited) { metrics.queue_wait(waited); },
                  [&metrics](base::Duration worked) { metrics.queue_work(worked); }},
                 Shares::of(workers)),
      connections_(executor, queue_backoff, {}, Shares::of(for_connections(workers))) {}

void Workforce::serve_rotations(const std::function<runtime::WorkerTask()>& make_task) {
  crews_.push_back(
      std::make_unique<Workers>(executor_, rotations_, workers_, Serves::everything, make_task));
  crews_.push_back(std::make_unique<Workers>(executor_, rotations_, 1, Serves::ledgers, make_task));
}

void Workforce::serve_connections(const std::function<runtime::WorkerTask()>& make_task) {
  crews_.push_back(std::make_unique<Workers>(executor_, connections_, for_connections(workers_),
                                             Serves::everything, make_task));
}

void Workforce::request_stop() {
  for (const auto& crew : crews_) crew->request_stop();
}

void Workforce::join() {
  for (const auto& crew : crews_) crew->join();
}

}  // namespace quay_rotator::rotation
