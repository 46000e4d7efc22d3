#include "rotation/plan.h"

#include "schedule/schedule.h"

namespace quay_rotator::rotation {

namespace {

// Why to rotate now, if there is a reason.
std::optional<api::RotationReason> wanted(const PlanInput& input,
                                          std::optional<base::WallTime> due) {
  using Reason = api::RotationReason;
  if (tenancy::initial_rotation_pending(input.rotation)) return Reason::initial;
  if (!tenancy::open_request(input.rotation).empty()) return Reason::requested;
  if (due && *due <= input.now) return Reason::interval;
  return std::nullopt;
}

// A target was right once and is not any more, though neither the spec nor Quay has changed.
bool is_damaged(const PlanInput& input) {
  const api::RobotTokenRotationStatus& status = input.rotation.status;
  return !input.targets_current && !input.drifted && status.conditions.is_true("Published") &&
         status.targets.failing.empty() && status.observed_generation == input.rotation.generation;
}

Plan decide(const PlanInput& input) {
  const api::RobotTokenRotation& rotation = input.rotation;
  const api::RobotTokenRotationStatus& status = rotation.status;

  const bool open = status.rotation || status.has_unreadable_ledger();
  // Secrets that stay must hold a token that works; the others go with their owner.
  const bool goes =
      rotation.deleting && (!open || rotation.spec.deletion_policy == api::DeletionPolicy::delete_);
  const bool foreign = input.mark == tenancy::Mark::foreign;
  const bool may_settle = open && !goes && !rotation.invalid && !foreign;
  if (!input.caches_complete && !may_settle) return Postpone{};
  if (goes) return Rest{};
  if (foreign) return Halt{Halt::Why::another_cluster};
  if (rotation.invalid) return Halt{Halt::Why::invalid};
  if (status.rotation) {
    const bool owns = input.owners_known && !input.owner && input.proven && input.ownership_known &&
                      input.mark == tenancy::Mark::ours;
    const bool may_regenerate =
        input.caches_complete && !rotation.spec.suspend && !rotation.deleting && owns;
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
  if (!status.token_fingerprint || !input.proven) return Work{Goal::synchronize};
  const std::optional<base::WallTime> due = schedule::due_time(rotation, input.leading_since);
  const auto reason = wanted(input, due);
  if (reason && input.owners_known && input.ownership_known) {
    if (input.mark != tenancy::Mark::ours) return WriteMark{};
    return Work{Goal::rotate, *reason};
  }
  if (!input.targets_current || input.drifted) return Work{Goal::synchronize};
  if (rotation.spec.verify == api::VerifyLevel::login && !input.troubled &&
      !status.conditions.is_true("Verified")) {
    return Work{Goal::synchronize};
  }
  if (input.watched) {
    return Work{Goal::synchronize, api::RotationReason::interval, true, /*watch=*/true};
  }
  if (reason && !input.owners_known) return Postpone{};
  if (reason) return Await{};
  const bool over = rotation.initialized || !tenancy::beginning_is_over(rotation);
  if (input.mark != tenancy::Mark::ours || !over) return WriteMark{};
  return Rest{due};
}

}  // namespace

Plan plan(const PlanInput& input) {
  Plan decision = decide(input);
  if (auto* work = std::get_if<Work>(&decision)) {
    work->heals = work->goal == Goal::synchronize && is_damaged(input);
  }
  return decision;
}

}  // namespace quay_rotator::rotation
