// Exponential back-off with jitter, as a value: no clock, no sleep.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace quay_rotator::base {

struct BackoffPolicy {
  Duration first;
  Duration most;
  double factor = 2.0;
};

// Delay before attempt number `failures` + 1 (failures >= 1): first * factor^(failures-1), at most
// `most`, then spread evenly over [half, whole] by `random` (any 64 bits).
Duration backoff_delay(const BackoffPolicy& policy, int failures, std::uint64_t random);

}  // namespace quay_rotator::base
