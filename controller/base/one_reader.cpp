#include "base/one_reader.h"

namespace quay_rotator::base {

namespace {

// More than any read takes; a waiter looks again after it.
constexpr Duration long_wait = std::chrono::minutes(1);

}  // namespace

bool OneReader::begin(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (!reading_) {
    reading_ = true;
    return true;
  }
  const MonotonicTime deadline = executor_.now() + long_wait;
  const std::uint64_t before = reads_;
  while (reads_ == before && signal_->wait_until(lock, deadline, stop)) {
  }
  return false;
}

}  // namespace quay_rotator::base
