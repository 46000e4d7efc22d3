#include "quay/logs.h"

#include <gmock/gmock.h>

#include "quay/robots_api.h"
#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Error::Kind;

base::WallTime at(std::string_view time) {
  return *base::parse_time(time);
}

struct Entry {
  std::string time = "Sat, 28 Nov 2026 07:19:59 -0000";
  std::string robot = "puller";
  std::string kind = "regenerate_robot_token";
  std::string application = "";
  std::string performer = "alice";
  std::string address = "192.0.2.1";
};

std::string text_of(const Entry& entry) {
  const std::string by = entry.application.empty()
                             ? ""
                             : R"(, "oauth_token_id": 2, "oauth_token_application_id": "Y5BZ",
                                  "oauth_token_application": ")" +
                                   entry.application + "\"";
  const std::string performer =
      entry.performer.empty() ? ""
                              : R"(, "performer": {"kind": "user", "name": ")" + entry.performer +
                                    R"(", "is_robot": false, "avatar": {"name": "x"}})";
  return R"({"kind": ")" + entry.kind + R"(", "metadata": {"robot": ")" + entry.robot + "\"" + by +
         R"(}, "ip": ")" + entry.address + R"(", "datetime": ")" + entry.time + "\"" + performer +
         "}";
}

std::string page_of(const std::vector<Entry>& entries, const std::string& next = "") {
  std::string list;
  for (const Entry& entry : entries) list += (list.empty() ? "" : ",") + text_of(entry);
  return R"({"start_time": "x", "logs": [)" + list + "]" +
         (next.empty() ? "" : R"(, "next_page": ")" + next + "\"") + "}";
}

// A Quay that answers one page after the other, the last one again and again.
class LogsTest : public QuayTest {
 protected:
  Expected<Regenerations> regenerations(const std::string& organization = "acme",
                                        std::string_view since = "2026-11-28T07:00:00Z") {
    answered = 0;
    further = 0;
    RobotsApi api(quay, std::string(origin),
                  {std::chrono::seconds(20),
                   [this](std::string_view call, std::string_view outcome) {
                     observed.push_back(std::string(call) + " " + std::string(outcome));
                   },
                   [this] { ++further; }});
    return api.regenerations({organization, "puller"}, at(since), secret(api_token),
                             stop.get_token());
  }
  void page(std::string body) { pages.emplace_back(testing::Answer{.body = std::move(body)}); }
  [[nodiscard]] std::vector<std::string> sent() const {
    std::vector<std::string> lines;
    for (const auto& request : quay.requests()) lines.push_back(request.line());
    return lines;
  }

  std::vector<testing::FakeResult> pages;
  std::size_t answered = 0;
  int further = 0;
  testing::FakeTransport quay{executor, [this](const testing::SentRequest&) {
                                return pages[std::min(answered++, pages.size() - 1)];
                              }};
};

TEST_F(LogsTest, TellsAPersonFromAnApplication) {
  page(page_of({{.robot = "acme+puller", .kind = "login_success", .performer = "acme+puller"},
                {.application = "automation"},
                {.robot = "standby"},
                {.kind = "create_robot"},
                {.time = "Sat, 28 Nov 2026 07:00:00 -0000", .performer = ""}},
               "gAAAAABr-_="));
  page(page_of({}));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->incomplete);
  EXPECT_THAT(
      found->entries,
      ElementsAre(Regeneration{at("2026-11-28T07:19:59Z"), "alice", "192.0.2.1", "automation"},
                  Regeneration{at("2026-11-28T07:00:00Z"), "", "192.0.2.1", ""}));
  EXPECT_THAT(sent(),
              ElementsAre("GET /api/v1/organization/acme/logs?starttime=11/28/2026",
                          "GET /api/v1/organization/acme/logs?starttime=11/28/2026&next_page="
                          "gAAAAABr-_="));
  EXPECT_EQ(further, 1);
  EXPECT_THAT(observed, ElementsAre("logs ok"));
}

