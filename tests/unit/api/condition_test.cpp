#include "api/condition.h"

#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/visitors.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

const base::WallTime noon = *base::parse_time("2026-03-01T12:00:00Z");

TEST(ConditionsTest, TransitionTimeMovesOnlyWithTheStatus) {
  Conditions conditions;
  conditions.set("Ready", ConditionStatus::false_, "Waiting", "one", 1, noon + milliseconds(700));
  EXPECT_EQ(conditions.find("Ready")->last_transition_time, noon);
  conditions.set("Ready", ConditionStatus::false_, "Refused", "two", 2, noon + seconds(5));
  EXPECT_EQ(conditions.find("Ready")->last_transition_time, noon);
  EXPECT_EQ(conditions.find("Ready")->reason, "Refused");
  EXPECT_EQ(conditions.find("Ready")->observed_generation, 2);
  EXPECT_FALSE(conditions.is_true("Ready"));
  conditions.set("Ready", ConditionStatus::true_, "Rotated", "", 2, noon + seconds(6));
  EXPECT_EQ(conditions.find("Ready")->last_transition_time, noon + seconds(6));
  EXPECT_TRUE(conditions.is_true("Ready"));
}

TEST(ConditionsTest, KeepsTheOrderAndRemoves) {
  Conditions conditions;
  for (const char* type : {"Ready", "Preflight", "Conflict"}) {
    conditions.set(type, ConditionStatus::unknown, "New", "", 1, noon);
  }
  conditions.set("Ready", ConditionStatus::true_, "Done", "", 1, noon);
  conditions.remove("Preflight");
  conditions.remove("Absent");
  const json array = Writer::json_of(conditions);
  ASSERT_EQ(array.size(), 2U);
  EXPECT_EQ(array[0]["type"], "Ready");
  EXPECT_EQ(array[1]["type"], "Conflict");
  EXPECT_EQ(conditions.find("Preflight"), nullptr);
}

TEST(ConditionsTest, RoundTrips) {
  Conditions conditions;
  conditions.set("Ready", ConditionStatus::true_, "Rotated", "all is well", 7, noon);
  conditions.set("Verified", ConditionStatus::unknown, "RegistryUnavailable", "later", 7, noon);
  Conditions read;
  const json object{{"conditions", Writer::json_of(conditions)}};
  Reader reader(object);
  reader("conditions", read);
  EXPECT_EQ(reader.problem(), std::nullopt);
  EXPECT_EQ(read, conditions);
}

TEST(ConditionsTest, ShortensALongMessageAtAWholeCharacter) {
  for (std::size_t shift = 0; shift < 4; ++shift) {
    std::string message(shift, 'x');
    while (message.size() < 3000) message += "ä€";
    Conditions conditions;
    conditions.set("Ready", ConditionStatus::true_, "Long", message, 1, noon);
    const std::string& kept = conditions.find("Ready")->message;
    EXPECT_LE(kept.size(), 1024U);
    EXPECT_GT(kept.size(), 1010U);
    EXPECT_TRUE(kept.ends_with("…"));
    EXPECT_NO_THROW(Writer::json_of(conditions).dump());  // throws on invalid UTF-8
  }
}

TEST(ConditionsTest, SaysWhatIsUnreadable) {
  const auto error = [](const char* text) {
    const json object{{"conditions", json::parse(text)}};
    Reader reader(object);
    Conditions conditions;
    reader("conditions", conditions);
    return reader.problem().value_or("none");
  };
  EXPECT_EQ(error("{}"), "conditions: expected an array, got an object");
  EXPECT_EQ(error("[1]"), "conditions[0]: expected an object, got a number");
  EXPECT_EQ(error(R"([{"status":"True"}])"),
            "conditions[0].type: expected a string, it is missing");
  EXPECT_EQ(error(R"([{"type":"Ready","status":"Maybe"}])"),
            "conditions[0].status: expected True or False or Unknown, got \"Maybe\"");
}

}  // namespace
}  // namespace quay_rotator::api
