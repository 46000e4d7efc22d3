#include "rotation/status/delayed.h"

#include <optional>

#include "rotation/status/draft.h"
#include "rotation/status/words.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;

StatusUpdate namespace_unreadable(const api::RobotTokenRotation& rotation, const std::string& why,
                                  base::WallTime now) {
  Draft draft(rotation, now);
  const std::string message =
      "quay-rotator cannot read what it needs to look after this resource (" + why +
      "); nothing is rotated or healed until it can, which an administrator must allow";
  draft.warn_once("Ready", unreadable_namespace, message);
  draft.unseen(unreadable_namespace, "Nothing can be looked after here; see Ready.");
  draft.retrying(unreadable_namespace, message);
  return draft.take_halted();
}

StatusUpdate owners_unknown(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Draft draft(rotation, now);
  draft.set("Reconciling", ConditionStatus::true_, "OwnersUnknown",
            "a rotation waits: quay-rotator cannot read every namespace that it was told to look "
            "after, and another resource there may own this robot; an administrator finds in the "
            "log which namespace it is");
  return draft.take_halted();
}

StatusUpdate without_connection(const api::RobotTokenRotation& rotation, const tenancy::Way& way,
                                const connection::Problem& problem, base::WallTime now,
                                base::Duration retry_delay) {
  Draft draft(rotation, now);
  draft.unseen(problem.reason, "Quay cannot be asked; see Ready.");
  draft.retrying(problem.reason, problem.message);
  const bool refused = problem.reason != "ApiServerUnavailable";
  draft.claim(refused ? Draft::Claim::refused : Draft::Claim::unknown, way, std::nullopt);
  draft.fail(retry_delay);
  return draft.take();
}

StatusUpdate internal_error(const api::RobotTokenRotation& rotation, const std::string& exception,
                            base::WallTime now, base::Duration retry_delay) {
  Draft draft(rotation, now);
  draft.retrying(api::internal_error_reason, api::internal_error_message(exception));
  draft.fail(retry_delay);
  return draft.take();
}

}  // namespace quay_rotator::rotation
