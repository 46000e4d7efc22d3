#include "kube/abridger.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::kube {
namespace {

using nlohmann::json;

// In pieces of that size.
std::string abridged(Abridger::Shape shape, const std::string& text, std::size_t most_text,
                     std::size_t most_object, std::size_t size) {
  Abridger abridger(shape, most_text, most_object);
  std::string result;
  for (std::size_t at = 0; at < text.size(); at += size) {
    EXPECT_TRUE(abridger.feed(std::string_view(text).substr(at, size), [&](std::string_view part) {
      result += part;
      return true;
    }));
  }
  return result;
}

json secret(const std::string& name) {
  return {{"metadata",
           {{"name", name},
            {"labels", {{"a", "b"}}},
            {"ownerReferences", {{{"uid", "u-1"}}, {{"uid", "u-2"}}}}}},
          {"data", {{"config", "e30="}, {"other", ""}}},
          {"type", "kubernetes.io/dockerconfigjson"}};
}

json list_of(json items) {
  return {{"apiVersion", "v1"}, {"items", std::move(items)}, {"metadata", {{"continue", "x"}}}};
}

TEST(Abridger, PassesOnWhatIsSmallAsItIs) {
  const std::string list = list_of({secret("a"), secret("b")}).dump(1);
  const std::string event = json{{"type", "ADDED"}, {"object", secret("a")}}.dump() + "\n";
  for (const std::size_t size : {1U, 3U, 10'000U}) {
    EXPECT_EQ(abridged(Abridger::list, list, 100, 1000, size), list);
    EXPECT_EQ(abridged(Abridger::watch, event + event, 100, 1000, size), event + event);
    for (const std::string nonsense : {"", "}]}", "{{[\"", "<html>\n", "\\\\\"\\", "\xff,,,"}) {
      EXPECT_EQ(abridged(Abridger::list, nonsense, 100, 1000, size), nonsense);
    }
  }
}

TEST(Abridger, CutsLongStringsAndKeepsTheRest) {
  json big = secret("big");
  big["data"]["other"] = std::string(100'000, 'x');
  json umlauts = secret("umlauts");
  std::string text_of_many;
  for (int i = 0; i < 50'000; ++i) text_of_many += "ä日";
  umlauts["data"]["other"] = text_of_many;
  json escapes = secret("escapes");
  escapes["data"]["other"] = std::string(2000, '\\') + "\n\"" + std::string(100'000, 'y');
  const json plain{secret("a"), big, umlauts, escapes, secret("z")};
  // What is escaped throughout is not cut: no Secret's data is.
  const json ascii{secret("a"), big, secret("b"), escapes, secret("z")};
  for (const auto& [items, escaped] : {std::pair{plain, false}, std::pair{ascii, true}}) {
    const std::string text = list_of(items).dump(-1, ' ', escaped);
    for (const std::size_t size : {1U, 1000U, 1'000'000U}) {
      const std::string result = abridged(Abridger::list, text, 1000, 10'000, size);
      EXPECT_LT(result.size(), 20'000U);
      const json parsed = json::parse(result);
      ASSERT_EQ(parsed.at("items").size(), items.size());
      for (std::size_t i = 0; i < items.size(); ++i) {
        const json& item = parsed.at("items").at(i);
        EXPECT_EQ(item.at("metadata"), items[i].at("metadata"));
        EXPECT_EQ(item.at("type"), items[i].at("type"));
        EXPECT_EQ(item.at("data").at("config"), "e30=");
        EXPECT_TRUE(items[i].at("data").at("other").get<std::string>().starts_with(
            item.at("data").at("other").get<std::string>()));
      }
      EXPECT_EQ(parsed.at("items").at(0), items[0]);
      EXPECT_EQ(parsed.at("items").at(4), items[4]);
      EXPECT_EQ(parsed.at("metadata").at("continue"), "x");
    }
  }
}

TEST(Abridger, EndsWhatIsLargeInManyPieces) {
  json big{{"kind", "Secret"},
           {"metadata", {{"name", "big"}, {"uid", "u"}, {"zlabels", json::object()}}},
           {"zdata", json::object()},
           {"ztype", "Opaque"}};
  for (int i = 0; i < 20'000; ++i) {
    big["metadata"]["zlabels"]["k" + std::to_string(i)] = "v";
    big["zdata"]["k" + std::to_string(i)] = "v";
  }
  json lists{{"metadata", {{"name", "deep"}}}, {"spec", {{"list", json::array()}}}, {"type", "x"}};
  for (int i = 0; i < 20'000; ++i) lists["spec"]["list"].push_back({{"a", {i}}});
  const std::string list = list_of({secret("a"), big, lists, secret("z")}).dump();
  std::string events;
  for (const json& object : {secret("a"), big, lists, secret("z")}) {
    // As the API server writes it: the type first.
    events += R"({"type":"ADDED","object":)" + object.dump() + "}\n";
  }
  for (const std::size_t size : {1U, 1000U, 10'000'000U}) {
    const json parsed = json::parse(abridged(Abridger::list, list, 1000, 5000, size));
    ASSERT_EQ(parsed.at("items").size(), 4U);
    EXPECT_EQ(parsed.at("items").at(0), secret("a"));
    EXPECT_EQ(parsed.at("items").at(3), secret("z"));
    EXPECT_EQ(parsed.at("items").at(1).at("metadata").at("name"), "big");
    EXPECT_EQ(parsed.at("items").at(1).at("ztype"), "Opaque");
    EXPECT_LT(parsed.at("items").at(1).dump().size(), 6000U);
    EXPECT_EQ(parsed.at("items").at(2).at("type"), "x");
    EXPECT_LT(parsed.at("items").at(2).dump().size(), 6000U);

    std::istringstream lines(abridged(Abridger::watch, events, 1000, 5000, size));
    std::vector<json> seen;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LT(line.size(), 6000U);
      seen.push_back(json::parse(line).at("object"));
    }
    ASSERT_EQ(seen.size(), 4U);
    EXPECT_EQ(seen[0], secret("a"));
    EXPECT_EQ(seen[1].at("metadata").at("name"), "big");
    EXPECT_EQ(seen[1].at("ztype"), "Opaque");
    EXPECT_EQ(seen[3], secret("z"));
  }
}

TEST(Abridger, StopsWithItsSink) {
  Abridger abridger(Abridger::list, 10, 10);
  int calls = 0;
  EXPECT_FALSE(abridger.feed("[1, 2]", [&](std::string_view) { return ++calls > 1; }));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace quay_rotator::kube
