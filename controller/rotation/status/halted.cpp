#include "rotation/status/halted.h"

#include <algorithm>
#include <cstddef>

#include "rotation/status/draft.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;

StatusUpdate in_conflict(const api::RobotTokenRotation& rotation, const kube::ObjectKey& owner,
                         base::WallTime now) {
  Draft draft(rotation, now);
  // Names of other namespaces are nobody's business here.
  const bool near = owner.name_space == rotation.meta.key.name_space;
  const std::string message =
      near
          ? "RobotTokenRotation " + owner.text() +
                ", which Quay let read this robot first, owns it; delete one of the two"
          : "a RobotTokenRotation in another namespace, which Quay let read this robot first, owns "
            "it; delete this one, or agree with whoever else uses the robot";
  draft.status().ownership = tenancy::unproven(draft.status().ownership);
  draft.set("Conflict", ConditionStatus::true_, "RobotOwnedByAnother", message);
  draft.status().conditions.remove("Preflight");
  draft.unknown("Conflict", "Another resource looks after this robot; see Conflict.");
  draft.stalled("Conflict", message);
  if (!rotation.status.conditions.is_true("Conflict")) draft.warn("Conflict", message);
  return draft.take_halted();
}

StatusUpdate of_another_cluster(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Draft draft(rotation, now);
  const std::string reason = "OwnedByAnotherCluster";
  const std::string& name = rotation.meta.key.name;
  const std::string message =
      "the quay-rotator of another cluster looks after this resource: nothing is read, rotated or "
      "written here. To have this cluster do it, make sure that the other one no longer rotates "
      "the robot, then run: kubectl -n " +
      rotation.meta.key.name_space + " annotate rtr " + name + " " +
      std::string(api::cluster_annotation) + "-";
  draft.warn_once("Stalled", reason, message);
  draft.unseen(reason, "Another cluster looks after this resource; see Ready.");
  draft.stalled(reason, message);
  return draft.take_halted();
}

StatusUpdate suspended(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Draft draft(rotation, now);
  // Ready goes on saying what was true of the Secrets when the resource was suspended.
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!ready) draft.set("Ready", ConditionStatus::unknown, "Suspended", "spec.suspend is true.");
  draft.set("Reconciling", ConditionStatus::false_, "Suspended",
            "spec.suspend is true: nothing is rotated, healed or adopted.");
  draft.status().conditions.remove("Conflict");
  draft.succeed();
  return draft.take_halted();
}

StatusUpdate invalid(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Draft draft(rotation, now);
  draft.unseen("InvalidSpec", "Nothing is looked after until the spec can be used; see Ready.");
  draft.stalled("InvalidSpec", *rotation.invalid);
  return draft.take_halted();
}

StatusUpdate metadata_not_allowed(const api::RobotTokenRotation& rotation,
                                  const std::vector<std::string>& keys, base::WallTime now) {
  constexpr std::size_t most = 5;
  std::string list;
  for (std::size_t at = 0; at < std::min(keys.size(), most); ++at) {
    list += (at == 0 ? "\"" : ", \"") + keys[at] + "\"";
  }
  if (keys.size() > most) list += " and " + std::to_string(keys.size() - most) + " more";
  Draft draft(rotation, now);
  const std::string message = "targets may not have the label or annotation " + list +
                              ": take it out of spec.targets, or have the administrator allow it "
                              "with --allowed-target-metadata; nothing is rotated or written";
  draft.warn_once("Ready", "MetadataNotAllowed", message);
  draft.stalled("MetadataNotAllowed", message);
  return draft.take_halted();
}

}  // namespace quay_rotator::rotation
