// What a process knows beyond its caches: who owns which robot, what it remembers of each resource,
// how far it sees. A process that starts with none of it decides the same, later at the most.
#pragma once

#include <cstddef>
#include <functional>
#include <unordered_map>

#include "api/managed_secret.h"
#include "base/mutex.h"
#include "kube/object.h"
#include "rotation/departed.h"
#include "rotation/memory.h"
#include "rotation/sight.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// The memories of those that have something to remember. Thread-safe.
class Memories {
 public:
  // Changes what is remembered of it and returns what is then. `change` must not call back.
  Memory change(const kube::ObjectKey& key, const std::function<void(Memory&)>& change);
  [[nodiscard]] Memory of(const kube::ObjectKey& key);
  void forget(const kube::ObjectKey& key);

 private:
  base::Mutex mutex_;
  std::unordered_map<kube::ObjectKey, Memory> memories_ GUARDED_BY(mutex_);
};

// How many cached Secrets name a rotation as their owner. Thread-safe.
class OwnedSecrets {
 public:
  void add(const kube::ObjectKey& rotation) { count(rotation, 1); }
  void remove(const kube::ObjectKey& rotation) { count(rotation, -1); }
  [[nodiscard]] int of(const kube::ObjectKey& rotation) const;

 private:
  void count(const kube::ObjectKey& rotation, int change);

  mutable base::Mutex mutex_;
  std::unordered_map<std::size_t, int> counts_ GUARDED_BY(mutex_);  // by the rotation's hash
};

// Each part is thread-safe.
struct Knowledge {
  explicit Knowledge(std::size_t namespaces) : sight(namespaces) {}

  tenancy::Owners owners;
  Memories memories;
  OwnedSecrets secrets;
  Departed departed;
  Sight sight;
};

}  // namespace quay_rotator::rotation
