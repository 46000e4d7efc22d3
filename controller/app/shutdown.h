// Makes sure that a stop ends, whatever the parts of the program are doing.
//
// Made when the process is told to stop. What is under way has `grace`; then `abandon` is called,
// which is to cut it off. Where the process is still there at `limit`, below the 30 s after which
// Kubernetes kills, `end` is called, which is not to return. Destroying it in time disarms it.
#pragma once

#include <functional>
#include <memory>

#include "base/executor.h"

namespace quay_rotator::app {

struct ShutdownLimits {
  base::Duration grace = std::chrono::seconds(20);
  base::Duration limit = std::chrono::seconds(27);
};

// Both callbacks run in a thread of its own.
class Shutdown {
 public:
  Shutdown(base::Executor& executor, ShutdownLimits limits, std::function<void()> abandon,
           std::function<void()> end);

 private:
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace quay_rotator::app
