#include "base/rate_limit.h"

#include <algorithm>

namespace quay_rotator::base {

RateLimit::RateLimit(double per_second, int burst)
    : per_second_(per_second), burst_(burst), available_(burst) {}

MonotonicTime RateLimit::take(MonotonicTime now) {
  const Lock lock(mutex_);
  // Callers read the clock before they get here, so `now` may be a little older than the last one.
  if (now > updated_) {
    const std::chrono::duration<double> passed = now - updated_;
    available_ = std::min(burst_, available_ + passed.count() * per_second_);
    updated_ = now;
  }
  available_ -= 1;  // below zero: permits already promised for later
  if (available_ >= 0) return now;
  const std::chrono::duration<double> wait(-available_ / per_second_);
  return std::max(now, updated_ + std::chrono::ceil<Duration>(wait));
}

void RateLimit::set(double per_second, int burst) {
  const Lock lock(mutex_);
  per_second_ = per_second;
  burst_ = burst;
  available_ = std::min(available_, burst_);
}

}  // namespace quay_rotator::base
