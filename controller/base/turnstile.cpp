#include "base/turnstile.h"

#include <algorithm>

namespace quay_rotator::base {

Turnstile::Pass Turnstile::enter(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (inside_ < most_) {
    ++inside_;
    return Pass(*this);
  }
  Waiting self{executor_.make_signal()};
  queue_.push_back(&self);
  const MonotonicTime deadline = executor_.now() + patience_;
  while (!self.called && self.signal->wait_until(lock, deadline, stop)) {
  }
  if (!self.called) {
    queue_.erase(std::ranges::find(queue_, &self));
    ++inside_;
  }
  return Pass(*this);
}

void Turnstile::leave() {
  const Lock lock(mutex_);
  --inside_;
  if (inside_ >= most_ || queue_.empty()) return;
  ++inside_;  // for it: whoever comes before it wakes up waits behind it
  queue_.front()->called = true;
  queue_.front()->signal->notify_all();
  queue_.pop_front();
}

}  // namespace quay_rotator::base
