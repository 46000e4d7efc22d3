// What the calls to one connection share: whether anybody answers there, and the rate limit.
//
// Whoever calls says so before and after (Call); whoever shares out work asks (WorkQueue). Lanes
// are told apart by name; one of a name lives as long as somebody holds it.
//
// Guarantees: nothing here waits. Assumptions: `now` is the one executor's. Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/mutex.h"
#include "base/rate_limit.h"
#include "base/time.h"

namespace quay_rotator::runtime {

class Lane {
 public:
  enum class Health {
    unproven,   // nothing is known of it
    answering,  // the last that was heard of it was an answer
    failing,    // nobody answered, or a call waits for longer than `patience`
  };
  static constexpr base::Duration patience = std::chrono::seconds(3);

  // What a process before this one found out. Counts until the first call ends.
  void presume(Health health);
  // It leads somewhere else now: nothing is known.
  void forget_health();
  [[nodiscard]] Health health(base::MonotonicTime now) const;

  // What became of a call: an answer (a refusal is one), nothing, or it was given up by ourselves.
  enum class Heard { answer, silence, unknown };
  void begin_call(base::MonotonicTime now);
  void end_call(base::MonotonicTime now, Heard heard);

  // 0 permits a second: no limit. Otherwise burst >= 1.
  void set_rate_limit(double per_second, int burst);
  // Takes the permits of a run that makes so many calls, and returns when it may begin (not before
  // `now`). Its calls then wait for nothing: what they need beyond that, others wait for later.
  base::MonotonicTime reserve(int permits, base::MonotonicTime now);
  // The run is over, or will not be: what its calls did not need serves the next one.
  void release(int permits);

 private:
  void spend(base::MonotonicTime now) REQUIRES(mutex_);

  mutable base::Mutex mutex_;
  Health health_ GUARDED_BY(mutex_) = Health::unproven;
  bool presumed_ GUARDED_BY(mutex_) = true;  // or nothing is known: no call has ended yet
  int calls_ GUARDED_BY(mutex_) = 0;         // under way
  base::MonotonicTime quiet_since_
      GUARDED_BY(mutex_){};  // with calls under way: since when nothing was heard
  std::unique_ptr<base::RateLimit> limit_ GUARDED_BY(mutex_);
  int credit_ GUARDED_BY(mutex_) = 0;    // permits taken from the limit and not spent yet …
  int reserved_ GUARDED_BY(mutex_) = 0;  // … and those that runs under way may need of them
};

// All lanes by name.
class Lanes {
 public:
  std::shared_ptr<Lane> of(const std::string& name);

 private:
  base::Mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Lane>> lanes_ GUARDED_BY(mutex_);
  std::size_t sweep_at_ GUARDED_BY(mutex_) =
      64;  // as many names: those that nobody holds any more are dropped
};

}  // namespace quay_rotator::runtime
