// What runs a thread of control of VirtualExecutor: exactly one runner runs at a time, and it says
// who is next. As fibers of one thread (a switch takes some nanoseconds) or as threads (the
// sanitizers know them); nothing else differs.
#pragma once

#include <functional>
#include <memory>

namespace quay_rotator::testing {

class Runner {
 public:
  virtual ~Runner() = default;
  // Called by the one that runs: returns when somebody passes back to it.
  virtual void pass_to(Runner& next) = 0;
};

class Runners {
 public:
  virtual ~Runners() = default;
  // The caller of make_fibers() or make_threads(), who runs.
  virtual Runner& first() = 0;
  // Runs `body` when it is passed to for the first time. `body` must not throw, and returns who is
  // next when it has ended. To be destroyed before this, by another runner and only after that.
  virtual std::unique_ptr<Runner> make(std::function<Runner&()> body) = 0;
};

// Not under AddressSanitizer and ThreadSanitizer, which take another stack for a broken one.
std::unique_ptr<Runners> make_fibers();
std::unique_ptr<Runners> make_threads();

// Fibers wherever they work.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr auto make_runners = make_threads;
#else
inline constexpr auto make_runners = make_fibers;
#endif

}  // namespace quay_rotator::testing
