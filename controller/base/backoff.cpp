#include "base/backoff.h"

#include <algorithm>
#include <cmath>

namespace quay_rotator::base {

Duration backoff_delay(const BackoffPolicy& policy, int failures, std::uint64_t random) {
  const auto most = static_cast<double>(policy.most.count());
  // In floating point an exponent that is too large becomes infinity, and then `most`.
  const double whole = std::min(
      most, static_cast<double>(policy.first.count()) * std::pow(policy.factor, failures - 1));
  // 53 bits are what a double holds.
  const double spread = static_cast<double>(random >> 11U) / static_cast<double>(1ULL << 53U);
  return Duration{static_cast<Duration::rep>(whole * (0.5 + spread / 2))};
}

}  // namespace quay_rotator::base
