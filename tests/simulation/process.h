// One process of the simulated world: an Executor that can be killed or frozen at any
// instant and has a wall clock of its own.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/executor.h"
#include "base/log.h"
#include "simulation/border.h"
#include "simulation/step_tracker.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

// Comes out of every wait of a process that was killed and ends its threads of control. No
// std::exception, so that nothing that is shipped takes it for an error of its own.
struct Killed {};

// The shipped code runs on this in place of the world's executor. As with kill -9 nothing of a
// killed process acts on the world again; that its objects are taken apart afterwards is the
// simulation's housekeeping, which nobody sees. `world` must outlive it, and everything that runs
// on it must be gone before it is.
class Process final : public base::Executor {
 public:
  // What is logged goes to `log`, which must outlive it too.
  Process(testing::VirtualExecutor& world, base::LogSink& log);

  StepTracker steps;  // also the sink of its log

  // Returns to the caller, who may be a thread of this process: it should throw Killed itself.
  void kill();
  [[nodiscard]] bool dead() const { return dead_; }
  void end_if_dead() const {
    if (dead_) throw Killed{};
  }

  // As with SIGSTOP: no thread of it goes on before that time has passed; the world's time and what
  // is on its way go on. Then all of them go on as if nothing had been.
  void freeze(base::Duration duration);
  // SIGCONT.
  void unfreeze();
  [[nodiscard]] bool frozen() const { return world_.now() < frozen_until_; }
  // Since then it is not.
  [[nodiscard]] base::MonotonicTime awake_since() const { return frozen_until_; }
  // Waits while the process is frozen.
  void thaw();
  // Its machine's wall clock is that far off.
  void set_clock(base::Duration offset) { clock_offset_ = offset; }

  [[nodiscard]] base::MonotonicTime now() const override {
    const Border border(Border::Side::world);
    return world_.now();
  }
  [[nodiscard]] base::WallTime wall_now() const override {
    const Border border(Border::Side::world);
    return world_.wall_now() + std::chrono::floor<base::WallTime::duration>(clock_offset_);
  }
  [[nodiscard]] std::uint64_t random() override {
    const Border border(Border::Side::world);
    return world_.random();
  }
  bool sleep_until(base::MonotonicTime time, const std::stop_token& stop) override;
  // What is on its way does not stop with a frozen sender: as sleep_until(), but it ends in time.
  bool travel_until(base::MonotonicTime time, const std::stop_token& stop);
  [[nodiscard]] std::unique_ptr<base::Thread> spawn(
      std::string name, std::function<void(std::stop_token)> body) override;
  [[nodiscard]] std::unique_ptr<base::Signal> make_signal() override;

 private:
  class ProcessSignal;

  testing::VirtualExecutor& world_;
  bool dead_ = false;
  base::MonotonicTime frozen_until_{};
  base::Duration clock_offset_{};
  std::set<base::Signal*> signals_;
  std::unique_ptr<base::Signal> asleep_;  // what sleepers wait for: only kill() notifies it
};

}  // namespace quay_rotator::simulation
