// Deterministic threads and time for tests: one thread of control runs at a time, and a seed
// chooses which. The seed of the simulation tier.
//
//   VirtualExecutor executor(seed);
//   executor.run([&] { … code under test, which spawns, waits and sleeps … });
//
// One thread of control runs at a time (runner.h: as fibers of one thread, or as threads). It hands
// over where the Executor rules let it block: Signal::wait_until, sleep_until, Thread::join
// (and FakeTransport, through sleep_until). Who is next is drawn by the seed among those who could
// run. When nobody could, the clock jumps to the earliest deadline, so an hour takes no time. The
// same seed replays the same run exactly.
//
// A mutex that is held while handing over may never be free again: the rules forbid it.
// Executors share nothing: each may live in a thread of its own.
//
// The thread that made the executor is its first thread of control ("main"): code under test may be
// called from the test's body directly as well as inside run().
//
// When everybody waits without a deadline, the list of who waits for what is printed and the
// process aborts: nothing could ever wake them. Calling it from a thread that it did not spawn is
// an error. All Threads must be gone before it is.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/executor.h"
#include "support/runner.h"

namespace quay_rotator::testing {

class VirtualExecutor final : public base::Executor {
 public:
  // Virtual time starts here, so that expectations may be literal: 2026-03-01T12:00:00Z.
  static constexpr base::WallTime wall_start =
      std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + std::chrono::hours{12};
  static constexpr base::MonotonicTime monotonic_start{std::chrono::hours{1}};

  using MakeRunners = std::unique_ptr<Runners> (*)();
  explicit VirtualExecutor(std::uint64_t seed, MakeRunners make = make_runners);
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

  // Lets others run and returns when the running task is next again: after it was woken through
  // `channel`, at `deadline`, or on `stop`.
  void wait(const void* channel, const char* what, base::MonotonicTime deadline,
            const std::stop_token& stop);
  void wake(const void* channel);
  Runner& finish(Task& task);
  void hand_over();
  Runner& next();  // who runs from now on
  Task& choose();
  [[nodiscard]] Runner& runner_of(const Task& task) const;
  [[noreturn]] void report_deadlock() const;

  std::unique_ptr<Runners> runners_;
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<Task*> ready_;  // choose()'s
  Task* running_;
  base::MonotonicTime now_ = monotonic_start;
  base::Duration wall_shift_{};
  std::mt19937_64 choices_;
  std::mt19937_64 numbers_;  // apart: drawing a number changes no choice
};

}  // namespace quay_rotator::testing
