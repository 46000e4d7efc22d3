#include "base/log_writer.h"

#include <algorithm>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/secret_string.h"
#include "base/time.h"

namespace quay_rotator::base {
namespace {

static_assert(!std::is_constructible_v<LogField, std::string_view, const SecretString&>);

// What `use` writes to standard error through a log of its own.
template <class Use>
std::string captured(LogLevel level, LogFormat format, Use use) {
  testing::internal::CaptureStderr();
  const auto executor = make_system_executor();
  {
    const auto sink = make_log_writer(level, format, *executor);
    use(Log(*sink, level));
    EXPECT_TRUE(sink->flush(std::chrono::minutes(1)));
  }
  return testing::internal::GetCapturedStderr();
}

TEST(Log, WritesOneJsonObjectALine) {
  const std::string out = captured(LogLevel::info, LogFormat::json, [](const Log& log) {
    log.with({{"resource", "team-a/puller"}})
        .info("rotated", {{"outage", 0.012}, {"attempt", 2}, {"healed", true}});
  });
  ASSERT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  const auto line = nlohmann::ordered_json::parse(out);
  std::string keys;
  for (const auto& [key, value] : line.items()) keys += key + ' ';
  EXPECT_EQ(keys, "time level message resource outage attempt healed ");
  EXPECT_TRUE(parse_time(line["time"].get<std::string>()));
  EXPECT_EQ(line["time"].get<std::string>().size(),
            std::string("2026-03-01T12:00:00.000000Z").size());
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["message"], "rotated");
  EXPECT_EQ(line["resource"], "team-a/puller");
  EXPECT_EQ(line["outage"], 0.012);
  EXPECT_EQ(line["attempt"], 2);
  EXPECT_EQ(line["healed"], true);
}

TEST(Log, WritesTextForPeople) {
  const std::string out = captured(LogLevel::debug, LogFormat::text, [](const Log& log) {
    log.warning("cannot say \"hello\"", {{"resource", "team-a/puller"},
                                         {"why", "no such host"},
                                         {"empty", ""},
                                         {"count", std::int64_t{3}},
                                         {"ratio", 0.5},
                                         {"odd", "a=b"}});
  });
  EXPECT_THAT(out, testing::MatchesRegex(
                       "^[0-9T:.-]+Z warning cannot say \"hello\" resource=team-a/puller "
                       "why=\"no such host\" empty=\"\" count=3 ratio=0.5 odd=\"a=b\"\n$"));
}

TEST(Log, OneEventIsOneLineWhateverItHolds) {
  const std::string nasty = "a\nb\r\x1b[31m\tc\xc2\x9b\xe2\x80\xa8 \xff\x7f";
  for (const LogFormat format : {LogFormat::json, LogFormat::text}) {
    const std::string out = captured(LogLevel::info, format, [&](const Log& log) {
      log.error(nasty, {{"field", nasty}});
    });
    ASSERT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
    EXPECT_EQ(out.back(), '\n');
    EXPECT_TRUE(std::all_of(out.begin(), out.end() - 1, [](char c) {
      return c >= 0x20 && c < 0x7F;
    })) << out;
  }
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  const std::string out = captured(LogLevel::warning, LogFormat::text, [](const Log& log) {
    log.debug("one");
    log.info("two");
    log.warning("three");
    log.error("four");
  });
  EXPECT_THAT(out, testing::AllOf(testing::Not(testing::HasSubstr("one")),
                                  testing::Not(testing::HasSubstr("two")),
                                  testing::HasSubstr("warning three\n"),
                                  testing::HasSubstr("error four\n")));
}

TEST(Log, IsSilentWithoutASink) {
  EXPECT_EQ(captured(LogLevel::debug, LogFormat::text,
                     [](const Log&) {
                       Log().with({{"a", 1}}).error("nobody hears");
                     }),
            "");
}

}  // namespace
}  // namespace quay_rotator::base
