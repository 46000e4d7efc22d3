#include "rotation/status/failure.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "quay/error.h"
#include "rotation/status/words.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;
using credential::Outcome;

namespace {

// Quay was asked and did not tell the robot's token: what the Secrets hold is as it was, what it is
// worth is not known.
void robot_not_read(Draft& draft, const quay::Error& error) {
  const std::string_view reason = quay::reason(error.kind);
  draft.status().conditions.remove("Preflight");
  if (error.kind == quay::Error::Kind::robot_not_found) {
    draft.set("Published", ConditionStatus::false_, reason,
              "The robot is gone, and with it every token that the Secrets may hold.");
    return draft.unknown("Verified", reason, "There is no robot to log in.");
  }
  draft.unknown(reason, "Quay does not tell the robot's token; see Ready.");
}

// The robots may not do the same, or the token that would die is in use.
std::pair<std::string, std::string> refused_turn(Draft& draft, const Outcome& outcome) {
  if (!outcome.in_use) return {std::string(robots_differ), differences(*outcome.compared)};
  const api::RobotStatus* standby = draft.status().standby();
  std::string message = "a robot's token is still in use by somebody";
  if (standby != nullptr && standby->last_accessed && standby->replaced_at) {
    message = "robot " + standby->name + " was last used at " +
              base::format_time(*standby->last_accessed) +
              ", though no Secret has held its token since " +
              base::format_time(*standby->replaced_at);
  }
  return {"OldCredentialInUse",
          message +
              ": find who uses it (Quay's log tells from where), or request a rotation now, "
              "which regenerates it all the same"};
}

}  // namespace

void stale(Draft& draft, const Outcome& outcome, const Circumstances& run) {
  const bool open = draft.status().rotation.has_value();
  const std::string message =
      stale_message(*outcome.stale, open ? std::nullopt : outcome.fingerprint) +
      "; nothing was written" + asking_again(run.retry_delay);
  if (draft.status().consecutive_failures == 0) draft.warn(std::string(stale_read), message);
  api::Conditions& conditions = draft.status().conditions;
  conditions.remove("Preflight");
  // While every target holds the newest token, pulls work.
  const bool good = !open && run.targets_current;
  if (!good || !conditions.is_true("Published")) {
    draft.unknown("Published", stale_read, "Nothing was written; see Verified.");
  }
  draft.set("Verified", ConditionStatus::unknown, stale_read, message);
  if (!good) return draft.retrying(stale_read, message);
  const int failures = draft.status().consecutive_failures;
  draft.ready();
  draft.status().consecutive_failures = failures;
}

void preflight_refused(Draft& draft, const Outcome& outcome) {
  std::string reason;
  std::string message;
  if (outcome.preflight_error) {
    reason = quay::reason(outcome.preflight_error->kind);
    message =
        "the login with the robot's current token failed: " + outcome.preflight_error->message;
    draft.set("Verified",
              quay::passes(outcome.preflight_error->kind) ? ConditionStatus::unknown
                                                          : ConditionStatus::false_,
              reason, outcome.preflight_error->message);
  } else if (outcome.problems.empty()) {
    std::tie(reason, message) = refused_turn(draft, outcome);
    return draft.cannot_turn(reason, message + "; nothing was regenerated");
  } else {
    reason = outcome.problems.front().reason;
    message = summary(outcome.problems);
    draft.failing(outcome.problems);
  }
  message += "; nothing was regenerated";
  draft.set("Preflight", ConditionStatus::false_, reason, message);
  draft.retrying(reason, message);
  draft.warn("PreflightFailed", message);
}

void quay_failed(Draft& draft, const Outcome& outcome, const Circumstances& run) {
  const quay::Error& error = *outcome.quay_error;
  std::string message = error.message;
  // Of the robot whose token the Secrets hold nothing was asked otherwise.
  if (!outcome.fingerprint && !outcome.standby) robot_not_read(draft, error);
  if (outcome.clear_ledger) {
    message += "; nothing was regenerated";
    if (draft.status().consecutive_failures == 0) {
      draft.remember(outcome.robot, text(outcome.ledger->reason), "Failed", std::nullopt,
                     outcome.fingerprint, std::nullopt);
    }
  }
  const std::string reason(quay::reason(error.kind));
  draft.retrying(reason, message);
  draft.warn(run.rotates ? "RotationFailed" : reason, message);
}

void unclear(Draft& draft, const Outcome& outcome, const Circumstances& run) {
  std::string message = "it is not known yet whether Quay has regenerated the token";
  if (outcome.quay_error) message += " (" + outcome.quay_error->message + ")";
  message += "; the Secrets hold the token that was valid before";
  if (!outcome.standby) {
    draft.unknown("RotationUnclear", "A regeneration may have happened; see Ready.");
  }
  draft.warn("RotationFailed", message);
  if (outcome.hold_left) {
    message +=
        ", which Quay still has: nothing is sent again for another " + in_words(*outcome.hold_left);
  }
  message += asking_again(run.retry_delay);
  draft.retrying("RotationUnclear", message);
}

void started_over(Draft& draft, const Circumstances& run) {
  const std::string message =
      "a rotation could not begin " + std::to_string(run.start_overs) +
      " times in a row: the resource was changed by somebody else each time, or the API server "
      "took too long; nothing was regenerated" +
      asking_again(run.retry_delay);
  draft.status().conditions.remove("Preflight");
  draft.unknown("CannotBegin", "A rotation cannot begin; see Ready.");
  draft.retrying("CannotBegin", message);
}

void unpublished(Draft& draft, const Outcome& outcome, const Circumstances& run) {
  const auto& problems = outcome.problems;
  const int failed = static_cast<int>(problems.size());
  draft.failing(problems);
  draft.status().targets.current = std::max(0, run.targets_total - failed);
  const std::string message = secrets(failed) + " of " + std::to_string(run.targets_total) +
                              " could not be written; " + summary(problems);
  const api::Condition* before = draft.status().conditions.find("Published");
  const bool news = before == nullptr || before->status != ConditionStatus::false_ ||
                    before->reason != problems.front().reason;
  draft.set("Published", ConditionStatus::false_, problems.front().reason, message);
  draft.unknown("Verified", "PublishFailed", "The new token is tried when every Secret holds it.");
  draft.retrying("PublishFailed", message);
  if (outcome.regenerated) {
    draft.warn("RotationFailed", message);
  } else if (news) {
    draft.warn("PublishFailed", message);
  }
}

}  // namespace quay_rotator::rotation
