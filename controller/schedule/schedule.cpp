#include "schedule/schedule.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/fingerprint.h"
#include "schedule/refresh.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::schedule {

namespace {

// The last moment that RFC 3339 can spell: later times could not be stored in a status.
constexpr base::WallTime end_of_time{std::chrono::seconds(253'402'300'799)};

// Rounded up to whole seconds, which is what a status holds: a process that restarts computes from
// its status the time that was computed before, and never an earlier one.
base::WallTime later(base::WallTime time, base::Duration interval, base::Duration share) {
  using Wide = std::chrono::duration<std::int64_t, base::WallTime::duration::period>;
  const auto delay = std::chrono::ceil<Wide>(std::max(interval, base::Duration::zero())) +
                     std::chrono::ceil<Wide>(std::max(share, base::Duration::zero()));
  if (time >= end_of_time - delay) return end_of_time;
  return std::chrono::ceil<std::chrono::seconds>(time + delay);
}

// Whatever the interval says.
std::optional<api::RotationReason> asked_for(const api::RobotTokenRotation& rotation) {
  using Reason = api::RotationReason;
  if (tenancy::initial_rotation_pending(rotation)) return Reason::initial;
  if (!tenancy::open_request(rotation).empty()) return Reason::requested;
  return std::nullopt;
}

}  // namespace

base::Duration spread(std::string_view uid, base::WallTime turn, base::Duration jitter) {
  if (jitter <= base::Duration::zero()) return base::Duration::zero();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(turn).time_since_epoch().count();
  const std::uint64_t digest = base::digest64(std::string(uid) + "/" + std::to_string(seconds));
  const std::uint64_t choices = static_cast<std::uint64_t>(jitter.count()) + 1;
  return base::Duration(static_cast<std::int64_t>(digest % choices));
}

std::optional<base::WallTime> next_rotation(const api::RobotTokenRotation& rotation) {
  const auto& status = rotation.status;
  const std::optional<base::WallTime> known_since = status.known_since();
  if (!status.last_rotation_time && !known_since) return std::nullopt;
  const auto fresh = std::max(status.last_rotation_time.value_or(base::WallTime::min()),
                              known_since.value_or(base::WallTime::min()));
  const base::WallTime turn = std::chrono::floor<std::chrono::seconds>(fresh);
  return later(turn, rotation.spec.interval, spread(rotation.meta.uid, turn, rotation.spec.jitter));
}

std::optional<base::WallTime> due_time(const api::RobotTokenRotation& rotation,
                                       base::WallTime leading_since) {
  const auto next = next_rotation(rotation);
  if (!next || *next >= leading_since) return next;
  return later(leading_since, base::Duration::zero(),
               spread(rotation.meta.uid, leading_since, rotation.spec.jitter));
}

std::optional<api::RotationReason> reason(const api::RobotTokenRotation& rotation,
                                          std::optional<base::WallTime> due, base::WallTime now) {
  if (const auto asked = asked_for(rotation)) return asked;
  if (due && *due <= now) return api::RotationReason::interval;
  return std::nullopt;
}

bool retires(const api::Alternate& alternate) {
  return alternate.retire == api::Retire::regenerate && alternate.overlap > base::Duration::zero();
}

std::optional<base::WallTime> retirement(const api::RobotTokenRotation& rotation) {
  const api::Alternate& alternate = rotation.spec.strategy.alternate;
  if (!retires(alternate)) return std::nullopt;
  const api::RobotStatus* standby = rotation.status.standby();
  // Without a fingerprint it has never been in a target.
  if (standby == nullptr || !standby->fingerprint || !standby->replaced_at || standby->retired_at ||
      api::short_name(standby->name) != api::standby_robot(rotation)) {
    return std::nullopt;
  }
  return later(*standby->replaced_at, alternate.overlap, base::Duration::zero());
}

std::optional<api::Next> next(const api::RobotTokenRotation& rotation) {
  const bool federates = rotation.spec.strategy.type == api::StrategyType::federate;
  std::optional<base::WallTime> due = federates ? refresh_time(rotation) : next_rotation(rotation);
  api::NextReason why = federates ? api::NextReason::refresh : api::NextReason::interval;
  const auto retires = retirement(rotation);
  if (retires && (!due || *retires < *due)) {
    due = retires;
    why = api::NextReason::retire;
  }
  const auto retry = rotation.status.retry_after;
  const bool wanted =
      rotation.status.rotation || rotation.status.has_unreadable_ledger() || asked_for(rotation);
  if (retry && (wanted || !due || *due <= *retry)) {
    return api::Next{*retry, api::NextReason::backing_off};
  }
  if (!due) return std::nullopt;
  return api::Next{*due, why};
}

bool is_of_the_future(const api::RobotTokenRotation& rotation, base::WallTime now) {
  // What ends by itself is made anew then (refresh_due).
  if (rotation.spec.strategy.type == api::StrategyType::federate) return false;
  const base::WallTime latest = later(now, rotation.spec.interval, base::Duration::zero());
  return rotation.status.last_rotation_time > latest || rotation.status.known_since() > latest;
}

void clamp_to_now(api::RobotTokenRotationStatus& status, base::WallTime now) {
  if (status.last_rotation_time > now) status.last_rotation_time = now;
  for (api::RobotStatus& robot : status.robots) {
    if (robot.known_since > now) robot.known_since = now;
  }
  for (api::HistoryEntry& entry : status.history) entry.time = std::min(entry.time, now);
}

}  // namespace quay_rotator::schedule
