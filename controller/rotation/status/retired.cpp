#include "rotation/status/retired.h"

#include <algorithm>
#include <string>

namespace quay_rotator::rotation {

void retired(Draft& draft, const credential::Outcome& outcome, const Circumstances& run) {
  api::RobotTokenRotationStatus& status = draft.status();
  const auto robot = std::ranges::find(status.robots, outcome.robot, &api::RobotStatus::name);
  if (outcome.made) {
    std::string note =
        "the token " + outcome.ledger->previous.text() + " of robot " + outcome.robot + " is dead";
    if (robot != status.robots.end()) {
      if (robot->replaced_at)
        note += "; no Secret held it since " + base::format_time(*robot->replaced_at);
      // With Federate that is the credential's.
      if (!robot->expires) robot->fingerprint = outcome.made;
      robot->retired_at = draft.now();
    }
    draft.remember(outcome.robot, text(outcome.ledger->reason), "Succeeded", std::nullopt,
                   outcome.made, outcome.ledger->previous);
    draft.notice(kube::EventType::normal, "Retired", std::move(note));
  }
  status.conditions.remove("Preflight");
  if (run.targets_current) return draft.ready();
  status.conditions.remove("Reconciling");
  draft.succeed();
}

}  // namespace quay_rotator::rotation
