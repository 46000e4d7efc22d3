#include "rotation/plan.h"

#include <algorithm>

#include "schedule/refresh.h"
#include "schedule/schedule.h"

namespace quay_rotator::rotation {

namespace {

// A target was right once and is not any more, though neither the spec nor Quay has changed.
bool is_damaged(const View& view) {
  const api::RobotTokenRotationStatus& status = view.rotation.status;
  return !view.targets_current() && !view.drifted && status.conditions.is_true("Published") &&
         status.targets.failing.empty() && status.observed_generation == view.rotation.generation;
}

// Secrets that stay must hold a token that works; the others go with their owner.
bool goes(const api::RobotTokenRotation& rotation, bool open) {
  return rotation.deleting &&
         (!open || rotation.spec.deletion_policy == api::DeletionPolicy::delete_);
}

Decision resume(const View& view) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const bool owns = view.owners_known && !view.owner && view.proven && view.ownership_known &&
                    view.mark == tenancy::Mark::ours;
  const bool may_regenerate =
      view.caches_complete && !rotation.spec.suspend && !rotation.deleting && owns;
  return {Work{Goal::resume, rotation.status.rotation->reason, may_regenerate}, Why::ledger_open};
}

// Keyless, likewise: an exchange destroys nothing, and what it made is stored nowhere but in the
// targets. So whatever is wrong with them, or ends, is mended by another.
Decision federated(const View& view) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const auto exchange = [](Why why, api::RotationReason reason = api::RotationReason::interval) {
    return Decision{Work{Goal::exchange, reason}, why};
  };
  if (api::held(rotation) == nullptr) return exchange(Why::token_unknown);
  if (!view.proven) return exchange(Why::claim_unproven);
  if (!tenancy::open_request(rotation).empty()) {
    return exchange(Why::due, api::RotationReason::requested);
  }
  if (schedule::refresh_due(rotation, view.now)) return exchange(Why::due);
  if (!view.targets_current()) return exchange(Why::targets_differ);
  if (rotation.spec.verify == api::VerifyLevel::login && !view.troubled() &&
      !rotation.status.conditions.is_true("Verified")) {
    return exchange(Why::unverified);
  }
  const bool over = rotation.initialized || !tenancy::beginning_is_over(rotation);
  if (view.mark != tenancy::Mark::ours || !over) return {WriteMark{}, Why::unmarked};
  const bool burns =
      rotation.spec.strategy.federate.burn_static_token && !rotation.status.active()->retired_at;
  if (burns && view.owners_known && view.ownership_known) {
    return {Work{Goal::retire, api::RotationReason::retire}, Why::static_token_alive};
  }
  return {Rest{schedule::refresh_time(rotation)}, Why::current};
}

// Of a resource that is looked after and has no ledger.
Decision maintain(const View& view) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const api::RobotTokenRotationStatus& status = rotation.status;
  if (rotation.spec.strategy.type == api::StrategyType::federate) return federated(view);
  const bool unequal = !view.standby_proven;
  if (!status.fingerprint()) return {Work{.compare = unequal}, Why::token_unknown};
  if (!view.proven) return {Work{.compare = unequal}, Why::claim_unproven};
  if (held(rotation) == nullptr) return {Work{.compare = unequal}, Why::strategy_changed};
  if (unequal) return {Work{.compare = true}, Why::standby_unproven};

  const std::optional<base::WallTime> due = schedule::due_time(rotation, view.leading_since);
  const auto reason = schedule::reason(rotation, due, view.now);
  const bool owned = view.owners_known && view.ownership_known;
  // A target that does not hold the active robot's token may hold the one that a turn kills; and a
  // turn does not look at the active robot, however long it is refused.
  const bool heals_first =
      !api::standby_robot(rotation).empty() && (!view.targets_current() || view.drifted);
  if (reason && owned && !heals_first) {
    if (view.mark != tenancy::Mark::ours) return {WriteMark{}, Why::unmarked};
    return {Work{Goal::rotate, *reason}, Why::due};
  }
  if (!view.targets_current()) return {Work{}, Why::targets_differ};
  if (view.drifted) return {Work{}, Why::quay_differs};
  if (rotation.spec.verify == api::VerifyLevel::login && !view.troubled() &&
      !status.conditions.is_true("Verified")) {
    return {Work{}, Why::unverified};
  }
  const std::optional<base::WallTime> retirement = schedule::retirement(rotation);
  if (retirement && *retirement <= view.now && owned && view.mark == tenancy::Mark::ours) {
    return {Work{Goal::retire, api::RotationReason::retire}, Why::overlap_over};
  }
  if (view.watched) return {Work{.watch = true}, Why::watched};
  if (status.federation) return {Work{}, Why::federation_left};
  if (reason && !view.owners_known) return {Postpone{}, Why::owners_unknown};
  if (reason) return {Await{}, Why::proofs_unknown};
  const bool over = rotation.initialized || !tenancy::beginning_is_over(rotation);
  if (view.mark != tenancy::Mark::ours || !over) return {WriteMark{}, Why::unmarked};
  return {Rest{retirement && *retirement > view.now && due ? std::min(*retirement, *due) : due},
          Why::current};
}

