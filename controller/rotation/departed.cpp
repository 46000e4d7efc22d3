#include "rotation/departed.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

namespace quay_rotator::rotation {

namespace {

constexpr std::size_t most = 1000;
constexpr base::Duration longest = std::chrono::hours(24);

}  // namespace

bool Departed::add(const api::RobotTokenRotation& last, base::MonotonicTime now) {
  if (!last.status.rotation || last.invalid ||
      last.spec.deletion_policy != api::DeletionPolicy::retain) {
    return false;
  }
  auto resource = std::make_shared<api::RobotTokenRotation>(last);
  resource->deleting = true;
  const base::Lock lock(mutex_);
  if (entries_.size() >= most && !entries_.contains(last.meta.key)) {
    entries_.erase(std::ranges::min_element(entries_, {},
                                            [](const auto& entry) { return entry.second.since; }));
  }
  entries_[last.meta.key] = {std::move(resource), now};
  return true;
}

Departed::Pointer Departed::find(const kube::ObjectKey& key, base::MonotonicTime now) {
  const base::Lock lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  if (now - found->second.since < longest) return found->second.resource;
  entries_.erase(found);
  return nullptr;
}

void Departed::drop(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  entries_.erase(key);
}

}  // namespace quay_rotator::rotation
