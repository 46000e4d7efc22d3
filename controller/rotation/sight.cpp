#include "rotation/sight.h"

#include <algorithm>
#include <utility>

#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

namespace {

// The entry of that namespace, or of all.
template <class Map>
auto entry_of(const Map& map, const std::string& name_space) {
  const auto all = map.find("");
  return all == map.end() ? map.find(name_space) : all;
}

}  // namespace

void Sight::identify(const std::string& cluster) {
  const base::Lock lock(mutex_);
  cluster_ = cluster;
}

std::string Sight::cluster() const {
  const base::Lock lock(mutex_);
  return cluster_;
}

bool Sight::looked_after(const api::RobotTokenRotation& rotation) const {
  const base::Lock lock(mutex_);
  return cluster_.empty() || tenancy::mark_of(rotation, cluster_) != tenancy::Mark::foreign;
}

Sight::Progress Sight::see(const std::string& name_space, Extent extent, base::WallTime now) {
  Progress progress;
  const base::Lock lock(mutex_);
  const auto [seen, is_new] = seen_.try_emplace(name_space);
  progress.complete = extent == Extent::everything && !seen->second.complete;
  if (!is_new && !progress.complete) return progress;
  ++version_;
  if (progress.complete) {
    seen->second.complete = now;
    unreadable_.erase(name_space);
  }
  const auto complete = std::ranges::count_if(
      seen_, [](const auto& each) { return each.second.complete.has_value(); });
  all_complete_ = static_cast<std::size_t>(complete) >= namespaces_;
  if (all_complete_) owners_.clear();
  progress.postponed.swap(postponed_);
  return progress;
}

Sight::Postponed Sight::cannot_see(const std::string& name_space, const std::string& why) {
  const base::Lock lock(mutex_);
  unreadable_[name_space] = why;
  ++version_;
  return std::exchange(postponed_, {});
}

std::size_t Sight::unreadable() const {
  const base::Lock lock(mutex_);
  return unreadable_.size();
}

void Sight::note_owner(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  if (!all_complete_) owners_.insert(key);
}

void Sight::forget(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  owners_.erase(key);
  postponed_.erase(key);
}

Sight::View Sight::of(const kube::ObjectKey& key) const {
  const base::Lock lock(mutex_);
  View view;
  const auto seen = entry_of(seen_, key.name_space);
  view.connections = seen != seen_.end();
  if (view.connections) view.complete = seen->second.complete;
  view.owners_known = all_complete_ || owners_.contains(key);
  const auto why = entry_of(unreadable_, key.name_space);
  if (why != unreadable_.end()) view.unreadable = why->second;
  view.version = version_;
  return view;
}

bool Sight::postpone(const kube::ObjectKey& key, runtime::Urgency urgency, int version) {
  const base::Lock lock(mutex_);
  if (version != version_) return false;
  postponed_.insert_or_assign(key, urgency);
  return true;
}

}  // namespace quay_rotator::rotation
