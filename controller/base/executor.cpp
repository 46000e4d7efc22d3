#include "base/executor.h"

#include <atomic>
#include <condition_variable>
#include <pthread.h>
#include <random>
#include <thread>
#include <utility>

namespace quay_rotator::base {
namespace {

class SystemThread final : public Thread {
 public:
  SystemThread(const std::string& name, std::function<void(std::stop_token)> body)
      : thread_(
            [short_name = name.substr(0, 15), run = std::move(body)](const std::stop_token& stop) {
              pthread_setname_np(pthread_self(), short_name.c_str());
              run(stop);
            }) {}

  void request_stop() override { thread_.request_stop(); }
  void join() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::jthread thread_;
};

class SystemSignal final : public Signal {
 public:
  bool wait_until(Lock& lock, MonotonicTime deadline, const std::stop_token& stop) override {
    // The standard library has no interruptible wait without a predicate: count notifications. One
    // that comes before the caller's mutex is released is older than what the caller has seen.
    const std::uint64_t seen = notifications_;
    changed_.wait_until(lock, stop, deadline, [&] { return notifications_ != seen; });
    return !stop.stop_requested() && std::chrono::steady_clock::now() < deadline;
  }

  void notify_all() override {
    ++notifications_;
    changed_.notify_all();
  }

 private:
  std::condition_variable_any changed_;
  std::atomic<std::uint64_t> notifications_ = 0;
};

class SystemExecutor final : public Executor {
 public:
  [[nodiscard]] MonotonicTime now() const override { return std::chrono::steady_clock::now(); }

  [[nodiscard]] WallTime wall_now() const override {
    return std::chrono::floor<WallTime::duration>(std::chrono::system_clock::now());
  }

  [[nodiscard]] std::uint64_t random() override {
    const Lock lock(random_mutex_);
    return generator_();
  }

  bool sleep_until(MonotonicTime time, const std::stop_token& stop) override {
    Mutex mutex;
    std::condition_variable_any never;
    Lock lock(mutex);
    never.wait_until(lock, stop, time, [] { return false; });
    return !stop.stop_requested();
  }

  [[nodiscard]] std::unique_ptr<Thread> spawn(std::string name,
                                              std::function<void(std::stop_token)> body) override {
    return std::make_unique<SystemThread>(name, std::move(body));
  }

  [[nodiscard]] std::unique_ptr<Signal> make_signal() override {
    return std::make_unique<SystemSignal>();
  }

 private:
  static std::mt19937_64 seeded() {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }

  Mutex random_mutex_;
  std::mt19937_64 generator_ = seeded();
};

}  // namespace

Duration Executor::random_below(Duration limit) {
  if (limit <= Duration::zero()) return Duration::zero();
  // The bias of a modulus is below a millionth for anything up to five hours.
  return Duration{static_cast<Duration::rep>(random() % static_cast<std::uint64_t>(limit.count()))};
}

std::unique_ptr<Executor> make_system_executor() {
  return std::make_unique<SystemExecutor>();
}

}  // namespace quay_rotator::base
