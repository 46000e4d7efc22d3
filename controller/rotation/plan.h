// What a look at one RobotTokenRotation leads to. Pure: everything it may depend on is in the
// input.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "kube/object.h"
#include "rotation/protocol.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

struct PlanInput {
  const api::RobotTokenRotation& rotation;
  base::WallTime now{};
  base::WallTime leading_since{};
  // The other resource that owns the robot.
  std::optional<kube::ObjectKey> owner;
  // By the cache, every target holds the token of the status, and no former target is left.
  bool targets_current = false;
  // The organization's list shows another token than the status, or no such robot.
  bool drifted = false;
  // Only a person can make Quay tell its robots again: what would ask it for a verification waits.
  bool troubled = false;
  // A target asks for labels or annotations that the administrator does not allow.
  bool metadata_refused = false;
  // An earlier POST may still be carried out, and it is time to look whether it was.
  bool watched = false;
  // False while caches are still listed: who owns which robot and what the Secrets hold is not
  // known yet.
  bool caches_complete = true;
  // False while another namespace cannot be read, in which an older resource may own the robot.
  bool owners_known = true;
  // Its own claim to the robot is proven: see tenancy/ownership.h …
  bool proven = false;
  // … and whatever others had proven before is in the cache: who owns the robot is known.
  bool ownership_known = false;
  // Which cluster looks after it: see tenancy/cluster_mark.h.
  tenancy::Mark mark = tenancy::Mark::none;
};

// Nothing to do; look again when the next rotation is due (if any).
struct Rest {
  std::optional<base::WallTime> until;
};
// Run the protocol.
struct Work {
  Goal goal = Goal::synchronize;
  api::RotationReason reason = api::RotationReason::interval;
  bool may_regenerate = true;
  bool watch = false;  // only to see whether Quay still holds the token
  bool heals = false;  // of the damage to a target, and of nothing else
};
// Only tell the user why nothing is done.
struct Halt {
  enum class Why { another_cluster, invalid, conflict, suspended, metadata_refused };
  Why why = Why::suspended;
};
// Look again when more of the caches is complete.
struct Postpone {};
// Look again in a moment: the API server has not told yet of all that came before our own proof.
struct Await {};
// Mark the resource with this cluster, and with what is over.
struct WriteMark {};
using Plan = std::variant<Rest, Work, Halt, Postpone, Await, WriteMark>;

// While caches are incomplete only a ledger is settled, and nothing is regenerated for it. Then, in
// this order (what regenerates waits until owners are known): a deleted resource rests, unless its
// Secrets stay and a ledger is open; a ledger is settled before anything else, even while
// suspended; then what forbids work; then the robot is read, which adopts its token and proves the
// claim to it; then what is asked for, due, or broken. Nothing is regenerated before that proof and
// before this cluster's mark, and nothing at all is done with another cluster's.
Plan plan(const PlanInput& input);

}  // namespace quay_rotator::rotation
