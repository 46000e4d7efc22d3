#include "support/runner.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace quay_rotator::testing {

namespace {

class ThreadRunner final : public Runner {
 public:
  explicit ThreadRunner(std::mutex& mutex) : mutex_(mutex), running_(true) {}
  ThreadRunner(std::mutex& mutex, std::function<Runner&()> body)
      : mutex_(mutex), thread_([this, run = std::move(body)]() mutable {
          wait();
          Runner& next = run();
          run = nullptr;  // what it owns ends while nobody else runs
          static_cast<ThreadRunner&>(next).start();
        }) {}

  void pass_to(Runner& next) override {
    running_ = false;
    static_cast<ThreadRunner&>(next).start();
    wait();
  }

 private:
  void start() {
    const std::lock_guard lock(mutex_);
    running_ = true;
    turn_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [this] { return running_; });
  }

  std::mutex& mutex_;
  bool running_ = false;
  std::condition_variable turn_;
  std::jthread thread_;  // the last: its end waits for the others' use
};

class Threads final : public Runners {
 public:
  Runner& first() override { return first_; }
  std::unique_ptr<Runner> make(std::function<Runner&()> body) override {
    return std::make_unique<ThreadRunner>(mutex_, std::move(body));
  }

 private:
  std::mutex mutex_;
  ThreadRunner first_{mutex_};
};

}  // namespace

std::unique_ptr<Runners> make_threads() {
  return std::make_unique<Threads>();
}

}  // namespace quay_rotator::testing
