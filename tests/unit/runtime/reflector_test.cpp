#include "runtime/reflector.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/group.h"
#include "unit/runtime/api_client.h"
#include "unit/runtime/thing.h"

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::RecordingLog;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;
using ::testing::AllOf;
using testing::ApiClient;
using testing::broken_thing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::no_answer;
using ::testing::Not;
using testing::refusal;
using testing::Thing;
using testing::thing;
using ::testing::UnorderedElementsAre;

std::string event(const std::string& type, const nlohmann::json& object) {
  return nlohmann::json{{"type", type}, {"object", object}}.dump() + "\n";
}

std::string bookmark(int version) {
  return event("BOOKMARK", {{"metadata", {{"resourceVersion", std::to_string(version)}}}});
}

std::string error_event(int code) {
  return event("ERROR", {{"kind", "Status"}, {"code", code}, {"message", "too old"}});
}

Answer page(const std::vector<nlohmann::json>& items, int version,
            const std::string& continue_token = "") {
  return {.body = nlohmann::json{
              {"metadata",
               {{"resourceVersion", std::to_string(version)}, {"continue", continue_token}}},
              {"items",
               items}}.dump()};
}

// What a watch brings, piece by piece.
struct Piece {
  base::Duration after{};
  std::string text;
};

bool is_watch(const SentRequest& request) {
  return request.target.find("watch=") != std::string::npos;
}

// One of the two: has it reached that version, and what did it have then?
bool is_check(const SentRequest& request) {
  return request.target.find("resourceVersionMatch=") != std::string::npos;
}

std::string query(const SentRequest& request, const std::string& name) {
  const auto place = request.target.find(name + "=");
  if (place == std::string::npos) return "";
  const auto begin = place + name.size() + 1;
  return request.target.substr(begin, request.target.find('&', begin) - begin);
}

// Answers by script. Lists and watches have one each, since that is what is to be told apart; after
// the last line of its script a list is refused and a watch stays silent.
class ReflectorTest : public ::testing::Test {
 protected:
  ReflectorTest() {
    store_.add_listener([this](const auto& before, const auto& after, ChangeCause) {
      changes_.push_back((before ? before->meta.key.name + before->meta.resource_version : "-") +
                         ">" + (after ? after->meta.key.name + after->meta.resource_version : "-"));
    });
  }
  ~ReflectorTest() override { reflector_.reset(); }

  void start(ReflectorOptions options = {}, const kube::Resource& resource = kube::secrets) {
    reflector_ = std::make_unique<Reflector>(resource, std::move(options), api_.client,
                                             std::make_unique<TypedStoreWriter<Thing>>(store_),
                                             executor_, log_.log());
    executor_.settle();
  }

  // A watch that brings the pieces, then ends, or fails, or (`open`) says nothing for ever.
  Answer stream(std::vector<Piece> pieces, bool open = false,
                std::optional<http::Error> failure = {}) {
    Answer answer;
    answer.source = [this, rest = std::deque<Piece>(pieces.begin(), pieces.end()), open,
                     failure](const std::stop_token& stop) mutable
        -> tl::expected<std::optional<std::string>, http::Error> {
      if (rest.empty()) {
        if (failure) return tl::unexpected(*failure);
        while (open && executor_.sleep_for(24h, stop)) {
        }
        return std::nullopt;
      }
      Piece piece = std::move(rest.front());
      rest.pop_front();
      if (piece.after > 0s) executor_.sleep_for(piece.after, stop);
      return std::move(piece.text);
    };
    return answer;
  }
  Answer silent() { return stream({}, true); }

  // The object that a check asks for, as the store has it.
  std::vector<nlohmann::json> last_told(const SentRequest& check) const {
    constexpr std::string_view name = "metadata.name%3D";
    const std::string field = query(check, "fieldSelector");
    if (!field.starts_with(name)) return {};
    const auto held = store_.find({"team-a", field.substr(name.size())});
    if (!held) return {};
    return {thing(held->meta.key.name, std::stoi(held->meta.resource_version))};
  }
  std::vector<std::string> contents() const {
    std::vector<std::string> all;
    store_.each(
        [&](const Thing& one) { all.push_back(one.meta.key.name + one.meta.resource_version); });
    return all;
  }
  std::vector<SentRequest> sent(bool watches) const {
    std::vector<SentRequest> some;
    for (auto& request : api_.transport.requests()) {
      if (!is_check(request) && is_watch(request) == watches) some.push_back(request);
    }
    return some;
  }
  // The versions that the server was asked whether it has reached.
  std::vector<std::string> checked() const {
    std::vector<std::string> versions;
    for (const auto& request : api_.transport.requests()) {
      if (query(request, "resourceVersionMatch") == "NotOlderThan") {
        versions.push_back(query(request, "resourceVersion"));
      }
    }
    return versions;
  }
  // The versions that watches began from.
  std::vector<std::string> watched() const {
    std::vector<std::string> versions;
    for (const auto& request : sent(true)) versions.push_back(query(request, "resourceVersion"));
    return versions;
  }

