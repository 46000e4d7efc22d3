#include "rotation/knowledge.h"

namespace quay_rotator::rotation {

Memory Memories::change(const kube::ObjectKey& key, const std::function<void(Memory&)>& change) {
  const base::Lock lock(mutex_);
  const auto found = memories_.try_emplace(key).first;
  change(found->second);
  Memory memory = found->second;
  if (memory.empty()) memories_.erase(found);
  return memory;
}

Memory Memories::of(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  const auto found = memories_.find(key);
  return found == memories_.end() ? Memory{} : found->second;
}

void Memories::forget(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  memories_.erase(key);
}

int OwnedSecrets::of(const kube::ObjectKey& rotation) const {
  const base::Lock lock(mutex_);
  const auto found = counts_.find(std::hash<kube::ObjectKey>{}(rotation));
  return found == counts_.end() ? 0 : found->second;
}

void OwnedSecrets::count(const kube::ObjectKey& rotation, int change) {
  const base::Lock lock(mutex_);
  const auto place = counts_.try_emplace(std::hash<kube::ObjectKey>{}(rotation)).first;
  place->second += change;
  if (place->second == 0) counts_.erase(place);
}

}  // namespace quay_rotator::rotation
