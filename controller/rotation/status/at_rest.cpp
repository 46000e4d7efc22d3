#include "rotation/status/at_rest.h"

#include <algorithm>
#include <string_view>

#include "rotation/status/draft.h"
#include "rotation/status/words.h"
#include "schedule/schedule.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;

namespace {

// Nothing was looked after, for a reason that is over when anything else is told.
bool is_halt(std::string_view reason) {
  return reason == "Conflict" || reason == "InvalidSpec" || reason == "OwnedByAnotherCluster" ||
         reason == unreadable_namespace;
}

StatusUpdate troubled(const api::RobotTokenRotation& rotation, const connection::Trouble& trouble,
                      base::WallTime now) {
  Draft draft(rotation, now);
  const api::Condition* published = rotation.status.conditions.find("Published");
  const bool news = !published || published->reason != trouble.reason;
  draft.status().conditions.remove("Conflict");
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!trouble.lasting && ready && is_halt(ready->reason)) draft.ready();
  if (trouble.lasting) {
    draft.status().conditions.remove("Preflight");
    draft.unknown("Verified", trouble.reason, "Quay does not tell; see Ready.");
    draft.retrying(trouble.reason, trouble.message);
  }
  draft.set("Published", ConditionStatus::unknown, trouble.reason, trouble.message);
  if (news) draft.warn(trouble.reason, trouble.message);
  return draft.take();
}

}  // namespace

StatusUpdate at_rest(const api::RobotTokenRotation& rotation,
                     const std::optional<connection::Findings::Known>& known, base::WallTime now) {
  if (known && known->trouble) return troubled(rotation, *known->trouble, now);
  Draft draft(rotation, now);
  api::Conditions& conditions = draft.status().conditions;
  const api::Condition* published = conditions.find("Published");
  const bool was_troubled =
      published && published->status == ConditionStatus::unknown && !is_halt(published->reason);
  conditions.remove("Conflict");
  // What was told of the connection stands until somebody has looked again.
  if (was_troubled && !known) return draft.take();
  if (rotation.spec.verify == api::VerifyLevel::none) conditions.remove("Verified");
  const api::Condition* verified = conditions.find("Verified");
  if (verified && verified->status == ConditionStatus::false_) return draft.take();
  // A suspension that has ended, or a trouble that went away without a run of the protocol.
  if (rotation.status.fingerprint()) {
    const api::Condition* preflight = conditions.find("Preflight");
    if (preflight && preflight->status != ConditionStatus::true_) conditions.remove("Preflight");
    if (was_troubled) draft.notice(kube::EventType::normal, "Recovered", "Quay tells its robots");
    draft.published();
    draft.ready();
  }
  return draft.take();
}

StatusUpdate dated_anew(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Draft draft(rotation, now);
  const base::WallTime last = std::max(rotation.status.last_rotation_time.value_or(now),
                                       rotation.status.known_since().value_or(now));
  schedule::clamp_to_now(draft.status(), draft.now());
  draft.warn("ClockWasWrong", "the status spoke of a rotation at " + base::format_time(last) +
                                  ", which is yet to come: a clock was wrong then; the interval "
                                  "counts from now");
  return draft.take();
}

}  // namespace quay_rotator::rotation