  VirtualExecutor executor_{1};
  RecordingLog log_;
  Store<Thing> store_;
  std::vector<std::string> changes_;
  std::deque<std::function<FakeResult()>> lists_;
  std::deque<std::function<FakeResult()>> watches_;
  // Of a check; nothing: the server has what it is asked for, and the object as it was told.
  std::deque<std::function<FakeResult()>> checks_;
  ApiClient api_{executor_, [this](const SentRequest& request) -> FakeResult {
                   if (is_check(request) && checks_.empty()) {
                     return page(last_told(request), std::stoi(query(request, "resourceVersion")));
                   }
                   if (is_check(request)) {
                     const auto answer = std::move(checks_.front());
                     checks_.pop_front();
                     return answer();
                   }
                   auto& script = is_watch(request) ? watches_ : lists_;
                   if (script.empty()) {
                     return is_watch(request) ? FakeResult(silent()) : FakeResult(no_answer());
                   }
                   const auto answer = std::move(script.front());
                   script.pop_front();
                   return answer();
                 }};
  std::unique_ptr<Reflector> reflector_;
};

TEST_F(ReflectorTest, ListsInPagesAndShowsThemAtOnce) {
  lists_ = {[] { return page({thing("a", 1)}, 10, "token"); },
            [this] {
              EXPECT_THAT(contents(), IsEmpty());
              EXPECT_FALSE(reflector_ && reflector_->synced());
              return page({thing("b", 2)}, 10);
            }};
  start();
  EXPECT_TRUE(reflector_->synced());
  EXPECT_EQ(reflector_->trouble(), "");
  EXPECT_THAT(contents(), UnorderedElementsAre("a1", "b2"));
  const auto requests = sent(false);
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(query(requests[0], "limit"), "500");
  EXPECT_EQ(query(requests[0], "continue"), "");
  EXPECT_EQ(query(requests[1], "continue"), "token");
  EXPECT_THAT(watched(), ElementsAre("10"));
}

TEST_F(ReflectorTest, AsksForItsNamespaceItsLabelsAndAWatchOfFiveToTenMinutes) {
  lists_ = {[] { return page({}, 10); }};
  start({.name_space = "team-a", .label_selector = "managed=yes"});
  for (const auto& request : api_.transport.requests()) {
    EXPECT_THAT(request.target, HasSubstr("/api/v1/namespaces/team-a/secrets?"));
    EXPECT_THAT(request.target, HasSubstr("labelSelector=managed%3Dyes"));
  }
  const auto watches = sent(true);
  ASSERT_EQ(watches.size(), 1U);
  EXPECT_EQ(query(watches[0], "allowWatchBookmarks"), "true");
  const int timeout = std::stoi(query(watches[0], "timeoutSeconds"));
  EXPECT_GE(timeout, 300);
  EXPECT_LE(timeout, 600);
}

TEST_F(ReflectorTest, IsSyncedOnlyWhileTheApiServerIsHeardOf) {
  lists_ = {[] { return page({thing("a", 9)}, 10); }};
  watches_ = {[this] {
    return stream({{4min, bookmark(11)}, {4min, bookmark(12)}}, false,
                  http::Error{http::Error::Kind::connection_lost, "reset", true});
  }};
  start();
  executor_.advance(8min);
  EXPECT_TRUE(reflector_->synced());
  const auto away = [] { return no_answer(); };
  for (int check = 0; check < 100; ++check) checks_.emplace_back(away);
  executor_.advance(4min);
  EXPECT_TRUE(reflector_->synced());
  executor_.advance(90s);
  EXPECT_FALSE(reflector_->synced());
  EXPECT_THAT(reflector_->trouble(), HasSubstr("refused"));
  checks_.clear();
  executor_.advance(30s);
  EXPECT_TRUE(reflector_->synced());
}

TEST_F(ReflectorTest, SaysWhenItsThreadHangsAndNotWhenTheServerIsAway) {
  start();
  executor_.advance(2h);
  EXPECT_NE(reflector_->trouble(), "");
  EXPECT_EQ(reflector_->stuck(), "");
  lists_ = {[] { return page({}, 10); }};
  watches_ = {[this] { return stream({{10min, bookmark(11)}, {30min, bookmark(12)}}); }};
  executor_.advance(21min);
  EXPECT_EQ(reflector_->stuck(), "");
  executor_.advance(10min);
  EXPECT_THAT(reflector_->stuck(), HasSubstr("no sign of life for"));
}

