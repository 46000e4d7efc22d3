#include "rotation/wake.h"

#include "connection/session.h"

namespace quay_rotator::rotation {

namespace {

using runtime::ChangeCause;
using runtime::Urgency;

Urgency usual(ChangeCause cause) {
  return cause == ChangeCause::initial ? Urgency::initial : Urgency::normal;
}

// A person may be waiting where the spec was edited or a rotation was asked for.
Urgency urgency(const api::RobotTokenRotation* before, const api::RobotTokenRotation& after,
                ChangeCause cause) {
  if (after.status.rotation) return Urgency::outage;
  const bool asked = after.rotate_request != after.status.last_handled_rotate_request &&
                     !after.rotate_request.empty();
  const bool edited =
      cause == ChangeCause::live && (before == nullptr || before->generation != after.generation);
  return asked || edited ? Urgency::urgent : usual(cause);
}

}  // namespace

Wake::Wake(WakeParts parts) : parts_(parts) {
  parts_.rotations.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_rotation(before, after, cause);
  });
  parts_.connections.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_connection(before, after, cause);
  });
  parts_.secrets.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_secret(before, after, cause);
  });
  parts_.queue.admit(Urgency::outage);
}

void Wake::identify(const std::string& cluster) {
  parts_.knowledge.sight.identify(cluster);
  // What was claimed before this was known.
  parts_.rotations.each([this](const api::RobotTokenRotation& rotation) {
    if (parts_.knowledge.sight.looked_after(rotation)) return;
    add(parts_.knowledge.owners.release(rotation.meta.key));
    parts_.newcomers.forget(rotation.meta.key);
  });
}

void Wake::see(const std::string& name_space, Sight::Extent extent) {
  const auto progress = parts_.knowledge.sight.see(name_space, extent, parts_.executor.wall_now());
  if (progress.complete) {
    parts_.metrics.unreadable_namespaces(parts_.knowledge.sight.unreadable());
    parts_.queue.admit(Urgency::initial);
  }
  add(progress.postponed);
}

void Wake::cannot_see(const std::string& name_space, const std::string& why) {
  const auto postponed = parts_.knowledge.sight.cannot_see(name_space, why);
  parts_.metrics.unreadable_namespaces(parts_.knowledge.sight.unreadable());
  parts_.queue.admit(Urgency::initial);
  add(postponed);
}

void Wake::note_drift(const kube::ObjectKey& rotation, std::optional<base::Fingerprint> listed) {
  parts_.knowledge.memories.change(rotation, [&](Memory& memory) { memory.note_drift(listed); });
  parts_.queue.add(rotation, Urgency::normal);
}

void Wake::note_news(const kube::ObjectKey& rotation) {
  parts_.knowledge.memories.change(rotation, [](Memory& memory) { memory.note_news(); });
  parts_.queue.add(rotation, Urgency::normal);
}

void Wake::note_refusal(const kube::ObjectKey& rotation) {
  if (parts_.knowledge.owners.standing(rotation).contested) note_drift(rotation, std::nullopt);
}

void Wake::on_rotation(const Rotation& before, const Rotation& after, ChangeCause cause) {
  if (!after) return on_departure(*before);
  const kube::ObjectKey& key = after->meta.key;
  Knowledge& knowledge = parts_.knowledge;
  knowledge.departed.drop(key);
  const auto& ownership = after->status.ownership;
  if (cause == ChangeCause::initial && ownership && ownership->since) {
    knowledge.sight.note_owner(key);
  }
  claim(*after, cause);
  parts_.newcomers.note(*after, knowledge.sight.looked_after(*after) &&
                                    parts_.caches.allowed_metadata.refused(*after).empty());
  // A key is of its connection's lane before it is looked at for the first time.
  parts_.queue.add(key, urgency(before.get(), *after, cause),
                   parts_.lanes.of(connection::lane_name(connection_of(*after))));
}

void Wake::on_departure(const api::RobotTokenRotation& last) {
  const kube::ObjectKey& key = last.meta.key;
  Knowledge& knowledge = parts_.knowledge;
  const bool open = knowledge.departed.add(last, parts_.executor.now());
  // Of its ledger is remembered since when it has been seen.
  if (!open) knowledge.memories.forget(key);
  knowledge.sight.forget(key);
  add(knowledge.owners.release(key));
  parts_.newcomers.forget(key);
  parts_.queue.add(key, open ? Urgency::outage : Urgency::normal);
}

void Wake::on_connection(const Connection& before, const Connection& after, ChangeCause cause) {
  const kube::ObjectKey& key = (after ? after : before)->meta.key;
  const bool ready = after && after->status.conditions.is_true("Ready");
  const bool was_ready = before && before->status.conditions.is_true("Ready");
  if (before && after && before->generation == after->generation && ready == was_ready) return;

  const auto look = [&](const api::RobotTokenRotation& user) {
    if (connection_of(user) != key) return;
    claim(user, cause);
    parts_.queue.add(user.meta.key, usual(cause));
  };
  parts_.rotations.each(look, key.name_space);
}

void Wake::on_secret(const Secret& before, const Secret& after, ChangeCause cause) {
  for (const Secret* secret : {&before, &after}) {
    // A copy in another namespace is nothing to the rotation that it names.
    if (!*secret || (*secret)->owner.name_space != (*secret)->meta.key.name_space) continue;
    const kube::ObjectKey& owner = (*secret)->owner;
    OwnedSecrets& counts = parts_.knowledge.secrets;
    secret == &after ? counts.add(owner) : counts.remove(owner);
    if (cause == ChangeCause::live) parts_.queue.add(owner, Urgency::normal);
  }
}

void Wake::claim(const api::RobotTokenRotation& rotation, ChangeCause cause) {
  tenancy::Owners& owners = parts_.knowledge.owners;
  if (rotation.deleting || rotation.invalid || !parts_.knowledge.sight.looked_after(rotation)) {
    return add(owners.release(rotation.meta.key));
  }
  add(owners.claim({rotation.meta.key, rotation.created, rotation.spec.robot,
                    rotation.spec.strategy.alternate.standby, rotation.status.active_name(),
                    way_of(parts_.caches, rotation), rotation.status.ownership,
                    cause == ChangeCause::initial ? "" : rotation.meta.resource_version}));
}

void Wake::add(const std::vector<kube::ObjectKey>& rotations) {
  for (const kube::ObjectKey& key : rotations) parts_.queue.add(key, Urgency::normal);
}

void Wake::add(const Sight::Postponed& rotations) {
  for (const auto& [key, how] : rotations) parts_.queue.add(key, how);
}

}  // namespace quay_rotator::rotation
