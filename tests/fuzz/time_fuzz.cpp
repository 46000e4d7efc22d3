// Durations and time stamps: what is accepted can be written and is then the same.
#include "base/time.h"
#include "fuzz/target.h"

namespace quay_rotator::fuzz {

void run(std::string_view text) {
  if (const auto duration = base::parse_duration(text)) {
    expect(*duration >= base::Duration::zero(), "no duration is negative");
    const auto again = base::parse_duration(base::format_duration(*duration));
    expect(again && *again == *duration, "a duration comes back as it was written");
  } else {
    expect(!duration.error().message.empty() && duration.error().message.size() < 256,
           "what is quoted of a duration is short");
  }
  if (const auto time = base::parse_time(text)) {
    const auto exact = base::parse_time(base::format_micro_time(*time));
    expect(exact && *exact == *time, "a time comes back as it was written");
    const auto coarse = base::parse_time(base::format_time(*time));
    expect(coarse && *coarse == std::chrono::floor<std::chrono::seconds>(*time),
           "a time comes back in whole seconds");
  } else {
    expect(!time.error().message.empty() && time.error().message.size() < 256,
           "what is quoted of a time is short");
  }
}

}  // namespace quay_rotator::fuzz
