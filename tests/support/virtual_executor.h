// Deterministic threads and time for tests: one thread of control runs at a time, and a seed
// chooses which. The seed of the simulation tier.
//
//   VirtualExecutor executor(seed);
//   executor.run([&] { … code under test, which spawns, waits and sleeps … });
//
// Each thread of control is a real thread, but only the one that holds the baton runs. It hands the
// baton over where the Executor rules let it block: Signal::wait_until, sleep_until, Thread::join
// (and FakeTransport, through sleep_until). Who gets it is drawn by the seed among those who could
// run. When nobody could, the clock jumps to the earliest deadline, so an hour takes no time. The
// same seed replays the same run exactly.
//
// The thread that made the executor is its first thread of control ("main"): code under test may be
// called from the test's body directly as well as inside run().
//
// When everybody waits without a deadline, the list of who waits for what is printed and the
// process aborts: nothing could ever wake them. Calling it from a thread that it did not spawn is
// an error. All Threads must be gone before it is.
#pragma once

#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "base/executor.h"

namespace quay_rotator::testing {

class VirtualExecutor final : public base::Executor {
 public:
  // Virtual time starts here, so that expectations may be literal: 2026-03-01T12:00:00Z.
  static constexpr base::WallTime wall_start =
      std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + std::chrono::hours{12};
  static constexpr base::MonotonicTime monotonic_start{std::chrono::hours{1}};

  explicit VirtualExecutor(std::uint64_t seed);
  ~VirtualExecutor() override;
  VirtualExecutor(const VirtualExecutor&) = delete;
  VirtualExecutor& operator=(const VirtualExecutor&) = delete;

  // Runs `main_body` in the calling thread and checks that it ended every thread it spawned.
  void run(const std::function<void()>& main_body);
  // Lets everybody else run until all of them wait; no time passes.
  void settle();
  // Lets time pass and everybody run; then settles.
  void advance(base::Duration duration);
  // The wall clock jumps, as when somebody sets it; monotonic time does not.
  void shift_wall_clock(base::Duration by);

  [[nodiscard]] base::MonotonicTime now() const override;
  [[nodiscard]] base::WallTime wall_now() const override;
  [[nodiscard]] std::uint64_t random() override;
  bool sleep_until(base::MonotonicTime time, const std::stop_token& stop) override;
  [[nodiscard]] std::unique_ptr<base::Thread> spawn(
      std::string name, std::function<void(std::stop_token)> body) override;
  [[nodiscard]] std::unique_ptr<base::Signal> make_signal() override;

 private:
  struct Task;
  class VirtualThread;
  class VirtualSignal;
  using Lock = std::unique_lock<std::mutex>;

  // Gives the baton away and returns when the running task gets it back: when it was woken through
  // `channel`, at `deadline`, or on `stop`.
  void wait(const void* channel, const char* what, base::MonotonicTime deadline,
            const std::stop_token& stop);
  void wake(const void* channel);
  void finish(Task& task);
  void hand_over(Lock& lock);
  Task& choose();
  [[noreturn]] void report_deadlock() const;

  mutable std::mutex mutex_;  // guards all below and every Task
  std::vector<std::unique_ptr<Task>> tasks_;
  Task* running_;
  base::MonotonicTime now_ = monotonic_start;
  base::Duration wall_shift_{};
  std::mt19937_64 choices_;
  std::mt19937_64 numbers_;  // apart: drawing a number changes no choice
};

}  // namespace quay_rotator::testing
