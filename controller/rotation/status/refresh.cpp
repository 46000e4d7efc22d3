#include "rotation/status/refresh.h"

#include <string>

#include "rotation/status/words.h"
#include "schedule/refresh.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;

void refreshed(Draft& draft, const api::RobotTokenRotation& before,
               const credential::Outcome& outcome, const Circumstances& run) {
  api::RobotTokenRotationStatus& status = draft.status();
  api::RobotStatus& robot = draft.active();
  const bool first = api::held(before) == nullptr;
  robot.known_since = draft.now();
  robot.expires = outcome.expires;
  status.conditions.remove("Preflight");
  if (!run.rotate_request.empty()) status.last_handled_rotate_request = run.rotate_request;
  if (!first) return;
  draft.remember(federated, "Succeeded", std::nullopt, outcome.fingerprint);
  draft.notice(kube::EventType::normal, std::string(federated),
               "credential " + outcome.fingerprint->text() + " of robot " + robot.name +
                   ", until " + base::format_time(*outcome.expires) + ", is in " +
                   secrets(run.targets_total) + "; it is made anew by itself from now on");
}

void not_refreshed(Draft& draft, const api::RobotTokenRotation& before, std::string_view reason,
                   std::string_view message) {
  const api::RobotStatus* held = api::held(before);
  const auto alarm = schedule::refresh_alarm(before);
  if (alarm && draft.now() < *alarm) return;
  std::string text(message);
  if (held == nullptr) {
    text += "; the Secrets are as they were";
  } else if (draft.now() < *held->expires) {
    text += "; the credential in the Secrets ends at " + base::format_time(*held->expires);
  } else {
    text += "; the credential in the Secrets has ended at " + base::format_time(*held->expires);
    draft.set("Verified", ConditionStatus::false_, "CredentialEnded", "It has ended; see Ready.");
  }
  draft.warn_once("Ready", reason, text);
  draft.retrying(reason, text);
}

}  // namespace quay_rotator::rotation
