#include "rotation/conflict_index.h"

#include <tuple>

namespace quay_rotator::rotation {

bool ConflictIndex::Order::operator()(const Claim& left, const Claim& right) const {
  return std::tie(left.created, left.key) < std::tie(right.created, right.key);
}

std::vector<kube::ObjectKey> ConflictIndex::claim(const Claim& claim) {
  const std::lock_guard lock(mutex_);
  return replace(claim.key, &claim);
}

std::vector<kube::ObjectKey> ConflictIndex::release(const kube::ObjectKey& key) {
  const std::lock_guard lock(mutex_);
  return replace(key, nullptr);
}

std::optional<kube::ObjectKey> ConflictIndex::owner_other_than(const kube::ObjectKey& key) const {
  const std::lock_guard lock(mutex_);
  return verdict(key);
}

std::optional<kube::ObjectKey> ConflictIndex::verdict(const kube::ObjectKey& key) const {
  const auto claim = claims_.find(key);
  if (claim == claims_.end()) return std::nullopt;
  const auto& owner = by_robot_.at(claim->second.robot).begin()->key;
  if (owner == key) return std::nullopt;
  return owner;
}

std::vector<kube::ObjectKey> ConflictIndex::replace(const kube::ObjectKey& key,
                                                    const Claim* claim) {
  const auto found = claims_.find(key);
  if (claim == nullptr && found == claims_.end()) return {};

  // Only those who claim the robot that is left or the one that is entered can be touched.
  std::map<kube::ObjectKey, std::optional<kube::ObjectKey>> before{{key, verdict(key)}};
  const auto remember = [&](const std::string& robot) {
    const auto claimants = by_robot_.find(robot);
    if (claimants == by_robot_.end()) return;
    for (const auto& other : claimants->second) before.emplace(other.key, verdict(other.key));
  };
  if (found != claims_.end()) remember(found->second.robot);
  if (claim != nullptr) remember(claim->robot);

  if (found != claims_.end()) {
    const auto claimants = by_robot_.find(found->second.robot);
    claimants->second.erase(found->second);
    if (claimants->second.empty()) by_robot_.erase(claimants);
    claims_.erase(found);
  }
  if (claim != nullptr) {
    by_robot_[claim->robot].insert(*claim);
    claims_.emplace(key, *claim);
  }

  std::vector<kube::ObjectKey> changed;
  for (const auto& [other, old] : before) {
    if (verdict(other) != old) changed.push_back(other);
  }
  return changed;
}

}  // namespace quay_rotator::rotation
