// One process of the simulated world: an Executor that can be killed at any instant.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/executor.h"
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
  explicit Process(testing::VirtualExecutor& world);

  // Returns to the caller, who may be a thread of this process: it should throw Killed itself.
  void kill();
  [[nodiscard]] bool dead() const { return dead_; }
  void end_if_dead() const {
    if (dead_) throw Killed{};
  }

  [[nodiscard]] base::MonotonicTime now() const override { return world_.now(); }
  [[nodiscard]] base::WallTime wall_now() const override { return world_.wall_now(); }
  [[nodiscard]] std::uint64_t random() override { return world_.random(); }
  bool sleep_until(base::MonotonicTime time, const std::stop_token& stop) override;
  [[nodiscard]] std::unique_ptr<base::Thread> spawn(
      std::string name, std::function<void(std::stop_token)> body) override;
  [[nodiscard]] std::unique_ptr<base::Signal> make_signal() override;

 private:
  class ProcessSignal;

  testing::VirtualExecutor& world_;
  bool dead_ = false;
  std::set<base::Signal*> signals_;
  std::unique_ptr<base::Signal> asleep_;  // what sleepers wait for: only kill() notifies it
};

}  // namespace quay_rotator::simulation
