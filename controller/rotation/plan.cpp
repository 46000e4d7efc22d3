#include "rotation/plan.h"

#include "rotation/schedule.h"

namespace quay_rotator::rotation {

Plan plan(const PlanInput& input) {
  const api::RobotTokenRotation& rotation = input.rotation;
  const api::RobotTokenRotationStatus& status = rotation.status;
  const bool asked = !rotation.rotate_request.empty() &&
                     rotation.rotate_request != status.last_handled_rotate_request;

  const bool open = status.rotation || status.has_unreadable_ledger();
  // Secrets that stay must hold a token that works; the others go with their owner.
  const bool goes =
      rotation.deleting && (!open || rotation.spec.deletion_policy == api::DeletionPolicy::delete_);
  const bool may_settle = open && !goes && !rotation.invalid;
  if (!input.caches_complete && !may_settle) return Postpone{};
  if (goes) return Rest{};
  if (rotation.invalid) return Halt{Halt::Why::invalid};
  if (status.rotation) {
    const bool may_regenerate = input.caches_complete && input.owners_known &&
                                !rotation.spec.suspend && !input.owner && !rotation.deleting;
    return Work{Goal::resume, status.rotation->reason, may_regenerate};
  }
  // Whatever was there, what Quay holds mends it: nothing is regenerated on its account.
  const Work mend{Goal::synchronize, api::RotationReason::initial, false};
  if (status.has_unreadable_ledger()) return mend;
  if (input.owner) return Halt{Halt::Why::conflict};
  // Whoever was in conflict may be so still.
  if (!input.owners_known && status.conditions.is_true("Conflict")) return Postpone{};
  if (rotation.spec.suspend) return Halt{Halt::Why::suspended};
  if (input.metadata_refused) return Halt{Halt::Why::metadata_refused};

  if (status.unreadable) return mend;
  if (!status.token_fingerprint) {
    const bool rotate = rotation.spec.initial == api::Initial::rotate;
    if (rotate && !input.owners_known) return Postpone{};
    return Work{rotate ? Goal::rotate : Goal::synchronize, api::RotationReason::initial};
  }
  const std::optional<base::WallTime> due = due_time(rotation, input.leading_since);
  const bool is_due = asked || (due && *due <= input.now);
  if (is_due && input.owners_known) {
    return Work{Goal::rotate,
                asked ? api::RotationReason::requested : api::RotationReason::interval};
  }
  if (!input.targets_current || input.drifted) return Work{Goal::synchronize};
  if (rotation.spec.verify == api::VerifyLevel::login && !input.troubled &&
      !status.conditions.is_true("Verified")) {
    return Work{Goal::synchronize};
  }
  if (input.watched) {
    return Work{Goal::synchronize, api::RotationReason::interval, true, /*watch=*/true};
  }
  if (is_due) return Postpone{};
  return Rest{due};
}

}  // namespace quay_rotator::rotation
