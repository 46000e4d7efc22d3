#include "rotation/view.h"

#include <algorithm>
#include <iterator>

#include "http/url.h"

namespace quay_rotator::rotation {

namespace {

std::vector<target::Finding> stale_of(const Caches& caches, const api::RobotTokenRotation& rotation,
                                      const std::vector<target::DesiredSecret>& targets) {
  std::vector<target::Finding> stale;
  const api::RobotStatus* robot = rotation.status.active();
  if (robot == nullptr || !robot->fingerprint) return stale;
  for (const target::DesiredSecret& target : targets) {
    const auto cached = caches.secrets.find(target.key);
    std::ranges::move(target::currency(target, cached.get(), robot->name, *robot->fingerprint),
                      std::back_inserter(stale));
  }
  return stale;
}

bool are_current(const api::RobotTokenRotation& rotation,
                 const std::vector<target::DesiredSecret>& targets,
                 const std::vector<target::Finding>& stale) {
  return rotation.status.fingerprint() && !targets.empty() && stale.empty();
}

}  // namespace

bool View::targets_current() const {
  return are_current(rotation, targets, stale);
}

tenancy::Way way_of(const Caches& caches, const api::RobotTokenRotation& rotation) {
  tenancy::Way way{rotation.spec.connection, "", false};
  const auto connection = caches.connections.find(connection_of(rotation));
  if (!connection) return way;
  const api::QuayConnectionSpec& spec = connection->spec;
  const auto url = http::parse_url(spec.url);
  if (!url) return way;
  way.quay = tenancy::quay_key(url->host, url->port);
  way.forgeable = !spec.proxy_url.empty() && (spec.ca() != nullptr || url->scheme == "http");
  return way;
}

std::vector<target::DesiredSecret> targets_of(const Caches& caches,
                                              const api::RobotTokenRotation& rotation) {
  const auto connection = caches.connections.find(connection_of(rotation));
  if (!connection) return {};
  const auto url = http::parse_url(connection->spec.url);
  if (!url) return {};
  return target::desired_secrets(rotation, url->authority(), caches.allowed_metadata);
}

bool are_current(const Caches& caches, const api::RobotTokenRotation& rotation,
                 const std::vector<target::DesiredSecret>& targets) {
  return are_current(rotation, targets, stale_of(caches, rotation, targets));
}

bool has_former_targets(const Caches& caches, const OwnedSecrets& owned, const View& view) {
  const api::RobotTokenRotation& rotation = view.rotation;
  if (rotation.spec.deletion_policy == api::DeletionPolicy::retain) return false;
  const auto current = std::ranges::count_if(view.targets, [&](const auto& target) {
    const auto cached = caches.secrets.find(target.key);
    return cached && cached->owner == rotation.meta.key;
  });
  return owned.of(rotation.meta.key) > current;
}

std::string inputs_of(const Caches& caches, const api::RobotTokenRotation& rotation) {
  std::string inputs =
      rotation.meta.uid + " " + std::to_string(rotation.generation) + " " + rotation.rotate_request;
  if (const auto connection = caches.connections.find(connection_of(rotation))) {
    inputs += " " + connection->meta.uid + " " + std::to_string(connection->generation) +
              (connection->status.conditions.is_true("Ready") ? " ready" : "");
  }
  return inputs;
}

View look(const Caches& caches, const Knowledge& knowledge, const api::RobotTokenRotation& rotation,
          const Memory& memory, const Sight::View& sight, base::WallTime wall_now,
          base::MonotonicTime now) {
  const tenancy::Owners::Standing standing = knowledge.owners.standing(rotation.meta.key);
  View view{rotation, wall_now, sight.complete.value_or(wall_now)};
  view.owner = standing.owner;
  view.targets = targets_of(caches, rotation);
  view.stale = stale_of(caches, rotation, view.targets);
  view.drifted = memory.drifted();
  view.watched = memory.watches(now) && memory.next_watch() <= now;
  // Of a federated robot Quay is asked without the connection's API token.
  if (rotation.spec.strategy.type != api::StrategyType::federate) {
    view.quay = caches.findings.of(connection_of(rotation), rotation.spec.robot.organization);
  }
  view.metadata_refused = caches.allowed_metadata.refused(rotation);
  view.caches_complete = sight.complete.has_value();
  view.owners_known = sight.owners_known;
  view.proven = standing.proven;
  view.standby_proven = standing.standby_proven;
  view.ownership_known =
      standing.since_version.empty() ||
      caches.rotations.has_reached(rotation.meta.key.name_space, standing.since_version);
  view.mark = tenancy::mark_of(rotation, knowledge.sight.cluster());
  return view;
}

}  // namespace quay_rotator::rotation
