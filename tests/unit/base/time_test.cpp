#include "base/time.h"

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;

constexpr WallTime moment = sys_days{std::chrono::year{2026} / 3 / 1} + 12h + 34min + 56s + 7us;

TEST(Time, FormatsAsKubernetesDoes) {
  EXPECT_EQ(format_time(moment), "2026-03-01T12:34:56Z");
  EXPECT_EQ(format_micro_time(moment), "2026-03-01T12:34:56.000007Z");
  EXPECT_EQ(format_time(WallTime{}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_micro_time(WallTime{-1us}), "1969-12-31T23:59:59.999999Z");
}

TEST(Time, ParsesAnyRfc3339) {
  struct Case {
    std::string_view text;
    WallTime time;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"2026-03-01T12:34:56.000007Z", moment},
           {"2026-03-01T12:34:56Z", moment - 7us},
           {"2026-03-01t12:34:56.0000079z", moment},
           {"2026-03-01T14:04:56+01:30", moment - 7us},
           {"2026-03-01T10:34:56.5-02:00", moment - 7us + 500ms},
           {"2024-02-29T00:00:00Z", sys_days{std::chrono::year{2024} / 2 / 29}},
       }) {
    const auto time = parse_time(c.text);
    ASSERT_TRUE(time) << c.text;
    EXPECT_EQ(*time, c.time) << c.text;
  }
}

TEST(Time, RefusesWhatIsNoTime) {
  for (const std::string_view text :
       {"", "now", "2026-03-01", "2026-03-01T12:34:56", "2026-02-29T00:00:00Z",
        "2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2026-03-01T12:34:60Z",
        "2026-03-01T12:34:56.Z", "2026-03-01T12:34:56Zx", "2026-03-01T12:34:56+0100",
        "2026-03-01 12:34:56Z", "26-03-01T12:34:56Z", "2026-13-01T12:34:56Z"}) {
    const auto time = parse_time(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().message, "expected an RFC 3339 time like 2026-03-01T12:00:00Z, got \"" +
                                        std::string(text) + "\"");
  }
}

TEST(Time, RefusesWhatCouldNotBeWritten) {
  for (const std::string_view text : {"0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"}) {
    const auto time = parse_time(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().message,
              "expected a time in the years 0000 to 9999 of UTC, got \"" + std::string(text) + '"');
  }
  for (const std::string_view text : {"0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"}) {
    EXPECT_EQ(format_time(parse_time(text).value()), text);
  }
}

TEST(Duration, ParsesGoDurations) {
  struct Case {
    std::string_view text;
    Duration duration;
  };
  for (const Case& c : std::initializer_list<Case>{{"720h", 720h},
                                                   {"1h30m", 90min},
                                                   {"10s", 10s},
                                                   {"250ms", 250ms},
                                                   {"0s", 0s},
                                                   {"1.5h", 90min},
                                                   {"0.3s", 300ms},
                                                   {".5s", 500ms},
                                                   {"1.s", 1s},
                                                   {"3us", 3us},
                                                   {"3µs", 3us},
                                                   {"3μs", 3us},
                                                   {"7ns", 7ns},
                                                   {"1m1ms", 60001ms},
                                                   {"2562047h47m16.854775807s", Duration::max()}}) {
    const auto duration = parse_duration(c.text);
    ASSERT_TRUE(duration) << c.text << ": " << duration.error().message;
    EXPECT_EQ(*duration, c.duration) << c.text;
  }
}

TEST(Duration, RefusesTheRestAndSaysWhatWasExpected) {
  const auto message = [](std::string_view text) {
    const auto duration = parse_duration(text);
    return duration ? "accepted" : duration.error().message;
  };
  const std::string expected = "expected a duration like 720h, 1h30m, 10s or 250ms, got ";
  EXPECT_EQ(message(""), expected + "\"\"");
  EXPECT_EQ(message("-5s"), expected + "\"-5s\", which is negative");
  EXPECT_EQ(message("5"), expected + "\"5\", where a unit (h, m, s, ms, us, ns) is missing");
  EXPECT_EQ(message("1d"), expected + "\"1d\", where a unit (h, m, s, ms, us, ns) is missing");
  EXPECT_EQ(message("s"), expected + "\"s\"");
  EXPECT_EQ(message("1h m"), expected + "\"1h m\"");
  EXPECT_EQ(message(".s"), expected + "\".s\"");
  for (const std::string_view text :
       {"2562048h", "9223372036854775808ns", "99999999999999999999h", "2562047h3600s"}) {
    EXPECT_EQ(message(text),
              expected + '"' + std::string(text) + "\", which is more than 292 years");
  }
  EXPECT_EQ(message("1\n" + std::string(100, 'x')).find('\n'), std::string::npos);
}

TEST(Duration, FormatsWithoutZeroUnits) {
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(720h), "720h");
  EXPECT_EQ(format_duration(90min), "1h30m");
  EXPECT_EQ(format_duration(1500ms), "1.5s");
  EXPECT_EQ(format_duration(1h + 5ms), "1h0.005s");
  EXPECT_EQ(format_duration(250ms), "250ms");
  EXPECT_EQ(format_duration(1500us), "1.5ms");
  EXPECT_EQ(format_duration(7us), "7µs");
  EXPECT_EQ(format_duration(123ns), "123ns");
  EXPECT_EQ(format_duration(-90s), "-1m30s");
  EXPECT_EQ(format_duration(Duration::min()), "-2562047h47m16.854775808s");
}

TEST(Duration, ReadsBackWhatItWrites) {
  for (const Duration duration :
       {Duration{0s}, Duration{1ns}, Duration{999'999ns}, Duration{123'456'789'012'345ns}}) {
    EXPECT_EQ(parse_duration(format_duration(duration)), duration);
  }
}

}  // namespace
}  // namespace quay_rotator::base
