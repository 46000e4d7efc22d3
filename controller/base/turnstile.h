// Lets only a few at a time do what all others would wait for.
#pragma once

#include <deque>
#include <memory>
#include <stop_token>

#include "base/executor.h"
#include "base/mutex.h"

namespace quay_rotator::base {

// Guarantees: who came first goes in first; nobody waits longer than `patience`, whatever those
// inside do, so they may then be more than `most`. Thread-safe; must outlive its passes, and
// `executor` must outlive it.
class Turnstile {
 public:
  Turnstile(Executor& executor, int most, Duration patience)
      : executor_(executor), most_(most), patience_(patience) {}

  // Whoever holds it is inside.
  class Pass {
   public:
    explicit Pass(Turnstile& turnstile) : turnstile_(turnstile) {}
    ~Pass() { turnstile_.leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    Turnstile& turnstile_;
  };
  // A stop request ends the waiting too.
  [[nodiscard]] Pass enter(const std::stop_token& stop);

 private:
  struct Waiting {
    std::unique_ptr<Signal> signal;  // its own: the others sleep on
    bool called = false;
  };
  void leave();

  Executor& executor_;
  const int most_;
  const Duration patience_;
  Mutex mutex_;
  int inside_ GUARDED_BY(mutex_) = 0;
  std::deque<Waiting*> queue_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::base
