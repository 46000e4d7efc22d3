// What a look at one RobotTokenRotation leads to, and why. Pure: everything it may depend on is in
// the View.
#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "rotation/view.h"

namespace quay_rotator::rotation {

enum class Goal {
  synchronize,  // targets get the token that Quay holds: adoption, healing, foreign rotation
  rotate,       // … and then a new one
  retire,       // a token that no target holds is made anew, to nowhere
  resume,       // a ledger is there: find out whether it happened, then finish it
  exchange,     // of a federated robot: targets get a new credential of an hour
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
  bool watch = false;    // only to see whether Quay still holds the token
  bool heals = false;    // of the damage to a target, and of nothing else
  bool compare = false;  // the two robots of Alternate; what rotates or retires does that anyway
};
// Only tell the user why nothing is done.
struct Halt {};
// Look again when more of the caches is complete.
struct Postpone {};
// Look again in a moment: the API server has not told yet of all that came before our own proof.
struct Await {};
// Mark the resource with this cluster, and with what is over.
struct WriteMark {};

// The row that decided.
enum class Why {
  caches_incomplete,
  deleted,
  another_cluster,
  invalid,
  ledger_open,
  ledger_unreadable,
  conflict,
  owners_unknown,
  suspended,
  metadata_refused,
  status_unreadable,
  token_unknown,
  claim_unproven,
  strategy_changed,
  standby_unproven,
  due,
  proofs_unknown,
  unmarked,
  targets_differ,
  quay_differs,
  unverified,
  overlap_over,
  static_token_alive,
  watched,
  federation_left,
  current,
};
// For people: a clause that follows "because".
std::string_view text(Why why);

struct Decision {
  std::variant<Rest, Work, Halt, Postpone, Await, WriteMark> what;
  Why why;
};

// While caches are incomplete only a ledger is settled, and nothing is regenerated for it. Then, in
// this order (what regenerates waits until owners are known): a deleted resource rests, unless its
// Secrets stay and a ledger is open; a ledger is settled before anything else, even while
// suspended; then what forbids work; then the robot is read, which adopts its token and proves the
// claim to it; then what is asked for, due, or broken. Nothing is regenerated before that proof and
// before this cluster's mark, and nothing at all is done with another cluster's.
Decision plan(const View& view);

}  // namespace quay_rotator::rotation
