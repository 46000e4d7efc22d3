#include "rotation/status/record.h"

#include <optional>

#include "rotation/status/draft.h"
#include "rotation/status/words.h"

namespace quay_rotator::rotation {

api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, base::WallTime now) {
  Draft draft(rotation, now);
  api::Ledger& written = draft.status().rotation.emplace(ledger);
  written.started_at = draft.now();
  if (written.robot.empty()) written.robot = draft.status().active_name();
  draft.set("Reconciling", api::ConditionStatus::true_, "Rotating",
            "The robot's token is being regenerated.");
  return draft.take().status;
}

api::RobotTokenRotationStatus with_federation(const api::RobotTokenRotation& rotation,
                                              const api::Federation& entry) {
  api::RobotTokenRotationStatus status = rotation.status;
  status.federation = entry;
  return status;
}

std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status) {
  std::vector<base::Fingerprint> all;
  const api::RobotStatus* active = status.active();
  const auto is_own = [](const api::HistoryEntry& entry) { return entry.reason != federated; };
  // Where the status does not tell it (any more), the history does.
  std::optional<base::Fingerprint> newest;
  if (active != nullptr && !active->expires) newest = active->fingerprint;
  for (const api::HistoryEntry& entry : status.history) {
    if (!newest && is_own(entry)) newest = entry.fingerprint;
  }
  const auto add = [&](const std::optional<base::Fingerprint>& token) {
    if (token && token != newest) all.push_back(*token);
  };
  for (const api::HistoryEntry& entry : status.history) {
    if (!is_own(entry)) continue;
    add(entry.fingerprint);
    add(entry.previous);
  }
  return all;
}

}  // namespace quay_rotator::rotation
