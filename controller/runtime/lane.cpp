#include "runtime/lane.h"

#include <algorithm>

namespace quay_rotator::runtime {

void Lane::presume(Health health) {
  const base::Lock lock(mutex_);
  if (presumed_) health_ = health;
}

void Lane::forget_health() {
  const base::Lock lock(mutex_);
  health_ = Health::unproven;
  presumed_ = true;
}

Lane::Health Lane::health(base::MonotonicTime now) const {
  const base::Lock lock(mutex_);
  if (calls_ > 0 && now - quiet_since_ >= patience) return Health::failing;
  return health_;
}

void Lane::begin_call(base::MonotonicTime now) {
  const base::Lock lock(mutex_);
  if (calls_++ == 0) quiet_since_ = now;
  spend(now);
}

void Lane::end_call(base::MonotonicTime now, Heard heard) {
  const base::Lock lock(mutex_);
  --calls_;
  if (heard == Heard::unknown) return;
  presumed_ = false;
  health_ = heard == Heard::answer ? Health::answering : Health::failing;
  if (heard == Heard::answer) quiet_since_ = now;
}

void Lane::set_rate_limit(double per_second, int burst) {
  const base::Lock lock(mutex_);
  if (!(per_second > 0)) {
    limit_.reset();
    credit_ = 0;
    reserved_ = 0;
  } else if (limit_) {
    limit_->set(per_second, burst);
  } else {
    limit_ = std::make_unique<base::RateLimit>(per_second, burst);
  }
}

base::MonotonicTime Lane::reserve(int permits, base::MonotonicTime now) {
  const base::Lock lock(mutex_);
  if (!limit_) return now;
  base::MonotonicTime time = now;
  const int left = std::max(0, credit_ - reserved_);
  for (int taken = left; taken < permits; ++taken) {
    time = limit_->take(now);
    ++credit_;
  }
  reserved_ += permits;
  return time;
}

void Lane::release(int permits) {
  const base::Lock lock(mutex_);
  reserved_ = std::max(0, reserved_ - permits);
}

void Lane::spend(base::MonotonicTime now) {
  if (!limit_) return;
  if (credit_ > 0) {
    --credit_;
  } else {
    limit_->take(now);  // a debt
  }
}

std::shared_ptr<Lane> Lanes::of(const std::string& name) {
  const base::Lock lock(mutex_);
  std::weak_ptr<Lane>& place = lanes_[name];
  std::shared_ptr<Lane> lane = place.lock();
  if (lane) return lane;
  lane = std::make_shared<Lane>();
  place = lane;
  if (lanes_.size() >= sweep_at_) {
    std::erase_if(lanes_, [](const auto& each) { return each.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, 2 * lanes_.size());
  }
  return lane;
}

}  // namespace quay_rotator::runtime
