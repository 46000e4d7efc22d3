// Promise I7: which RobotTokenRotation owns a robot. The oldest does; the others call nothing.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::rotation {

// Who claims what since when. `robot` identifies a robot across connections: the Quay's origin and
// the full name, or for a user's robot whose user is not known yet, the connection and short name.
struct Claim {
  std::string robot;
  base::WallTime created{};
  kube::ObjectKey key;
  std::string uid;
};

// Thread-safe. Ages are creationTimestamp, then namespace/name: every replica decides alike.
class ConflictIndex {
 public:
  // Puts in or replaces the claim of claim.key. Returns the keys for which owner_other_than now
  // answers something else; nothing when nothing changed, so that a claim may be repeated freely.
  std::vector<kube::ObjectKey> claim(const Claim& claim);
  std::vector<kube::ObjectKey> release(const kube::ObjectKey& key);
  // The owner, when it is not `key` itself.
  [[nodiscard]] std::optional<kube::ObjectKey> owner_other_than(const kube::ObjectKey& key) const;

 private:
  struct Order {
    bool operator()(const Claim& left, const Claim& right) const;
  };
  // Both with the mutex held. A null claim releases.
  std::vector<kube::ObjectKey> replace(const kube::ObjectKey& key, const Claim* claim);
  [[nodiscard]] std::optional<kube::ObjectKey> verdict(const kube::ObjectKey& key) const;

  mutable std::mutex mutex_;
  std::map<kube::ObjectKey, Claim> claims_;
  std::map<std::string, std::set<Claim, Order>> by_robot_;
};

}  // namespace quay_rotator::rotation