Decision decide(const View& view) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const api::RobotTokenRotationStatus& status = rotation.status;
  const bool open = status.rotation || status.has_unreadable_ledger();
  const bool gone = goes(rotation, open);
  const bool foreign = view.mark == tenancy::Mark::foreign;

  const bool may_settle = open && !gone && !rotation.invalid && !foreign;
  if (!view.caches_complete && !may_settle) return {Postpone{}, Why::caches_incomplete};
  if (gone) return {Rest{}, Why::deleted};
  if (foreign) return {Halt{}, Why::another_cluster};
  if (rotation.invalid) return {Halt{}, Why::invalid};
  if (status.rotation) return resume(view);
  // Whatever was there, what Quay holds mends it: nothing is regenerated on its account.
  const Work mend{Goal::synchronize, api::RotationReason::initial, false};
  if (status.has_unreadable_ledger()) return {mend, Why::ledger_unreadable};
  if (view.owner) return {Halt{}, Why::conflict};
  // Whoever was in conflict may be so still.
  if (!view.owners_known && status.conditions.is_true("Conflict")) {
    return {Postpone{}, Why::owners_unknown};
  }
  if (rotation.spec.suspend) return {Halt{}, Why::suspended};
  if (!view.metadata_refused.empty()) return {Halt{}, Why::metadata_refused};
  if (status.unreadable) return {mend, Why::status_unreadable};
  return maintain(view);
}

}  // namespace

std::string_view text(Why why) {
  switch (why) {
    case Why::caches_incomplete:
      return "not everything has been listed yet";
    case Why::deleted:
      return "the resource is deleted";
    case Why::another_cluster:
      return "another cluster looks after the resource";
    case Why::invalid:
      return "the spec cannot be used";
    case Why::ledger_open:
      return "a rotation is under way";
    case Why::ledger_unreadable:
      return "a rotation may be under way, and its ledger cannot be read";
    case Why::conflict:
      return "another resource owns the robot";
    case Why::owners_unknown:
      return "another resource may own the robot, in a namespace that cannot be read";
    case Why::suspended:
      return "the resource is suspended";
    case Why::metadata_refused:
      return "a target asks for labels or annotations that are not allowed";
    case Why::status_unreadable:
      return "the status cannot be read";
    case Why::token_unknown:
      return "the robot's token is not known yet";
    case Why::claim_unproven:
      return "Quay has yet to let the resource read the robot";
    case Why::strategy_changed:
      return "the targets hold a credential of another robot or strategy than the spec names";
    case Why::standby_unproven:
      return "the two robots have yet to be found equal";
    case Why::due:
      return "a rotation is due";
    case Why::proofs_unknown:
      return "earlier claims to the robot are not known yet";
    case Why::unmarked:
      return "the resource does not say yet which cluster looks after it";
    case Why::targets_differ:
      return "a target does not hold the token";
    case Why::quay_differs:
      return "Quay does not list the token";
    case Why::unverified:
      return "the registry has yet to accept the token";
    case Why::static_token_alive:
      return "the robot's static token is to be burned";
    case Why::overlap_over:
      return "the overlap of the replaced token is over";
    case Why::watched:
      return "an earlier request may still be carried out";
    case Why::federation_left:
      return "the robot's federation still has the entry that was added to it";
    case Why::current:
      return "everything is as it should be";
  }
  return "";
}

Decision plan(const View& view) {
  Decision decision = decide(view);
  auto* work = std::get_if<Work>(&decision.what);
  if (work != nullptr) {
    work->heals = (work->goal == Goal::synchronize || decision.why == Why::targets_differ) &&
                  is_damaged(view);
  }
  return decision;
}

}  // namespace quay_rotator::rotation
