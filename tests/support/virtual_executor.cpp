#include "support/virtual_executor.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

namespace quay_rotator::testing {

using base::Duration;
using base::MonotonicTime;

struct VirtualExecutor::Task {
  enum class State { ready, waiting, settling, finished };
  std::string name;
  State state = State::ready;
  const void* channel = nullptr;  // what wakes it while it waits
  const char* what = "";          // the same for people
  MonotonicTime deadline = MonotonicTime::max();
  std::condition_variable turn;
};

class VirtualExecutor::VirtualThread final : public base::Thread {
 public:
  VirtualThread(VirtualExecutor& executor, Task& task, std::function<void(std::stop_token)> body)
      : executor_(executor),
        task_(task),
        thread_([this, run = std::move(body)](const std::stop_token& stop) mutable {
          {
            Lock lock(executor_.mutex_);
            task_.turn.wait(lock, [this] { return executor_.running_ == &task_; });
          }
          run(stop);
          run = nullptr;  // what it owns ends while the baton is still held
          executor_.finish(task_);
        }) {}
  ~VirtualThread() override {
    request_stop();
    join();
  }

  void request_stop() override { thread_.request_stop(); }

  void join() override {
    if (!thread_.joinable()) return;
    while (!finished()) executor_.wait(&task_, "the end of a thread", MonotonicTime::max(), {});
    thread_.join();
    const std::lock_guard lock(executor_.mutex_);
    std::erase_if(executor_.tasks_, [this](const auto& task) { return task.get() == &task_; });
  }

 private:
  [[nodiscard]] bool finished() const {
    const std::lock_guard lock(executor_.mutex_);
    return task_.state == Task::State::finished;
  }

  VirtualExecutor& executor_;
  Task& task_;
  std::jthread thread_;
};

class VirtualExecutor::VirtualSignal final : public base::Signal {
 public:
  explicit VirtualSignal(VirtualExecutor& executor) : executor_(executor) {}

  bool wait_until(std::unique_lock<std::mutex>& lock, MonotonicTime deadline,
                  const std::stop_token& stop) override {
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

VirtualExecutor::VirtualExecutor(std::uint64_t seed) : choices_(seed), numbers_(~seed) {
  tasks_.push_back(std::make_unique<Task>());
  running_ = tasks_.front().get();
  running_->name = "main";
}

VirtualExecutor::~VirtualExecutor() = default;

void VirtualExecutor::run(const std::function<void()>& main_body) {
  main_body();
  const std::lock_guard lock(mutex_);
  if (tasks_.size() == 1) return;
  std::fprintf(stderr, "virtual executor: thread %s was never joined\n",
               tasks_.back()->name.c_str());
  std::abort();
}

void VirtualExecutor::settle() {
  Lock lock(mutex_);
  running_->state = Task::State::settling;
  hand_over(lock);
}

void VirtualExecutor::advance(Duration duration) {
  sleep_for(duration, {});
  settle();
}

void VirtualExecutor::shift_wall_clock(Duration by) {
  const std::lock_guard lock(mutex_);
  wall_shift_ += by;
}

MonotonicTime VirtualExecutor::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

base::WallTime VirtualExecutor::wall_now() const {
  const std::lock_guard lock(mutex_);
  return wall_start +
         std::chrono::floor<base::WallTime::duration>(now_ - monotonic_start + wall_shift_);
}

std::uint64_t VirtualExecutor::random() {
  const std::lock_guard lock(mutex_);
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
  Task* task = nullptr;
  {
    const std::lock_guard lock(mutex_);
    task = tasks_.emplace_back(std::make_unique<Task>()).get();
    task->name = std::move(name);
  }
  return std::make_unique<VirtualThread>(*this, *task, std::move(body));
}

std::unique_ptr<base::Signal> VirtualExecutor::make_signal() {
  return std::make_unique<VirtualSignal>(*this);
}

void VirtualExecutor::wait(const void* channel, const char* what, MonotonicTime deadline,
                           const std::stop_token& stop) {
  Task* self = nullptr;
  {
    const std::lock_guard lock(mutex_);
    self = running_;
    self->channel = channel;
    self->what = what;
    self->deadline = deadline;
    self->state = deadline <= now_ ? Task::State::ready : Task::State::waiting;
  }
  // Runs at once when the stop was requested already. Outside of the lock, because leaving waits
  // for a callback that is under way, which takes it.
  const std::stop_callback on_stop(stop, [this, self] {
    const std::lock_guard lock(mutex_);
    if (self->state == Task::State::waiting) self->state = Task::State::ready;
  });
  Lock lock(mutex_);
  hand_over(lock);
}

void VirtualExecutor::wake(const void* channel) {
  const std::lock_guard lock(mutex_);
  for (const auto& task : tasks_) {
    if (task->state == Task::State::waiting && task->channel == channel) {
      task->state = Task::State::ready;
    }
  }
}

void VirtualExecutor::finish(Task& task) {
  wake(&task);
  Lock lock(mutex_);
  task.state = Task::State::finished;
  hand_over(lock);
}

void VirtualExecutor::hand_over(Lock& lock) {
  Task* self = running_;
  running_ = &choose();
  running_->state = Task::State::ready;
  if (running_ == self) return;
  running_->turn.notify_one();
  if (self->state == Task::State::finished) return;
  self->turn.wait(lock, [this, self] { return running_ == self; });
}

VirtualExecutor::Task& VirtualExecutor::choose() {
  for (;;) {
    std::vector<Task*> ready;
    Task* settling = nullptr;
    MonotonicTime earliest = MonotonicTime::max();
    for (const auto& task : tasks_) {
      if (task->state == Task::State::ready) ready.push_back(task.get());
      if (task->state == Task::State::settling) settling = task.get();
      if (task->state == Task::State::waiting) earliest = std::min(earliest, task->deadline);
    }
    if (!ready.empty()) return *ready[choices_() % ready.size()];
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
