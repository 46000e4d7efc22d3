#include "runtime/heartbeat.h"

namespace quay_rotator::runtime {

std::string Heartbeat::trouble(base::MonotonicTime now) const {
  const base::MonotonicTime since{base::Duration(since_.load())};
  if (now <= since || now - since <= limit_) return "";
  return "no sign of life for " +
         base::format_duration(std::chrono::floor<std::chrono::seconds>(now - since));
}

Heartbeat& Heartbeats::add(std::string name, base::Duration limit) {
  const base::Lock lock(mutex_);
  return all_.emplace_back(std::move(name), limit).heartbeat;
}

std::string Heartbeats::trouble(base::MonotonicTime now) const {
  const base::Lock lock(mutex_);
  for (const Named& one : all_) {
    if (std::string trouble = one.heartbeat.trouble(now); !trouble.empty()) {
      return one.name + ": " + trouble;
    }
  }
  return "";
}

}  // namespace quay_rotator::runtime
