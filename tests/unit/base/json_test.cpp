#include "base/json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::base {
namespace {

const nlohmann::json object = nlohmann::json::parse(R"({
  "metadata": {"name": "a", "missing": null},
  "spec": {"suspend": "yes", "on": true, "count": -3, "ratio": 0.5, "huge": 18446744073709551615,
           "list": []}
})");

template <class T>
std::string message(const Expected<T>& value) {
  return value ? "no error" : value.error().message;
}

TEST(Json, ParsesAndNeverQuotesTheText) {
  EXPECT_EQ(parse_json(R"({"a": 1})").value().dump(), R"({"a":1})");
  EXPECT_EQ(message(parse_json(R"({"token": "s3cr3t" x})")), "not JSON: error at byte 20");
  EXPECT_EQ(message(parse_json("")), "not JSON: error at byte 1");
  EXPECT_EQ(message(parse_json("1e999")), "not JSON: a number is out of range");
  EXPECT_FALSE(parse_json("{} {}"));
  EXPECT_FALSE(parse_json("\"\xff\""));
}

TEST(Json, RefusesANulAndWhatIsBehindIt) {
  using namespace std::string_view_literals;
  EXPECT_EQ(message(parse_json("1\0"sv)), "not JSON: error at byte 2");
  EXPECT_EQ(message(parse_json("{} \0[["sv)), "not JSON: error at byte 4");
  EXPECT_FALSE(parse_json("\"a\0b\""sv));
}

TEST(Json, BoundsNesting) {
  const auto nested = [](std::size_t levels) {
    return parse_json(std::string(levels, '[') + std::string(levels, ']'));
  };
  EXPECT_FALSE(parse_json(std::string(100'000, '[')));
  EXPECT_TRUE(nested(100));
  for (const std::size_t levels : {101U, 100'000U}) {
    EXPECT_EQ(message(nested(levels)), "JSON that nests deeper than 100 levels");
  }
}

TEST(Json, FindsByPath) {
  ASSERT_NE(find(object, "metadata.name"), nullptr);
  EXPECT_EQ(*find(object, "metadata.name"), "a");
  EXPECT_EQ(find(object, "metadata.missing"), nullptr);
  EXPECT_EQ(find(object, "metadata.name.deeper"), nullptr);
  EXPECT_EQ(find(object, "nothing.at.all"), nullptr);
  EXPECT_EQ(find(nlohmann::json("text"), "a"), nullptr);
}

TEST(Json, ReadsTypedValuesWithFallbacks) {
  EXPECT_EQ(string_or(object, "metadata.name", "b").value(), "a");
  EXPECT_EQ(string_or(object, "metadata.missing", "b").value(), "b");
  EXPECT_EQ(bool_or(object, "spec.on", false).value(), true);
  EXPECT_EQ(bool_or(object, "spec.off", true).value(), true);
  EXPECT_EQ(integer_or(object, "spec.count", 7).value(), -3);
  EXPECT_EQ(integer_or(object, "spec.none", 7).value(), 7);
  EXPECT_EQ(number_of(*find(object, "spec.ratio")).value(), 0.5);
  EXPECT_EQ(number_of(*find(object, "spec.count")).value(), -3.0);
  EXPECT_EQ(required_string(object, "metadata.name").value(), "a");
}

TEST(Json, NamesThePlaceAndBothTypes) {
  EXPECT_EQ(message(bool_or(object, "spec.suspend", false)),
            "spec.suspend: expected a boolean, got a string");
  EXPECT_EQ(message(string_or(object, "spec.on", "")), "spec.on: expected a string, got a boolean");
  EXPECT_EQ(message(integer_or(object, "spec.ratio", 0)),
            "spec.ratio: expected an integer, got a number");
  EXPECT_EQ(message(integer_or(object, "spec.huge", 0)),
            "spec.huge: expected an integer below 2^63");
  EXPECT_EQ(message(number_of(*find(object, "spec.list"))), "expected a number, got an array");
  EXPECT_EQ(message(required_string(object, "metadata.missing")),
            "metadata.missing: expected a string, it is missing");
  EXPECT_EQ(message(required_string(object, "metadata")),
            "metadata: expected a string, got an object");
}

}  // namespace
}  // namespace quay_rotator::base
