// A token bucket that says when, not whether: the caller waits.
#pragma once

#include "base/mutex.h"
#include "base/time.h"

namespace quay_rotator::base {

// Safe for any number of threads.
class RateLimit {
 public:
  // per_second > 0, burst >= 1.
  RateLimit(double per_second, int burst);
  // Takes one permit and returns the time from which it may be used (never before `now`). Permits
  // are handed out in call order.
  MonotonicTime take(MonotonicTime now);
  void set(double per_second, int burst);

 private:
  Mutex mutex_;
  double per_second_ GUARDED_BY(mutex_);
  double burst_ GUARDED_BY(mutex_);
  double available_ GUARDED_BY(mutex_);
  MonotonicTime updated_ GUARDED_BY(mutex_){};
};

}  // namespace quay_rotator::base
