// The threads that serve a work queue.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "kube/object.h"
#include "runtime/work_queue.h"

namespace quay_rotator::runtime {

// What a worker does with a key.
struct WorkerTask {
  std::function<Next(const kube::ObjectKey&)> look;
  // It ended with an exception of that type (its text might quote what others wrote), which costs
  // this key a back-off and nobody else anything. May be empty; an exception out of it is dropped:
  // then too the key comes back after its back-off.
  std::function<Next(const kube::ObjectKey&, const std::string& exception)> failed;
};

// Starts with its construction; the destructor stops and joins. What it is given must outlive it.
class Workers {
 public:
  // `make_task` is called once for each, before this returns.
  Workers(base::Executor& executor, WorkQueue& queue, int count, Serves serves,
          const std::function<WorkerTask()>& make_task);
  void request_stop();
  // Called from one thread at a time.
  void join();

 private:
  std::vector<std::unique_ptr<base::Thread>> threads_;
};

}  // namespace quay_rotator::runtime
