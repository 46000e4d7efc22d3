#include "rotation/status/record.h"

#include <algorithm>

#include "rotation/status/draft.h"
#include "rotation/status/words.h"

namespace quay_rotator::rotation {

api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, const std::string& robot,
                                          base::WallTime now) {
  Draft draft(rotation, now);
  api::Ledger& written = draft.status().rotation.emplace(ledger);
  written.started_at = draft.now();
  if (written.robot.empty()) written.robot = robot;
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

std::optional<base::Fingerprint> known_token(const api::RobotTokenRotationStatus& status,
                                             std::string_view robot) {
  const auto entry = std::ranges::find_if(status.robots, [&](const api::RobotStatus& one) {
    return !one.expires && api::short_name(one.name) == robot;
  });
  return entry == status.robots.end() ? std::nullopt : entry->fingerprint;
}

std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status,
                                          std::string_view robot) {
  const auto is_its = [&](const api::HistoryEntry& entry) {
    return entry.reason != federated &&
           (entry.robot.empty() || api::short_name(entry.robot) == robot);
  };
  std::vector<base::Fingerprint> all;
  // Where the status does not tell it (any more), the history does.
  std::optional<base::Fingerprint> newest = known_token(status, robot);
  for (const api::HistoryEntry& entry : status.history) {
    if (!newest && is_its(entry)) newest = entry.fingerprint;
  }
  const auto add = [&](const std::optional<base::Fingerprint>& token) {
    if (token && token != newest) all.push_back(*token);
  };
  for (const api::HistoryEntry& entry : status.history) {
    if (!is_its(entry)) continue;
    add(entry.fingerprint);
    add(entry.previous);
  }
  return all;
}

}  // namespace quay_rotator::rotation