TEST_F(ReflectorTest, FollowsTheWatch) {
  lists_ = {[] { return page({thing("a", 1), thing("b", 2)}, 10); }};
  watches_ = {[this] {
    return stream({{1s, event("ADDED", thing("c", 11))},
                   {1s, event("MODIFIED", thing("a", 12)) + event("DELETED", thing("b", 13))}},
                  true);
  }};
  start();
  changes_.clear();
  executor_.advance(2s);
  EXPECT_THAT(changes_, ElementsAre("->c11", "a1>a12", "b2>-"));
}

TEST_F(ReflectorTest, ExpiredContinueTokenLeadsToOneFullListThatMixesNothing) {
  lists_ = {[] { return page({thing("old", 1)}, 10, "token"); },
            [] { return refusal(410, "Expired"); }, [] { return page({thing("a", 11)}, 20); }};
  start();
  EXPECT_THAT(contents(), ElementsAre("a11"));
  EXPECT_THAT(changes_, ElementsAre("->a11"));
  const auto requests = sent(false);
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(query(requests[2], "limit"), "");
  EXPECT_EQ(query(requests[2], "continue"), "");
  EXPECT_THAT(watched(), ElementsAre("20"));
}

TEST_F(ReflectorTest, ExpiredWatchIsRelistedAndTellsOfWhatVanished) {
  for (const bool as_event : {false, true}) {
    SCOPED_TRACE(as_event);
    lists_ = {[] {
                return page({thing("a", 1), thing("b", 2)}, 10);
              },
              [] {
                return page({thing("a", 1), thing("c", 15)}, 20);
              }};
    watches_ = {[this, as_event] {
      return as_event ? stream({{0s, error_event(410)}}) : refusal(410, "Expired");
    }};
    start();
    EXPECT_THAT(contents(), UnorderedElementsAre("a1", "c15"));
    EXPECT_EQ(reflector_->trouble(), "");
    EXPECT_EQ(watched().back(), "20");
    reflector_.reset();
  }
}

TEST_F(ReflectorTest, EndedWatchGoesOnFromTheLastEventOrBookmarkWithoutAList) {
  lists_ = {[] { return page({}, 10); }};
  watches_ = {[this] {
                return stream({{1min, event("ADDED", thing("a", 12))}});
              },
              [this] {
                return stream({{1min, bookmark(40)}, {5min, bookmark(50)}});
              }};
  start();
  executor_.advance(1min);
  EXPECT_THAT(watched(), ElementsAre("10", "12"));
  executor_.advance(6min);
  EXPECT_THAT(watched(), ElementsAre("10", "12", "50"));
  EXPECT_EQ(sent(false).size(), 1U);
  EXPECT_THAT(contents(), ElementsAre("a12"));
}

TEST_F(ReflectorTest, HistoryThatWentBackIsNoticedAfterALostConnectionAndReplacesWhatWasHeld) {
  lists_ = {[] {
              return page({thing("a", 100), thing("lost", 190)}, 200);
            },
            [] { return page({thing("a", 90)}, 110); }};
  watches_ = {[this] {
    return stream({{1min, event("MODIFIED", thing("a", 201))}}, false,
                  http::Error{http::Error::Kind::connection_lost, "reset", true});
  }};
  checks_ = {[] { return no_answer(); },  // the API server is on its way back
             [] {
               Answer answer = refusal(504, "Timeout", "Too large resource version: 201");
               auto status = nlohmann::json::parse(answer.body);
               status["details"] = {{"retryAfterSeconds", 1},
                                    {"causes", {{{"reason", "ResourceVersionTooLarge"}}}}};
               answer.body = status.dump();
               return answer;
             }};
  start();
  executor_.advance(2min);
  EXPECT_THAT(contents(), ElementsAre("a90"));
  EXPECT_THAT(checked(), ElementsAre("201", "201"));
  EXPECT_THAT(watched(), ElementsAre("200", "110"));
  EXPECT_THAT(log_.text(), HasSubstr("history went back"));
  EXPECT_EQ(reflector_->trouble(), "");
}

