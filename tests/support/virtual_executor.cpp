#include "support/virtual_executor.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/mutex.h"

namespace quay_rotator::testing {

using base::Duration;
using base::MonotonicTime;

struct VirtualExecutor::Task {
  enum class State { ready, waiting, settling, finished };
  std::string name = {};
  State state = State::ready;
  const void* channel = nullptr;  // what wakes it while it waits
  const char* what = "";          // the same for people
  MonotonicTime deadline = MonotonicTime::max();
  std::unique_ptr<Runner> runner = {};  // null: the first one's
};

class VirtualExecutor::VirtualThread final : public base::Thread {
 public:
  VirtualThread(VirtualExecutor& executor, Task& task, std::function<void(std::stop_token)> body)
      : executor_(executor), task_(&task) {
    task.runner = executor_.runners_->make(
        [&executor, &task, stop = stop_.get_token(), run = std::move(body)]() mutable -> Runner& {
          run(stop);
          run = nullptr;  // what it owns ends while it still runs
          return executor.finish(task);
        });
  }
  ~VirtualThread() override {
    request_stop();
    join();
  }

  void request_stop() override { stop_.request_stop(); }

  void join() override {
    if (task_ == nullptr) return;
    while (task_->state != Task::State::finished) {
      executor_.wait(task_, "the end of a thread", MonotonicTime::max(), {});
    }
    std::erase_if(executor_.tasks_, [this](const auto& task) { return task.get() == task_; });
    task_ = nullptr;
  }

 private:
  VirtualExecutor& executor_;
  Task* task_;  // null: joined
  std::stop_source stop_;
};

class VirtualExecutor::VirtualSignal final : public base::Signal {
 public:
  explicit VirtualSignal(VirtualExecutor& executor) : executor_(executor) {}

  bool wait_until(base::Lock& lock, MonotonicTime deadline, const std::stop_token& stop) override {
    lock.unlock();
    executor_.wait(this, "a signal", deadline, stop);
    lock.lock();  // free: nobody hands the baton over with a mutex held
    return !stop.stop_requested() && executor_.now() < deadline;
  }

  // Hands nothing over: the caller may hold a mutex.
  void notify_all() override { executor_.wake(this); }

 private:
  VirtualExecutor& executor_;
};

VirtualExecutor::VirtualExecutor(std::uint64_t seed, MakeRunners make)
    : runners_(make()), choices_(seed), numbers_(~seed) {
  tasks_.push_back(std::make_unique<Task>());
  running_ = tasks_.front().get();
  running_->name = "main";
}

VirtualExecutor::~VirtualExecutor() = default;

void VirtualExecutor::run(const std::function<void()>& main_body) {
  main_body();
  if (tasks_.size() == 1) return;
  std::fprintf(stderr, "virtual executor: thread %s was never joined\n",
               tasks_.back()->name.c_str());
  std::abort();
}

void VirtualExecutor::settle() {
  running_->state = Task::State::settling;
  hand_over();
}

void VirtualExecutor::advance(Duration duration) {
  sleep_for(duration, {});
  settle();
}

void VirtualExecutor::shift_wall_clock(Duration by) {
  wall_shift_ += by;
}

MonotonicTime VirtualExecutor::now() const {
  return now_;
}

base::WallTime VirtualExecutor::wall_now() const {
  return wall_start +
         std::chrono::floor<base::WallTime::duration>(now_ - monotonic_start + wall_shift_);
}

std::uint64_t VirtualExecutor::random() {
  return numbers_();
}

bool VirtualExecutor::sleep_until(MonotonicTime time, const std::stop_token& stop) {
  const int nobody_wakes_it = 0;
  while (!stop.stop_requested()) {
    wait(&nobody_wakes_it, "the end of its sleep", time, stop);
    if (now() >= time) break;
  }
  return !stop.stop_requested();
}

std::unique_ptr<base::Thread> VirtualExecutor::spawn(std::string name,
                                                     std::function<void(std::stop_token)> body) {
  Task& task = *tasks_.emplace_back(std::make_unique<Task>());
  task.name = std::move(name);
  return std::make_unique<VirtualThread>(*this, task, std::move(body));
}

std::unique_ptr<base::Signal> VirtualExecutor::make_signal() {
  return std::make_unique<VirtualSignal>(*this);
}

void VirtualExecutor::wait(const void* channel, const char* what, MonotonicTime deadline,
                           const std::stop_token& stop) {
  Task& self = *running_;
  self.channel = channel;
  self.what = what;
  self.deadline = deadline;
  self.state = deadline <= now_ ? Task::State::ready : Task::State::waiting;
  // Runs at once when the stop was requested already.
  const std::stop_callback on_stop(stop, [&self] {
    if (self.state == Task::State::waiting) self.state = Task::State::ready;
  });
  hand_over();
}

void VirtualExecutor::wake(const void* channel) {
  for (const auto& task : tasks_) {
    if (task->state == Task::State::waiting && task->channel == channel) {
      task->state = Task::State::ready;
    }
  }
}

Runner& VirtualExecutor::finish(Task& task) {
  wake(&task);
  task.state = Task::State::finished;
  return next();
}

void VirtualExecutor::hand_over() {
  const Task* self = running_;
  Runner& from = runner_of(*self);
  Runner& to = next();
  if (running_ != self) from.pass_to(to);
}

Runner& VirtualExecutor::next() {
  running_ = &choose();
  running_->state = Task::State::ready;
  return runner_of(*running_);
}

Runner& VirtualExecutor::runner_of(const Task& task) const {
  return task.runner ? *task.runner : runners_->first();
}

VirtualExecutor::Task& VirtualExecutor::choose() {
  for (;;) {
    ready_.clear();
    Task* settling = nullptr;
    MonotonicTime earliest = MonotonicTime::max();
    for (const auto& task : tasks_) {
      if (task->state == Task::State::ready) ready_.push_back(task.get());
      if (task->state == Task::State::settling) settling = task.get();
      if (task->state == Task::State::waiting) earliest = std::min(earliest, task->deadline);
    }
    if (!ready_.empty()) return *ready_[choices_() % ready_.size()];
    if (settling != nullptr) return *settling;
    if (earliest == MonotonicTime::max()) report_deadlock();
    now_ = earliest;
    for (const auto& task : tasks_) {
      if (task->state == Task::State::waiting && task->deadline <= now_) {
        task->state = Task::State::ready;
      }
    }
  }
}

void VirtualExecutor::report_deadlock() const {
  std::fputs("virtual executor: every thread waits for ever:\n", stderr);
  for (const auto& task : tasks_) {
    if (task->state == Task::State::finished) continue;
    std::fprintf(stderr, "  %s waits for %s\n", task->name.c_str(), task->what);
  }
  std::abort();
}

}  // namespace quay_rotator::testing
