// Promise I7: which RobotTokenRotation owns a robot. The oldest does; the others call nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
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
  // 128 bits of a digest: there are many robots, and none may be made to look like another.
  struct Robot {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    bool operator==(const Robot&) const = default;
  };
  struct RobotHash {
    std::size_t operator()(const Robot& robot) const noexcept { return robot.first; }
  };
  struct Claimed {
    Robot robot;
    base::WallTime created{};
  };
  using Claims = std::unordered_map<kube::ObjectKey, Claimed>;
  using Claimants = std::unordered_multimap<Robot, const Claims::value_type*, RobotHash>;

  static Robot robot_of(const std::string& name);
  // All with the mutex held. A null claim releases.
  std::vector<kube::ObjectKey> replace(const kube::ObjectKey& key, const Claim* claim);
  [[nodiscard]] std::optional<kube::ObjectKey> verdict(const kube::ObjectKey& key) const;
  [[nodiscard]] std::optional<kube::ObjectKey> owner_of(const Robot& robot) const;

  mutable std::mutex mutex_;
  Claims claims_;  // its nodes do not move: by_robot_ points to them
  Claimants by_robot_;
};

}  // namespace quay_rotator::rotation