TEST_F(ReflectorTest, HistoryThatWentBackUnderAWatchThatLivesIsNoticedWhenTheWatchEnds) {
  lists_ = {[] { return page({thing("a", 100)}, 200); }, [] { return page({}, 110); }};
  watches_ = {[this] { return stream({{7min, ""}}); }};
  checks_ = {[] { return page({}, 111); }};
  start();
  executor_.advance(8min);
  EXPECT_THAT(contents(), IsEmpty());
  EXPECT_THAT(watched(), ElementsAre("200", "110"));
}

TEST_F(ReflectorTest, HistoryThatWentBackIsSeenInTheLastObjectAndTold) {
  lists_ = {[] {
              return page({thing("a", 100), thing("b", 190)}, 200);
            },
            [] { return page({thing("a", 90)}, 210); }};
  watches_ = {[this] {
    return stream({}, false, http::Error{http::Error::Kind::connection_lost, "reset", true});
  }};
  checks_ = {[] { return page({thing("b", 204)}, 205); },   // written again by now …
             [] { return page({thing("b", 120)}, 200); }};  // … but not at the version of then
  int told = 0;
  start({"", "", nullptr, [&told] { ++told; }});
  executor_.advance(1min);
  EXPECT_THAT(contents(), ElementsAre("a90"));
  EXPECT_THAT(watched(), ElementsAre("200", "210"));
  EXPECT_EQ(told, 1);
}

TEST_F(ReflectorTest, OthersProofEndsTheWatchAndIsNotToldOn) {
  lists_ = {[] { return page({thing("a", 100)}, 200); },
            [] { return page({thing("a", 90)}, 210); }};
  watches_ = {[this] { return silent(); }};
  int told = 0;
  start({"", "", nullptr, [&told] { ++told; }});
  reflector_->on_lost_history();
  executor_.settle();
  EXPECT_THAT(contents(), ElementsAre("a90"));
  EXPECT_THAT(watched(), ElementsAre("200", "210"));
  EXPECT_EQ(told, 0);
  EXPECT_EQ(reflector_->trouble(), "");
}

TEST_F(ReflectorTest, WatchThatEndsAtOnceIsNotOpenedInACircle) {
  lists_ = {[] { return page({thing("a", 9)}, 10); }};
  for (int end = 0; end < 100; ++end) watches_.emplace_back([this] { return stream({}); });
  start();
  executor_.advance(1min);
  EXPECT_LT(sent(true).size(), 12U);
  EXPECT_THAT(reflector_->trouble(), HasSubstr("ends as soon as it begins"));
  EXPECT_EQ(sent(false).size(), 1U);
}

TEST_F(ReflectorTest, RefusedOrBusyWatchKeepsItsVersionAndBacksOff) {
  lists_ = {[] { return page({thing("a", 9)}, 10); }};
  watches_ = {[] { return FakeResult(no_answer()); },
              [] { return FakeResult(refusal(429, "TooManyRequests")); },
              [this] {
                return stream({{0s, error_event(429)}});
              },
              [this] {
                return stream({{1s, event("ADDED", thing("a", 12))}}, true);
              }};
  start();
  EXPECT_THAT(watched(), ElementsAre("10"));
  EXPECT_NE(reflector_->trouble(), "");
  executor_.advance(1min);
  EXPECT_THAT(watched(), ElementsAre("10", "10", "10", "10"));
  EXPECT_EQ(sent(false).size(), 1U);
  EXPECT_THAT(contents(), ElementsAre("a12"));
  EXPECT_EQ(reflector_->trouble(), "");
}

TEST_F(ReflectorTest, SilentPeerIsLeftAndTheVersionKept) {
  lists_ = {[] { return page({thing("a", 9)}, 10); }};
  watches_ = {[this] {
    return stream({{150s, ""}}, false, http::Error{http::Error::Kind::timeout, "silence", true});
  }};
  start();
  executor_.advance(160s);
  EXPECT_THAT(watched(), ElementsAre("10", "10"));
}

TEST_F(ReflectorTest, BrokenObjectStopsNothing) {
  lists_ = {[] {
              return page({thing("a", 1), broken_thing("b", 2)}, 10);
            },
            [] {
              return page({broken_thing("a", 30), thing("c", 13)}, 40);
            }};
  watches_ = {[this] {
    return stream({{1s, event("ADDED", thing("c", 11))},
                   {0s, event("MODIFIED", broken_thing("c", 12))},
                   {0s, event("MODIFIED", thing("c", 13))},
                   {1min, error_event(410)}});
  }};
  start();
  EXPECT_THAT(contents(), ElementsAre("a1"));
  executor_.advance(1s);
  EXPECT_THAT(contents(), UnorderedElementsAre("a1", "c13"));
  executor_.advance(1min);
  EXPECT_THAT(contents(), UnorderedElementsAre("a1", "c13")) << "a's last readable version stays";
  EXPECT_THAT(log_.text(), HasSubstr("team-a/b: spec.value"));
  EXPECT_THAT(log_.text(), HasSubstr("team-a/c: spec.value"));
}

