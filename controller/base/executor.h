// Time, threads and chance: the only source of each in the whole program.
//
// Nothing else starts a thread, waits, asks for the time or draws a random number. Production runs
// on std::jthread and the steady clock (SystemExecutor); the simulation runs the same code with one
// thread of control at a time, chosen by a seed, and virtual time. For that to work:
// - block only in Signal::wait_until, Executor::sleep_until, Thread::join and http::Transport;
// - never hold a mutex over any of those but the one that is given to wait_until.
//
// Every member may be called from any thread unless it says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "base/mutex.h"
#include "base/time.h"

namespace quay_rotator::base {

// A thread of control. Destroying it requests a stop and joins.
class Thread {
 public:
  virtual ~Thread() = default;
  virtual void request_stop() = 0;
  // Idempotent. Called from one thread at a time, never from the thread itself.
  virtual void join() = 0;
};

// A condition variable that an Executor understands.
class Signal {
 public:
  virtual ~Signal() = default;
  // Waits for notify_all, the deadline or the stop request, whichever comes first; may also return
  // for no reason. False when the deadline has passed or a stop was requested.
  virtual bool wait_until(Lock& lock, MonotonicTime deadline, const std::stop_token& stop) = 0;
  virtual void notify_all() = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;

  [[nodiscard]] virtual MonotonicTime now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
  [[nodiscard]] virtual std::uint64_t random() = 0;
  // False when a stop was requested before the time came.
  virtual bool sleep_until(MonotonicTime time, const std::stop_token& stop) = 0;
  // `body` gets the thread's own stop token; it must not throw. `name` shows in debuggers (15
  // characters are kept).
  [[nodiscard]] virtual std::unique_ptr<Thread> spawn(
      std::string name, std::function<void(std::stop_token)> body) = 0;
  [[nodiscard]] virtual std::unique_ptr<Signal> make_signal() = 0;

  bool sleep_for(Duration duration, const std::stop_token& stop) {
    return sleep_until(now() + duration, stop);
  }
  // Uniform in [0, limit); 0 for a limit of 0.
  Duration random_below(Duration limit);
};

// Real threads, the steady clock, the system clock, and a generator seeded from the system.
std::unique_ptr<Executor> make_system_executor();

}  // namespace quay_rotator::base
