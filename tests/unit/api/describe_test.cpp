// The visitors, on a type that has a field of each kind.
#include <array>
#include <chrono>

#include <gtest/gtest.h>

#include "api/visitors.h"

namespace quay_rotator::api {

using nlohmann::json;
using std::chrono::minutes;
using std::chrono::seconds;

enum class Colour { red, blue };
constexpr auto spellings(Colour /*which*/) {
  return std::array<Spelling<Colour>, 2>{{{"Red", Colour::red}, {"Blue", Colour::blue}}};
}

struct Part {
  std::string name;
  Texts labels;
  bool operator==(const Part&) const = default;
};
template <class V>
void describe(V& v, kube::Is<Part> auto& part) {
  v("name", part.name, {.required = true, .shared = true});
  v("meta.labels", part.labels);
}

struct Whole {
  bool flag = false;
  std::int64_t number = 0;
  int count = 0;
  double rate = 0;
  base::WallTime time{};
  base::Duration every{};
  base::Fingerprint token;
  Colour colour = Colour::red;
  std::optional<base::WallTime> since;
  std::vector<std::string> hosts;
  std::vector<Part> parts;
  std::optional<Part> best;
  std::string kept;
  std::uint64_t digest = 0;
  bool operator==(const Whole&) const = default;
};
template <class V>
void describe(V& v, kube::Is<Whole> auto& whole) {
  v("flag", whole.flag);
  v("number", whole.number);
  v("count", whole.count, {.always = true});
  v("rate", whole.rate);
  v("time", whole.time, {.lenient = true});
  v("schedule.every", whole.every, {.required = true});
  v("token", whole.token);
  v("colour", whole.colour);
  v("since", whole.since);
  v("hosts", whole.hosts, {.shared = true});
  v("parts", whole.parts);
  v("best", whole.best);
  v.kept(whole.kept);
  v.kept(whole.digest, {.digest = true});
}

namespace {

Whole full() {
  return {true,
          -7,
          3,
          0.5,
          base::WallTime{seconds(5)},
          minutes(90),
          base::Fingerprint::of("A"),
          Colour::blue,
          base::WallTime{seconds(6)},
          {"a", "b"},
          {{"one", {{"l", "1"}}}, {"two", {}}},
          Part{"best", {}},
          "mine",
          0xfedcba9876543210};
}

const json written = json::parse(R"({"flag": true, "number": -7, "count": 3, "rate": 0.5,
    "time": "1970-01-01T00:00:05Z", "schedule": {"every": "1h30m"},
    "colour": "Blue", "since": "1970-01-01T00:00:06Z", "hosts": ["a", "b"],
    "parts": [{"name": "one", "meta": {"labels": {"l": "1"}}}, {"name": "two"}],
    "best": {"name": "best"}})");

std::string problem(const json& object) {
  Reader reader(object);
  Whole whole;
  reader("whole", whole, {.required = true});
  return reader.problem().value_or("none");
}

TEST(DescribeTest, WritesAndReadsEveryKindOfField) {
  json expected = written;
  expected["token"] = base::Fingerprint::of("A").text();
  EXPECT_EQ(Writer::json_of(full()), expected);
  const json object{{"whole", expected}};
  Reader reader(object);
  Whole read;
  reader("whole", read);
  EXPECT_EQ(reader.problem(), std::nullopt);
  Whole without_kept = full();
  without_kept.kept.clear();
  without_kept.digest = 0;
  EXPECT_EQ(read, without_kept);
}

TEST(DescribeTest, WritesNoDefaults) {
  EXPECT_EQ(Writer::json_of(Whole{}), json({{"count", 0}, {"schedule", {{"every", "0s"}}}}));
}

TEST(DescribeTest, KeepsEverything) {
  kube::TextPool pool;
  kube::Packer packer(pool);
  const Whole whole = full();
  fields(packer, whole);
  const kube::Packed packed = packer.take();
  kube::Unpacker unpacker(packed.get(), pool);
  Whole unpacked;
  fields(unpacker, unpacked);
  EXPECT_EQ(unpacked, whole);
}

TEST(DescribeTest, NamesEveryFieldAndItsType) {
  EXPECT_EQ(
      Shape::of<Whole>("whole"),
      (std::set<std::string>{"whole.flag: boolean", "whole.number: integer", "whole.count: integer",
                             "whole.rate: number", "whole.time: string",
                             "whole.schedule.every: string", "whole.token: string",
                             "whole.colour: string", "whole.since: string", "whole.hosts[]: string",
                             "whole.parts[].name: string", "whole.parts[].meta.labels: object",
                             "whole.best.name: string", "whole.best.meta.labels: object"}));
}

TEST(DescribeTest, SaysTheFirstThatIsWrongAndWhere) {
  const auto with = [](const char* pointer, const json& value) {
    json object{{"whole", written}};
    object[json::json_pointer(pointer)] = value;
    return problem(object);
  };
  EXPECT_EQ(problem(json::object()), "whole: expected an object, it is missing");
  EXPECT_EQ(problem(5), "whole: expected an object, it is missing");
  EXPECT_EQ(with("/whole", json::array()), "whole: expected an object, got an array");
  EXPECT_EQ(with("/whole/schedule", 1),
            "whole.schedule.every: expected a duration like 720h, it is missing");
  EXPECT_EQ(with("/whole/count", -1), "whole.count: expected a number from 0 on");
  EXPECT_EQ(with("/whole/count", 0.5), "whole.count: expected an integer, got a number");
  EXPECT_EQ(with("/whole/number", std::uint64_t{1} << 63U),
            "whole.number: expected an integer below 2^63");
  EXPECT_EQ(with("/whole/colour", "Green"), "whole.colour: expected Red or Blue, got \"Green\"");
  EXPECT_EQ(with("/whole/token", "x"), "whole.token: expected sha256: and 16 hex digits");
  EXPECT_EQ(with("/whole/hosts/1", 1), "whole.hosts[1]: expected a string, got a number");
  EXPECT_EQ(with("/whole/parts/0/name", ""), "whole.parts[0].name: expected a string, it is empty");
  EXPECT_EQ(with("/whole/parts/0/meta/labels/l", 1),
            "whole.parts[0].meta.labels[\"l\"]: expected a string, got a number");
  EXPECT_EQ(with("/whole/time", "soon"), "none") << "lenient";
  EXPECT_EQ(with("/whole/flag", nullptr), "none") << "null is missing";
}

TEST(DescribeTest, CountsAreClamped) {
  const json object{{"whole", {{"count", 5'000'000'000}, {"schedule", {{"every", "1s"}}}}}};
  Reader reader(object);
  Whole whole;
  reader("whole", whole);
  EXPECT_EQ(whole.count, 1'000'000'000);
}

}  // namespace
}  // namespace quay_rotator::api
