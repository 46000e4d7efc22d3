#include "runtime/workers.h"

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <typeinfo>
#include <utility>

namespace quay_rotator::runtime {

namespace {

std::string type_of(const std::exception& error) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, nullptr), &std::free);
  return name ? name.get() : "unknown";
}

Next look_at(const kube::ObjectKey& key, const WorkerTask& task) {
  try {
    return task.look(key);
  } catch (const std::exception& error) {
    if (!task.failed) return Next::failed();
    try {
      return task.failed(key, type_of(error));
    } catch (const std::exception&) {
      return Next::failed();
    }
  }
}

}  // namespace

Workers::Workers(base::Executor& executor, WorkQueue& queue, int count, Serves serves,
                 const std::function<WorkerTask()>& make_task) {
  for (int i = 0; i < count; ++i) {
    threads_.push_back(executor.spawn(
        "worker", [task = make_task(), &queue, serves](const std::stop_token& stopping) {
          while (const auto key = queue.take(stopping, serves)) {
            queue.done(*key, look_at(*key, task));
          }
        }));
  }
}

void Workers::request_stop() {
  for (const auto& thread : threads_) thread->request_stop();
}

void Workers::join() {
  for (const auto& thread : threads_) thread->join();
}

}  // namespace quay_rotator::runtime
