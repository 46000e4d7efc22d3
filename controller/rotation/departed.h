// Resources that were deleted while a rotation was under way, and whose Secrets stay: they are
// remembered until those Secrets hold what Quay holds, because nobody else knows of it.
//
// Thread-safe. In memory only: a crash forgets them. Bounded: at most 1,000 (the oldest are
// forgotten first), each for a day.
#pragma once

#include <memory>
#include <unordered_map>

#include "api/robot_token_rotation.h"
#include "base/mutex.h"
#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::rotation {

class Departed {
 public:
  using Pointer = std::shared_ptr<const api::RobotTokenRotation>;

  // What the resource last was. True when it is remembered: it has a ledger, its spec can be used,
  // and its deletionPolicy is Retain.
  bool add(const api::RobotTokenRotation& last, base::MonotonicTime now);
  // As it was, but `deleting`; null when there is none.
  [[nodiscard]] Pointer find(const kube::ObjectKey& key, base::MonotonicTime now);
  // Its Secrets are right, or the resource has been made anew.
  void drop(const kube::ObjectKey& key);

 private:
  struct Entry {
    Pointer resource;
    base::MonotonicTime since;
  };

  base::Mutex mutex_;
  std::unordered_map<kube::ObjectKey, Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::rotation