TEST_F(LogsTest, TellsFromWhereTheRobotWasUsed) {
  const auto use = [](const std::string& time, const std::string& performer = "acme+puller",
                      const std::string& address = "192.0.2.1") {
    return Entry{.time = "Sat, 28 Nov 2026 07:" + time + " -0000",
                 .kind = "pull_repo",
                 .performer = performer,
                 .address = address};
  };
  page(page_of({use("19:59"), use("18:00", "acme+puller", "198.51.100.7"), use("17:00"),
                use("16:00", "acme+standby"), use("15:00", "alice"), use("14:00")}));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->entries, IsEmpty());
  const base::WallTime last = at("2026-11-28T07:18:00Z");
  EXPECT_THAT(found->uses, ElementsAre(Use{"192.0.2.1", 3, at("2026-11-28T07:14:00Z"),
                                           at("2026-11-28T07:19:59Z")},
                                       Use{"198.51.100.7", 1, last, last}));

  pages.clear();
  std::vector<Entry> botnet;
  for (int i = 0; i < 60; ++i) botnet.push_back(use("19:00", "bob+puller", std::to_string(i)));
  page(page_of(botnet));
  const auto many = regenerations("");
  ASSERT_TRUE(many.has_value());
  EXPECT_EQ(many->uses.size(), 50U);
  EXPECT_TRUE(many->incomplete);
}

TEST_F(LogsTest, OfAUser) {
  page(page_of({{}}));
  ASSERT_TRUE(regenerations("").has_value());
  EXPECT_THAT(sent(), ElementsAre("GET /api/v1/user/logs?starttime=11/28/2026"));
}

TEST_F(LogsTest, EndsWhereEntriesAreOlder) {
  page(page_of(
      {{.time = "Sat, 28 Nov 2026 07:00:01 -0000"}, {.time = "Sat, 28 Nov 2026 06:59:59 -0000"}},
      "next"));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->entries.size(), 1U);
  EXPECT_FALSE(found->incomplete);
  EXPECT_EQ(sent().size(), 1U);
  // A time between two seconds: the entry of that second may be the one that is looked for.
  EXPECT_EQ(regenerations("acme", "2026-11-28T07:00:01.9Z")->entries.size(), 1U);
}

TEST_F(LogsTest, ReadsTenPagesAtMost) {
  page(page_of({{}}, "next"));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->incomplete);
  EXPECT_EQ(found->entries.size(), 10U);
  EXPECT_EQ(sent().size(), 10U);
}

TEST_F(LogsTest, KeepsAHundredEntriesAtMost) {
  page(page_of(std::vector<Entry>(500)));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->incomplete);
  EXPECT_EQ(found->entries.size(), 100U);
}

TEST_F(LogsTest, WhatCannotBeReadIsIncomplete) {
  const auto incomplete = [&](const std::vector<std::string>& bodies) {
    pages.clear();
    for (const std::string& body : bodies) page(body);
    const auto found = regenerations();
    EXPECT_TRUE(found.has_value()) << bodies[0];
    return found && found->incomplete;
  };
  EXPECT_TRUE(incomplete({page_of({{.time = "yesterday"}})}));
  EXPECT_FALSE(incomplete({page_of({{.time = "yesterday", .robot = "standby"}})}));
  for (const char* cursor : {"a&b", "a b", "a%20b"}) {
    EXPECT_TRUE(incomplete({page_of({{}}, cursor)})) << cursor;
  }
  EXPECT_TRUE(incomplete({page_of({{}}, "next"), R"({"no": "logs"})"}));
  EXPECT_TRUE(incomplete({R"({"logs": [], "search_unavailable": true, "message": "x"})"}));
}

TEST_F(LogsTest, ErrorsOfTheFirstPageAreErrors) {
  const auto kind = [&](const testing::FakeResult& result) {
    pages = {result};
    const auto found = regenerations();
    if (found) return std::string("ok");
    expect_no_secret(found.error());
    EXPECT_FALSE(found.error().maybe_changed);
    return std::string(reason(found.error().kind));
  };
  EXPECT_EQ(kind(testing::Answer{.status = 403, .body = std::string(insufficient_scope)}),
            "InsufficientScope");
  EXPECT_EQ(kind(testing::Answer{.status = 401, .body = std::string(invalid_token)}),
            "ApiTokenRefused");
  EXPECT_EQ(kind(testing::Answer{.status = 500, .body = std::string(html)}), "ServerError");
  EXPECT_EQ(kind(testing::Answer{.body = std::string(html)}), "UnexpectedAnswer");
  EXPECT_EQ(kind(testing::Answer{.body = R"({"logs": [)" + std::string(2U << 20U, ' ') + "]}"}),
            "UnexpectedAnswer");
}

TEST_F(LogsTest, WordsOfTheServerHoldNoSecret) {
  page(page_of({{.application = std::string(api_token), .performer = std::string(4000, 'p')}}));
  const auto found = regenerations();
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->entries.size(), 1U);
  EXPECT_EQ(found->entries[0].application, "(not shown)");
  EXPECT_EQ(found->entries[0].performer.size(), 255U);
}

}  // namespace
}  // namespace quay_rotator::quay
