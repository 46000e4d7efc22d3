#include "connection/newcomers.h"

#include "tenancy/cluster_mark.h"

namespace quay_rotator::connection {

namespace {

// Its first look only adopts, and a login will prove what a list told.
bool waits_for_adoption(const api::RobotTokenRotation& rotation) {
  const api::RobotTokenRotationStatus& status = rotation.status;
  const api::Condition* ready = status.conditions.find("Ready");
  // No list tells what a person must do about it.
  const bool missing =
      ready != nullptr && ready->reason == quay::reason(quay::Error::Kind::robot_not_found);
  return !rotation.deleting && !rotation.invalid && !rotation.spec.suspend &&
         rotation.spec.strategy.type != api::StrategyType::federate &&
         rotation.spec.verify == api::VerifyLevel::login && !status.fingerprint() &&
         !status.rotation && !status.unreadable && !status.conditions.is_true("Conflict") &&
         tenancy::open_request(rotation).empty() && !missing;
}

}  // namespace

void Newcomers::note(const api::RobotTokenRotation& rotation, bool may) {
  const kube::ObjectKey& key = rotation.meta.key;
  const bool waits = may && waits_for_adoption(rotation);
  const base::Lock lock(mutex_);
  if (!waits) return leave(key);
  Place place{{connection_of(rotation), rotation.spec.robot.organization},
              rotation.spec.robot.name};
  const auto found = places_.find(key);
  if (found != places_.end() && found->second == place) return;
  leave(key);
  Group& group = groups_[place.of];
  const auto [robot, is_new] = group.robots.try_emplace(place.robot);
  if (is_new) ++group.open;
  robot->second.resources.insert(key);
  places_.emplace(key, std::move(place));
}

void Newcomers::forget(const kube::ObjectKey& rotation) {
  const base::Lock lock(mutex_);
  leave(rotation);
}

void Newcomers::leave(const kube::ObjectKey& rotation) {
  const auto place = places_.find(rotation);
  if (place == places_.end()) return;
  const auto group = groups_.find(place->second.of);
  const auto robot = group->second.robots.find(place->second.robot);
  robot->second.resources.erase(rotation);
  if (robot->second.resources.empty()) {
    part(group->second, robot->second);
    group->second.robots.erase(robot);
  }
  if (group->second.robots.empty() && !group->second.listing) groups_.erase(group);
  places_.erase(place);
}

std::unique_ptr<Newcomers::Listing> Newcomers::listen(const kube::ObjectKey& connection,
                                                      const std::string& organization,
                                                      const Session& session) {
  const base::Lock lock(mutex_);
  const auto group = groups_.find({connection, organization});
  if (group == groups_.end() || group->second.listing) return nullptr;
  sweep(group->second, executor_.now());
  return begin(group->first, group->second, session);
}

Newcomers::Way Newcomers::way(const kube::ObjectKey& rotation, const Session& session) {
  const base::MonotonicTime now = executor_.now();
  const base::Lock lock(mutex_);
  const auto place = places_.find(rotation);
  if (place == places_.end()) return ReadRobot{};
  Group& group = groups_.at(place->second.of);
  Robot& robot = group.robots.at(place->second.robot);
  sweep(group, now);
  if (robot.credential && group.session.lock() == session) {
    part(group, robot);
    return *std::exchange(robot.credential, std::nullopt);
  }
  if (group.listing) {
    group.waiting.push_back(rotation);
    return Wait{};
  }
  const bool failed = group.failed && group.listed && now < *group.listed + kept;
  if (robot.alone || group.open < 2 || failed) return ReadRobot{};
  if (group.listed && now < *group.listed + pause) return Wait{*group.listed + pause};
  return begin(place->second.of, group, session);
}

Newcomers::ReadList Newcomers::begin(const Of& of, Group& group, const Session& session) {
  group.listing = true;
  group.session = session;
  for (auto& [name, robot] : group.robots) {
    robot.credential.reset();
    robot.sought = true;
  }
  return ReadList(new Listing(*this, of));
}

void Newcomers::sweep(Group& group, base::MonotonicTime now) {
  if (group.listing || !group.holds || now < *group.listed + kept) return;
  for (auto& [name, robot] : group.robots) robot.credential.reset();
  group.holds = false;
}

void Newcomers::part(Group& group, Robot& robot) {
  if (!std::exchange(robot.alone, true)) --group.open;
}

Newcomers::Robot* Newcomers::robot_of(const Of& of, std::string_view full_name) {
  const auto group = groups_.find(of);
  if (group == groups_.end()) return nullptr;
  const auto robot = group->second.robots.find(full_name.substr(full_name.find('+') + 1));
  return robot == group->second.robots.end() || robot->second.alone ? nullptr : &robot->second;
}

void Newcomers::end(const Of& of, bool complete) {
  std::vector<kube::ObjectKey> waiting;
  {
    const base::Lock lock(mutex_);
    const auto found = groups_.find(of);
    if (found == groups_.end()) return;
    Group& group = found->second;
    group.listing = false;
    group.listed = executor_.now();
    group.failed = !complete;
    group.holds = complete;
    for (auto& [name, robot] : group.robots) {
      if (!complete) robot.credential.reset();
      if (complete && robot.sought && !robot.credential) part(group, robot);
      robot.sought = false;
    }
    waiting.swap(group.waiting);
    if (group.robots.empty()) groups_.erase(found);
  }
  for (const kube::ObjectKey& key : waiting) wake_(key);
}

Newcomers::Listing::~Listing() {
  newcomers_.end(of_, complete_);
}

bool Newcomers::Listing::wants(std::string_view full_name) {
  const base::Lock lock(newcomers_.mutex_);
  return newcomers_.robot_of(of_, full_name) != nullptr;
}

void Newcomers::Listing::take(quay::RobotCredential credential) {
  if (credential.token.size() > longest_token) return;
  const base::Lock lock(newcomers_.mutex_);
  Robot* const robot = newcomers_.robot_of(of_, credential.robot);
  if (robot != nullptr) robot->credential = std::move(credential);
}

}  // namespace quay_rotator::connection