TEST_F(ReflectorTest, LineThatMakesNoSenseLeadsToARelistAfterADelay) {
  for (const std::string& line :
       {std::string("{\"type\": \"ADD\n"), std::string("[]\n"), event("ADDED", {{"spec", 1}})}) {
    SCOPED_TRACE(line);
    lists_ = {[] { return page({}, 10); }, [] { return page({}, 20); }};
    watches_ = {[this, line] { return stream({{0s, line}}, true); }};
    start();
    EXPECT_THAT(reflector_->trouble(), HasSubstr("watch secrets"));
    EXPECT_EQ(watched().back(), "10");
    executor_.advance(1s);
    EXPECT_EQ(watched().back(), "20");
    EXPECT_EQ(reflector_->trouble(), "");
    reflector_.reset();
  }
}

TEST_F(ReflectorTest, UnknownKindOfEventIsPassedOver) {
  lists_ = {[] { return page({}, 10); }};
  watches_ = {[this] {
    return stream({{0s, event("RENAMED", thing("a", 11)) + event("ADDED", thing("b", 12))}}, true);
  }};
  start();
  EXPECT_THAT(contents(), ElementsAre("b12"));
}

TEST_F(ReflectorTest, SaysWhenTheDefinitionsAreNotInstalledAndRecovers) {
  lists_ = {[] { return FakeResult(refusal(404, "NotFound")); },
            [] { return FakeResult(page({}, 10)); }};
  start({}, api::rotations);
  EXPECT_FALSE(reflector_->synced());
  EXPECT_THAT(reflector_->trouble(),
              AllOf(HasSubstr("list robottokenrotations"), HasSubstr("kubectl apply -f crds/")));
  executor_.advance(1s);
  EXPECT_TRUE(reflector_->synced());
  EXPECT_EQ(reflector_->trouble(), "");
}

TEST_F(ReflectorTest, SaysWhatMayNotBeReadOnceAndRetriesEverMoreSeldom) {
  for (int refused = 0; refused < 100; ++refused) {
    lists_.emplace_back([] {
      return refusal(403, "Forbidden",
                     "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API "
                     "group \"\" at the cluster scope");
    });
  }
  start();
  executor_.advance(5min);
  EXPECT_FALSE(reflector_->synced());
  EXPECT_THAT(reflector_->trouble(), HasSubstr("needs the verb list on secrets"));
  EXPECT_LT(sent(false).size(), 30U);
  const auto lines = log_.lines();
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("warning"); }),
            1);
}

TEST_F(ReflectorTest, ListThatIsNoListIsRefused) {
  lists_ = {[] { return Answer{.body = R"({"kind": "Status"})"}; },
            [] { return Answer{.body = R"({"metadata":{"resourceVersion":"5"},"items":{}})"}; },
            [] { return Answer{.body = R"({"metadata":{"resourceVersion":"6"},"items":null})"}; }};
  start();
  EXPECT_THAT(reflector_->trouble(), HasSubstr("resourceVersion"));
  executor_.advance(1s);
  EXPECT_THAT(reflector_->trouble(), HasSubstr("items"));
  executor_.advance(2s);
  EXPECT_TRUE(reflector_->synced());
}

TEST_F(ReflectorTest, ListsAfterAnotherOneThatIsSyncedOrInTrouble) {
  for (const bool well : {true, false}) {
    SCOPED_TRACE(well);
    lists_ = {[this, well] {
      executor_.sleep_for(5s, {});
      return well ? FakeResult(page({}, 10)) : FakeResult(no_answer());
    }};
    start();
    Store<Thing> others;
    const Reflector second(kube::config_maps, {"", "", reflector_.get()}, api_.client,
                           std::make_unique<TypedStoreWriter<Thing>>(others), executor_,
                           log_.log());
    executor_.advance(4s);
    const auto asked = sent(false).size();
    lists_.emplace_back([] { return page({}, 10); });
    executor_.advance(1100ms);
    EXPECT_GT(sent(false).size(), asked);
    EXPECT_TRUE(second.synced());
    reflector_.reset();
  }
}

TEST_F(ReflectorTest, DestructorEndsASilentWatchAtOnce) {
  lists_ = {[] { return page({}, 10); }};
  start();
  const auto before = executor_.now();
  reflector_.reset();
  EXPECT_EQ(executor_.now(), before);
}

}  // namespace
}  // namespace quay_rotator::runtime
