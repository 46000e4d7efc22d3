#include "rotation/conflict_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/fingerprint.h"

namespace quay_rotator::rotation {

ConflictIndex::Robot ConflictIndex::robot_of(const std::string& name) {
  return {base::digest64(name), base::digest64(name + '\n')};
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
  const auto owner = owner_of(claim->second.robot);
  if (owner == key) return std::nullopt;
  return owner;
}

std::optional<kube::ObjectKey> ConflictIndex::owner_of(const Robot& robot) const {
  const auto [begin, end] = by_robot_.equal_range(robot);
  if (begin == end) return std::nullopt;
  const auto age = [](const auto& claimant) {
    const auto& [key, claimed] = *claimant.second;
    return std::tie(claimed.created, key);
  };
  const auto oldest = std::min_element(
      begin, end, [&](const auto& left, const auto& right) { return age(left) < age(right); });
  return oldest->second->first;
}

std::vector<kube::ObjectKey> ConflictIndex::replace(const kube::ObjectKey& key,
                                                    const Claim* claim) {
  const auto found = claims_.find(key);
  if (claim == nullptr && found == claims_.end()) return {};

  // Only those who claim the robot that is left or the one that is entered can be touched.
  std::vector<std::pair<Robot, std::optional<kube::ObjectKey>>> owners;
  const auto remember = [&](const Robot& robot) {
    if (owners.empty() || owners.front().first != robot)
      owners.emplace_back(robot, owner_of(robot));
  };
  if (found != claims_.end()) remember(found->second.robot);
  if (claim != nullptr) remember(robot_of(claim->robot));
  const auto before = verdict(key);

  if (found != claims_.end()) {
    const auto [begin, end] = by_robot_.equal_range(found->second.robot);
    by_robot_.erase(std::find_if(
        begin, end, [node = &*found](const auto& claimant) { return claimant.second == node; }));
  }
  if (claim == nullptr) {
    claims_.erase(found);
  } else {
    const Robot& robot = owners.back().first;
    const auto place = claims_.insert_or_assign(key, Claimed{robot, claim->created}).first;
    by_robot_.emplace(robot, &*place);
  }

  std::vector<kube::ObjectKey> changed;
  if (verdict(key) != before) changed.push_back(key);
  for (const auto& [robot, owner] : owners) {
    if (owner_of(robot) == owner) continue;
    const auto [begin, end] = by_robot_.equal_range(robot);
    for (auto other = begin; other != end; ++other) {
      if (other->second->first != key) changed.push_back(other->second->first);
    }
  }
  std::sort(changed.begin(), changed.end());
  return changed;
}

}  // namespace quay_rotator::rotation
