// What the user reads: the status, and the Events, that follow from what happened. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/time.h"
#include "connection/findings.h"
#include "connection/session.h"
#include "credential/outcome.h"
#include "kube/event_recorder.h"
#include "kube/object.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// One Event.
struct Notice {
  kube::EventType type = kube::EventType::normal;
  std::string
      reason;  // Rotated, RotationFailed, Adopted, Healed, Conflict, PreflightFailed,
               // PublishFailed, ForeignRotation, RobotRecreated, Recovered, StaleRead,
               // ClockWasWrong, OwnedByAnotherCluster, NamespaceUnreadable, or a trouble's own
  std::string note;
};

// A new status with what is to be announced about it.
struct StatusUpdate {
  api::RobotTokenRotationStatus status;
  std::vector<Notice> notices;
};

// What is known of a run beside its outcome.
struct Circumstances {
  int targets_total = 0;
  bool targets_current = true;  // by the cache, with the token of the status
  bool rotates = false;         // a new token was to be made, or one may have been
  std::string healed;           // what was wrong with a target although nothing had rotated, or ""
  base::WallTime now{};
  base::Duration retry_delay{};  // what the queue will wait before it tries again
  int start_overs = 0;           // in a row
  bool watched = false;          // an earlier POST might still be carried out
  // The way by which Quay was asked, and what it calls itself (tenancy::alias_of), if that was to
  // be learned.
  tenancy::Way way;
  std::optional<std::string> alias;
};
// The tokens that were current before the status's, as far as the history goes.
std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status);

// A run that must be repeated: it failed, or the new token could not be verified.
bool needs_retry(const credential::Outcome& outcome);

StatusUpdate after_run(const api::RobotTokenRotation& rotation, const credential::Outcome& outcome,
                       const Circumstances& run);

// The status that is written together with a ledger, before Quay is asked to regenerate.
api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, base::WallTime now);

StatusUpdate in_conflict(const api::RobotTokenRotation& rotation, const kube::ObjectKey& owner,
                         base::WallTime now);
StatusUpdate of_another_cluster(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate suspended(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate invalid(const api::RobotTokenRotation& rotation, base::WallTime now);
// `keys`: what the administrator does not allow a target to have; not empty.
StatusUpdate metadata_not_allowed(const api::RobotTokenRotation& rotation,
                                  const std::vector<std::string>& keys, base::WallTime now);
// Its namespace cannot be read, for the reason `why`.
StatusUpdate namespace_unreadable(const api::RobotTokenRotation& rotation, const std::string& why,
                                  base::WallTime now);
// What is to be done waits: in a namespace that cannot be read an older resource may own the robot.
StatusUpdate owners_unknown(const api::RobotTokenRotation& rotation, base::WallTime now);
StatusUpdate without_connection(const api::RobotTokenRotation& rotation, const tenancy::Way& way,
                                const connection::Problem& problem, base::WallTime now,
                                base::Duration retry_delay);
// What a wrong clock has dated to times to come is dated to now, so that rotations go on from here.
StatusUpdate dated_anew(const api::RobotTokenRotation& rotation, base::WallTime now);
// The look ended with an exception of that type.
StatusUpdate internal_error(const api::RobotTokenRotation& rotation, const std::string& exception,
                            base::WallTime now, base::Duration retry_delay);
// Nothing is due and the Secrets are as the status says; `known` is what the last look at the
// connection learnt. Without trouble only what derives from the spec moves (next rotation, observed
// generation).
StatusUpdate at_rest(const api::RobotTokenRotation& rotation,
                     const std::optional<connection::Findings::Known>& known, base::WallTime now);

}  // namespace quay_rotator::rotation
