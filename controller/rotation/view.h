// All that a decision about one RobotTokenRotation may look at, as a value; `look` makes it from
// the caches and from what the process knows. Whoever decides (plan.h) sees nothing else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "connection/findings.h"
#include "kube/object.h"
#include "rotation/knowledge.h"
#include "runtime/store.h"
#include "target/allowed_metadata.h"
#include "target/currency.h"
#include "target/target.h"
#include "tenancy/cluster_mark.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// What is read to see. All must outlive it.
struct Caches {
  const runtime::Store<api::RobotTokenRotation>& rotations;
  const runtime::Store<api::QuayConnection>& connections;
  const runtime::Store<api::ManagedSecret>& secrets;
  const connection::Findings& findings;
  const target::AllowedMetadata& allowed_metadata;
};

struct View {
  const api::RobotTokenRotation& rotation;
  base::WallTime now{};
  // Since when this process leads and sees all there is: due times missed before are spread.
  base::WallTime leading_since{};
  // The other resource that owns the robot.
  std::optional<kube::ObjectKey> owner = std::nullopt;
  // What is wrong with the targets, where they and the token are known.
  std::vector<target::Finding> stale = {};
  // The organization's list shows another token than the status, or no such robot.
  bool drifted = false;
  // An earlier POST may still be carried out, and it is time to look whether it was.
  bool watched = false;
  // What the last look at the connection learnt; nothing: it was not looked at.
  std::optional<connection::Findings::Known> quay = std::nullopt;
  // Labels and annotations of targets that the administrator does not allow.
  std::vector<std::string> metadata_refused = {};
  // False while caches are still listed: who owns which robot and what the Secrets hold is not
  // known yet.
  bool caches_complete = true;
  // False while another namespace cannot be read, in which an older resource may own the robot.
  bool owners_known = true;
  // Its own claim to the robot is proven: see tenancy/ownership.h …
  bool proven = false;
  bool standby_proven = true;  // … and that to Alternate's second robot; or there is none
  // … and whatever others had proven before is in the cache: who owns the robot is known.
  bool ownership_known = false;
  // Which cluster looks after it: see tenancy/cluster_mark.h.
  tenancy::Mark mark = tenancy::Mark::none;
  // What its Secrets should be; empty while its connection is not known.
  std::vector<target::DesiredSecret> targets = {};

  // By the cache every target holds the token of the status.
  [[nodiscard]] bool targets_current() const;
  // Only a person can make Quay tell its robots again: what would ask it for a verification waits.
  [[nodiscard]] bool troubled() const { return quay && quay->trouble && quay->trouble->lasting; }
};

// `memory` is what is remembered of it, `now` of the clock that memory goes by; `sight` is of it.
View look(const Caches& caches, const Knowledge& knowledge, const api::RobotTokenRotation& rotation,
          const Memory& memory, const Sight::View& sight, base::WallTime wall_now,
          base::MonotonicTime now);

// The following look at less, for those who need less.
tenancy::Way way_of(const Caches& caches, const api::RobotTokenRotation& rotation);
std::vector<target::DesiredSecret> targets_of(const Caches& caches,
                                              const api::RobotTokenRotation& rotation);
bool are_current(const Caches& caches, const api::RobotTokenRotation& rotation,
                 const std::vector<target::DesiredSecret>& targets);
// Secrets that are targets no more are still there, and to be deleted.
bool has_former_targets(const Caches& caches, const OwnedSecrets& owned, const View& view);
// What a person can change to end a back-off early, as a text that differs when it was changed.
std::string inputs_of(const Caches& caches, const api::RobotTokenRotation& rotation);

}  // namespace quay_rotator::rotation
