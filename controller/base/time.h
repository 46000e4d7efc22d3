// Time as the whole program uses it, and its two Kubernetes spellings.
//
// Monotonic time measures (deadlines, ages of ledgers, lease expiry); wall time is what people read
// and schedules compare. They never mix: no decision about safety uses wall time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace quay_rotator::base {

using Duration = std::chrono::nanoseconds;
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Kubernetes stores whole seconds (metav1.Time); MicroTime is used for leases only.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

// RFC 3339 in UTC with whole seconds: "2026-03-01T12:00:00Z". Truncates.
std::string format_time(WallTime time);
// The same with microseconds: "2026-03-01T12:00:00.000000Z" (metav1.MicroTime).
std::string format_micro_time(WallTime time);
// Any RFC 3339 time stamp in the years 0000 to 9999 of UTC. The error names what was expected.
Expected<WallTime> parse_time(std::string_view text);

// Go's durations as Kubernetes users write them: "720h", "1h30m", "10s", "250ms", "0s".
// Negative, empty, overflowing or unit-less values are errors that say what was expected.
Expected<Duration> parse_duration(std::string_view text);
// The shortest form that Go would print without zero units: "720h", "1h30m", "1.5s".
std::string format_duration(Duration duration);

}  // namespace quay_rotator::base
