#include "schedule/refresh.h"

#include <algorithm>
#include <chrono>

#include "schedule/schedule.h"

namespace quay_rotator::schedule {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// However short a life somebody gives.
constexpr base::Duration shortest_turn = seconds(5);
// Of our own replicas' clocks.
constexpr base::Duration clocks_differ = minutes(1);

}  // namespace

std::optional<base::WallTime> refresh_time(const api::RobotTokenRotation& rotation) {
  const api::RobotStatus* held = api::held(rotation);
  if (held == nullptr || !held->expires || !held->known_since) return std::nullopt;
  const base::WallTime since = *held->known_since;
  const base::Duration life =
      std::clamp<base::WallTime::duration>(*held->expires - since, {}, std::chrono::hours(24));
  const base::Duration wait = life * 2 / 3 - spread(rotation.meta.uid, since, life / 12);
  return std::chrono::floor<seconds>(
      since + std::chrono::floor<std::chrono::microseconds>(std::max(wait, shortest_turn)));
}

bool refresh_due(const api::RobotTokenRotation& rotation, base::WallTime now) {
  const auto time = refresh_time(rotation);
  return time && (*time <= now || rotation.status.known_since() > now + clocks_differ);
}

std::optional<base::WallTime> refresh_alarm(const api::RobotTokenRotation& rotation) {
  const auto time = refresh_time(rotation);
  if (!time) return std::nullopt;
  const base::WallTime expires = *api::held(rotation)->expires;
  return std::max(*time, expires - (expires - *time) / 2);
}

base::BackoffPolicy refresh_backoff(const api::RobotTokenRotation& rotation, base::WallTime now,
                                    const base::BackoffPolicy& ordinary) {
  const auto time = refresh_time(rotation);
  if (!time) return ordinary;
  const base::WallTime expires = *api::held(rotation)->expires;
  if (now >= expires) return ordinary;
  const base::Duration most =
      std::clamp<base::Duration>((expires - std::max(now, *time)) / 12, seconds(1), ordinary.most);
  return {std::min(ordinary.first, most), most};
}

}  // namespace quay_rotator::schedule
