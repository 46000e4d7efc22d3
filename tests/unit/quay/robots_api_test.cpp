#include "quay/robots_api.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <random>

#include <gmock/gmock.h>

#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using Kind = Error::Kind;

const Robot puller{"acme", "puller"};
const Robot ours{"", "ci"};

class RobotsApiTest : public QuayTest {};

TEST_F(RobotsApiTest, ReadsARobot) {
  answer = testing::Answer{.body = robot_body("acme+puller", robot_token)};
  const auto robot = robots().get(puller, secret(api_token), stop.get_token());
  ASSERT_TRUE(robot.has_value());
  EXPECT_EQ(robot->robot, "acme+puller");
  EXPECT_TRUE(robot->token.reveal() == robot_token);
  const auto sent = transport.requests();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].line(), "GET /api/v1/organization/acme/robots/puller");
  EXPECT_TRUE(sent[0].authorization == "Bearer " + std::string(api_token));
  EXPECT_EQ(sent[0].body, "");
  EXPECT_EQ(sent[0].deadline, std::chrono::seconds(20));
  EXPECT_EQ(observed, (std::vector<std::string>{"robot-get ok"}));
}

TEST_F(RobotsApiTest, ReadsWhenItWasUsedLast) {
  const auto last_accessed = [&](const std::string& json, bool regenerate = false) {
    answer = testing::Answer{.body = R"({"name": "acme+puller", "last_accessed": )" + json +
                                     R"(, "token": "T", "unstructured_metadata":
                                        {"last_accessed": "Sat, 28 Nov 2026 07:19:59 -0000"}})"};
    const auto robot = regenerate ? robots().regenerate(puller, secret(api_token), stop.get_token())
                                  : robots().get(puller, secret(api_token), stop.get_token());
    EXPECT_TRUE(robot.has_value()) << json;
    return robot && robot->last_accessed ? base::format_time(*robot->last_accessed) : "";
  };
  for (const bool regenerate : {false, true}) {
    EXPECT_EQ(last_accessed(R"("Sat, 28 Nov 2026 07:19:59 -0000")", regenerate),
              "2026-11-28T07:19:59Z");
    EXPECT_EQ(last_accessed(R"("Thu, 01 Jan 2026 00:00:00 -0000")", regenerate),
              "2026-01-01T00:00:00Z");
  }
  for (const char* nothing :
       {"null", "5", "{}", R"("")", R"("Sat, 28 Nov 2026 07:19:59 +0100")",
        R"("Sat, 28 Nov 2026 07:19:61 -0000")", R"("Sat, 31 Feb 2026 07:19:59 -0000")",
        R"("Sat, 28 anF 2026 07:19:59 -0000")", R"("2026-11-28T07:19:59Z")",
        R"("Sat, 28 Nov 2026 07:19:59 -0000 ")", R"("Sat, 28 Nov 2026T07:19:59 -0000")"}) {
    EXPECT_EQ(last_accessed(nothing), "") << nothing;
  }
}

TEST_F(RobotsApiTest, RegeneratesOnce) {
  answer = testing::Answer{.body = robot_body("acme+puller", robot_token)};
  const auto robot = robots().regenerate(puller, secret(api_token), stop.get_token());
  ASSERT_TRUE(robot.has_value());
  EXPECT_TRUE(robot->token.reveal() == robot_token);
  const auto sent = transport.requests();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].line(), "POST /api/v1/organization/acme/robots/puller/regenerate");
  EXPECT_EQ(sent[0].body, "{}");
  EXPECT_EQ(sent[0].content_type, "application/json");
  EXPECT_EQ(observed, (std::vector<std::string>{"robot-regenerate ok"}));
}

TEST_F(RobotsApiTest, ARobotOfTheUserHasTheUsersName) {
  answer = testing::Answer{.body = robot_body("admin+ci", robot_token)};
  const auto read = robots().get(ours, secret(api_token), stop.get_token());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->robot, "admin+ci");
  ASSERT_TRUE(robots().regenerate(ours, secret(api_token), stop.get_token()).has_value());
  EXPECT_EQ(transport.requests()[0].line(), "GET /api/v1/user/robots/ci");
  EXPECT_EQ(transport.requests()[1].line(), "POST /api/v1/user/robots/ci/regenerate");
  for (const char* other : {"admin+cd", "ci", "+ci", "admin+x+ci"}) {
    answer = testing::Answer{.body = robot_body(other, robot_token)};
    const auto wrong = robots().get(ours, secret(api_token), stop.get_token());
    ASSERT_FALSE(wrong.has_value()) << other;
    EXPECT_EQ(wrong.error().kind, Kind::wrong_robot);
  }
}

// It goes into the status, where everybody may read it.
TEST_F(RobotsApiTest, AUsersNameIsNoPlaceForASecret) {
  std::string api_lower(api_token);
  std::string robot_lower(robot_token);
  for (std::string* text : {&api_lower, &robot_lower}) {
    std::ranges::transform(*text, text->begin(), [](unsigned char c) { return std::tolower(c); });
  }
  std::string hexadecimal;
  for (const char c : robot_token) {
    hexadecimal += "0123456789abcdef"[static_cast<unsigned>(c) / 16];
    hexadecimal += "0123456789abcdef"[static_cast<unsigned>(c) % 16];
  }
  for (const std::string& user :
       {api_lower, robot_lower, "user-" + robot_lower.substr(10, 20), hexadecimal}) {
    answer = testing::Answer{.body = robot_body(user + "+ci", robot_token)};
    const auto read = robots().get(ours, secret(api_token), stop.get_token());
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().kind, Kind::unexpected_answer);
    expect_no_secret(read.error());
  }
}

TEST_F(RobotsApiTest, SaysOfWhereARedirectLeadsWhatTheUserWrote) {
  const auto message = [&](const std::string& location) {
    answer = testing::Answer{.status = 301, .headers = {{"Location", location}}};
    const auto read = robots().get(puller, secret(api_token), stop.get_token());
    if (!read) expect_no_secret(read.error());
    return read ? "" : read.error().message;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message("http://quay.example.com/"), HasSubstr("to http:// at its own host"));
  EXPECT_THAT(message("https://quay.example.com:8443/x"), HasSubstr("to another port of its host"));
  EXPECT_THAT(message("https://QUAY.example.com/x"), HasSubstr("to another path of itself"));
  EXPECT_THAT(message("/x"), HasSubstr("to another path of itself"));
  for (const std::string& elsewhere :
       {"https://" + std::string(api_token) + ".example.com", std::string("//x/"), std::string(),
        "https://quay.example.com." + std::string(robot_token),
        "ftp://" + std::string(api_token)}) {
    EXPECT_THAT(message(elsewhere), HasSubstr("redirects to another host ("));
  }
}

TEST_F(RobotsApiTest, IsNotKeptAwayByANumber) {
  for (const char* seconds : {"301", "3600", "4294967295"}) {
    answer = testing::Answer{.status = 503, .headers = {{"Retry-After", seconds}}};
    const auto read = robots().get(puller, secret(api_token), stop.get_token()).error();
    EXPECT_EQ(read.retry_after, std::chrono::minutes(5));
  }
}

TEST_F(RobotsApiTest, SpeaksOfAUserWhereTheRobotIsAUsers) {
  answer = testing::Answer{.status = 403, .body = std::string(insufficient_scope)};
  const auto of_user = robots().get(ours, secret(api_token), stop.get_token()).error();
  EXPECT_EQ(of_user.kind, Kind::insufficient_scope);
  EXPECT_NE(of_user.message.find("user:admin"), std::string::npos);
  EXPECT_EQ(of_user.message.find("organization"), std::string::npos);
  const auto listed = robots().list("", secret(api_token), stop.get_token(), [](auto&, auto) {});
  EXPECT_EQ(listed.error().message.find("organization"), std::string::npos);
  const auto of_organization = robots().get(puller, secret(api_token), stop.get_token()).error();
  EXPECT_NE(of_organization.message.find("no such organization"), std::string::npos);
  EXPECT_EQ(of_organization.message.find("user:admin"), std::string::npos);
}

TEST_F(RobotsApiTest, SaysWhatToDoAboutABrokenAuditLogAndAMissingRobot) {
  answer = testing::Answer{.status = 500};
  const auto posted = robots().regenerate(puller, secret(api_token), stop.get_token()).error();
  EXPECT_NE(posted.message.find("audit log"), std::string::npos);
  EXPECT_EQ(posted.message.find("regenerate its token"), std::string::npos) << "in a rotation";
  answer = testing::Answer{.status = 400, .body = std::string(no_robot)};
  const auto missing = robots().get(puller, secret(api_token), stop.get_token()).error();
  EXPECT_NE(missing.message.find("rights on repositories"), std::string::npos);
}

// The table of docs/quay.md.
struct Row {
  std::string name;
  int status;
  std::string_view body;
  Kind on_post;
  Kind on_get;
  bool maybe_changed;  // after a POST
  std::vector<http::Header> headers = {};
  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

std::vector<Row> rows() {
  const std::vector<http::Header> with_port = {{"Location", "https://other:8443/x?t=MARKED"}};
  return {
      {"CsrfForADeadToken", 403, csrf, Kind::api_token_refused, Kind::api_token_refused, false},
      {"InvalidToken", 401, invalid_token, Kind::api_token_refused, Kind::api_token_refused, false},
      {"ForeignIssuer", 401, foreign_issuer, Kind::api_token_foreign, Kind::api_token_foreign,
       false},
      {"InsufficientScope", 403, insufficient_scope, Kind::insufficient_scope,
       Kind::insufficient_scope, false},
      {"NoOrganization", 400, no_organization, Kind::organization_not_found,
       Kind::organization_not_found, false},
      {"NoRobot", 400, no_robot, Kind::robot_not_found, Kind::robot_not_found, false},
      {"ReadOnly", 503, read_only, Kind::read_only, Kind::read_only, false},
      {"AuditLogBroken", 500, html, Kind::server_error, Kind::server_error, true},
      {"RateLimited",
       429,
       html,
       Kind::rate_limited,
       Kind::rate_limited,
       false,
       {{"Retry-After", "7"}}},
      {"WorkersDown", 502, html, Kind::starting_up, Kind::starting_up, true},
      {"UnavailableInFront",
       503,
       html,
       Kind::starting_up,
       Kind::starting_up,
       true,
       {{"Retry-After", "7"}}},
      {"TooSlow", 504, html, Kind::too_slow, Kind::too_slow, true},
      {"OtherServerError", 520, "", Kind::server_error, Kind::server_error, true},
      {"MirrorRegistry", 404, R"({"error": "not found"})", Kind::no_robots_api, Kind::no_robots_api,
       false},
      {"NotQuayAtAll", 404, html, Kind::no_robots_api, Kind::no_robots_api, true},
      {"MovedToHttps", 301, html, Kind::redirected, Kind::redirected, false, with_port},
      {"OtherForm", 308, html, Kind::redirected, Kind::redirected, false, with_port},
      {"SignOn", 302, html, Kind::redirected, Kind::redirected, true, with_port},
      {"MethodNotAllowed", 405, html, Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"HtmlForbidden", 403, html, Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"HtmlUnauthorized", 401, html, Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"HtmlBadRequest", 400, html, Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"UnknownBadRequest", 400, R"({"message": "MARKED"})", Kind::unexpected_answer,
       Kind::unexpected_answer, true},
      {"NoContent", 204, "", Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"Html", 200, html, Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"Nothing", 200, "", Kind::unexpected_answer, Kind::unexpected_answer, true},
      {"HalfABody", 200, R"({"name": "acme+puller", "token": "MARKED)", Kind::unexpected_answer,
       Kind::unexpected_answer, true},
      {"AnotherShape", 200, R"(["acme+puller", "MARKED"])", Kind::unexpected_answer,
       Kind::unexpected_answer, true},
      {"AnotherRobot", 200, R"({"name": "acme+pushMARKED", "token": "MARKED"})", Kind::wrong_robot,
       Kind::wrong_robot, true},
      {"AnotherOrganization", 200, R"({"name": "evil+puller", "token": "MARKED"})",
       Kind::wrong_robot, Kind::wrong_robot, true},
      {"TokenAbsent", 200, R"({"name": "acme+puller"})", Kind::token_missing, Kind::token_missing,
       true},
      {"TokenNull", 200, R"({"name": "acme+puller", "token": null})", Kind::token_missing,
       Kind::token_missing, true},
      {"TokenWithNewline", 200, R"({"name": "acme+puller", "token": "MARKED\nX"})",
       Kind::unexpected_answer, Kind::unexpected_answer, true},
  };
}

class AnswerTest : public QuayTest, public ::testing::WithParamInterface<Row> {};

TEST_P(AnswerTest, HasItsNameForGetAndPost) {
  const Row& row = GetParam();
  answer =
      testing::Answer{.status = row.status, .body = std::string(row.body), .headers = row.headers};
  const auto posted = robots().regenerate(puller, secret(api_token), stop.get_token());
  const auto got = robots().get(puller, secret(api_token), stop.get_token());
  ASSERT_FALSE(posted.has_value());
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(reason(posted.error().kind), reason(row.on_post));
  EXPECT_EQ(reason(got.error().kind), reason(row.on_get));
  EXPECT_EQ(posted.error().maybe_changed, row.maybe_changed);
  EXPECT_FALSE(got.error().maybe_changed);
  EXPECT_EQ(posted.error().message.find("may have changed") != std::string::npos,
            row.maybe_changed);
  for (const Error& error : {posted.error(), got.error()}) {
    expect_no_secret(error);
    EXPECT_NE(error.message.find("acme+puller"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(origin), std::string::npos) << error.message;
    if (row.headers.empty() || row.status < 400) {
      EXPECT_EQ(error.retry_after, std::nullopt);
    }
    if (row.status >= 400 && !row.headers.empty()) {
      EXPECT_EQ(error.retry_after, std::chrono::seconds(7));
    }
    if (row.status == 301) {
      EXPECT_NE(error.message.find("redirects to another host"), std::string::npos);
      EXPECT_EQ(error.message.find("other:8443"), std::string::npos);
    }
  }
  EXPECT_EQ(transport.requests().size(), 2U);
  EXPECT_EQ(observed,
            (std::vector<std::string>{"robot-regenerate " + std::string(reason(row.on_post)),
                                      "robot-get " + std::string(reason(row.on_get))}));
}

INSTANTIATE_TEST_SUITE_P(Quay, AnswerTest, ::testing::ValuesIn(rows()),
                         [](const auto& row) { return row.param.name; });

TEST_F(RobotsApiTest, NoAnswerAtAll) {
  using From = http::Error::Kind;
  const std::map<From, Kind> kinds = {{From::invalid_request, Kind::api_token_unusable},
                                      {From::name_not_found, Kind::unreachable},
                                      {From::unreachable, Kind::unreachable},
                                      {From::tls, Kind::tls},
                                      {From::not_allowed, Kind::host_not_allowed},
                                      {From::timeout, Kind::unreachable},
                                      {From::connection_lost, Kind::unreachable},
                                      {From::too_large, Kind::unexpected_answer},
                                      {From::malformed, Kind::unexpected_answer},
                                      {From::cancelled, Kind::cancelled}};
  for (const auto& [from, kind] : kinds) {
    for (const bool maybe_sent : {true, false}) {
      answer = tl::unexpected(http::Error{from, "what the transport says", maybe_sent});
      const auto posted = robots().regenerate(puller, secret(api_token), stop.get_token());
      const auto got = robots().get(puller, secret(api_token), stop.get_token());
      ASSERT_FALSE(posted.has_value());
      ASSERT_FALSE(got.has_value());
      EXPECT_EQ(posted.error().kind, kind);
      EXPECT_EQ(got.error().kind, kind);
      EXPECT_EQ(posted.error().maybe_changed, maybe_sent);
      EXPECT_FALSE(got.error().maybe_changed);
      EXPECT_NE(posted.error().message.find("what the transport says"), std::string::npos);
    }
  }
}

TEST_F(RobotsApiTest, NothingIsSentForIllegalNamesOrWithoutAToken) {
  for (const Robot& robot :
       {Robot{"acme", "acme+puller"}, Robot{"acme", "Puller"}, Robot{"acme", ".."},
        Robot{"acme", "a/b"}, Robot{"a%2Fb", "puller"}, Robot{"acme", ""}, Robot{"", "x"}}) {
    for (const auto& result : {robots().get(robot, secret(api_token), stop.get_token()),
                               robots().regenerate(robot, secret(api_token), stop.get_token())}) {
      ASSERT_FALSE(result.has_value());
      EXPECT_EQ(result.error().kind, Kind::illegal_name);
      EXPECT_FALSE(result.error().maybe_changed);
    }
  }
  const auto listed =
      robots().list("A", secret(api_token), stop.get_token(), [](const auto&, auto) {});
  EXPECT_EQ(listed.error().kind, Kind::illegal_name);
  const auto got = robots().regenerate(puller, base::SecretString(), stop.get_token());
  EXPECT_EQ(got.error().kind, Kind::api_token_unusable);
  EXPECT_FALSE(got.error().maybe_changed);
  EXPECT_EQ(robots().probe(base::SecretString(), stop.get_token()).error().kind,
            Kind::api_token_unusable);
  EXPECT_TRUE(transport.requests().empty());
  EXPECT_TRUE(observed.empty());
}

TEST_F(RobotsApiTest, SurvivesNonsense) {
  std::mt19937 random(7);
  const std::string good = robot_body("acme+puller", robot_token);
  for (int i = 0; i < 3000; ++i) {
    std::string body = good.substr(0, random() % (good.size() + 1));
    for (std::size_t change = 0; change < 1 + random() % 4 && !body.empty(); ++change) {
      body[random() % body.size()] = static_cast<char>(random());
    }
    const int status = std::vector<int>{200, 400, 401, 403, 500, 503, 999}[random() % 7];
    answer = testing::Answer{.status = status, .body = body};
    const auto posted = robots().regenerate(puller, secret(api_token), stop.get_token());
    if (posted) {
      EXPECT_EQ(posted->robot, "acme+puller");
    } else {
      expect_no_secret(posted.error());
      if (status == 200) {
        EXPECT_TRUE(posted.error().maybe_changed);
      }
    }
    const auto listed =
        robots().list("acme", secret(api_token), stop.get_token(), [](const auto&, auto) {});
    if (!listed) expect_no_secret(listed.error());
  }
}

TEST_F(RobotsApiTest, ListsFingerprints) {
  answer =
      testing::Answer{.body = R"({"robots": [{"name": "acme+one", "created": null, "token": "A"},
                             {"token": "B", "name": "acme+two", "more": {"token": "x"}},
                             {"name": "acme+damaged", "token": null},
                             {"name": "evil+one", "token": "C"}], "next": ["x"]})"};
  std::map<std::string, base::Fingerprint> seen;
  const auto listed =
      robots().list("acme", secret(api_token), stop.get_token(),
                    [&](const std::string& name, base::Fingerprint token) { seen[name] = token; });
  ASSERT_TRUE(listed.has_value());
  EXPECT_EQ(seen,
            (std::map<std::string, base::Fingerprint>{{"acme+one", base::Fingerprint::of("A")},
                                                      {"acme+two", base::Fingerprint::of("B")}}));
  EXPECT_EQ(transport.requests()[0].line(), "GET /api/v1/organization/acme/robots");

  seen.clear();
  answer = testing::Answer{.body = R"({"robots": [{"name": "admin+ci", "token": "A"}]})"};
  ASSERT_TRUE(robots()
                  .list("", secret(api_token), stop.get_token(),
                        [&](const auto& name, auto token) { seen[name] = token; })
                  .has_value());
  EXPECT_EQ(seen.count("admin+ci"), 1U);
  EXPECT_EQ(transport.requests()[1].line(), "GET /api/v1/user/robots");
  EXPECT_EQ(observed, (std::vector<std::string>{"robot-list ok", "robot-list ok"}));
}

// Looks for every robot but one.
class Seeker : public TokenSeeker {
 public:
  bool wants(std::string_view full_name) override { return full_name != "acme+odd"; }
  void take(RobotCredential credential) override {
    taken[credential.robot] = std::string(credential.token.reveal());
  }
  std::map<std::string, std::string> taken;
};

TEST_F(RobotsApiTest, HandsTheTokensOfAListToWhoSeeksThem) {
  const auto taken = [&](const std::string& organization, const std::string& robots_in_list) {
    Seeker seeker;
    answer = testing::Answer{.body = R"({"robots": [)" + robots_in_list + "]}"};
    EXPECT_TRUE(robots().list(
        organization, secret(api_token), stop.get_token(), [](const auto&, auto) {}, &seeker));
    return seeker.taken;
  };
  using Taken = std::map<std::string, std::string>;
  EXPECT_EQ(taken("acme", R"({"name": "acme+one", "token": "A"}, {"token": "B", "name": "acme+pre"},
                             {"name": "acme+odd", "token": "C"}, {"name": "evil+one", "token": "D"},
                             {"name": "acme+e/x", "token": "E"}, {"name": "acme+else"},
                             {"name": "acme+even", "token": "a b"}, {"name": "acme+ten", "token": ""})"),
            (Taken{{"acme+one", "A"}, {"acme+pre", "B"}}));
  const std::string thief = "x" + std::string(robot_token);
  EXPECT_EQ(taken("", R"({"name": "devel+ci", "token": "A"}, {"name": ")" + std::string(api_token) +
                          R"(+one", "token": "B"}, {"name": "e+)" + thief + R"(", "token": ")" +
                          std::string(robot_token) + R"("})"),
            (Taken{{"devel+ci", "A"}}));
}

TEST_F(RobotsApiTest, ReadsAListWhileItComes) {
  std::vector<std::string> seen;
  const auto list = [&](testing::Answer::Source source) {
    answer = testing::Answer{.source = std::move(source)};
    seen.clear();
    return robots().list("acme", secret(api_token), stop.get_token(),
                         [&](const std::string& name, auto) { seen.push_back(name); });
  };
  std::vector<std::string> bytes;
  for (const char c : R"({"robots": [{"name": "acme+one", "token": "A"}]})" + std::string()) {
    bytes.emplace_back(1, c);
  }
  ASSERT_TRUE(list(testing::pieces(bytes)));
  EXPECT_EQ(seen, std::vector<std::string>{"acme+one"});

  // Handed over before the rest is there, and lost with it.
  const auto lost = list(
      [&, at = 0](const auto&) mutable -> tl::expected<std::optional<std::string>, http::Error> {
        if (at++ == 0) return R"({"robots": [{"name": "acme+one", "token": "A"},)";
        EXPECT_EQ(seen.size(), 1U);
        return tl::unexpected(http::Error{http::Error::Kind::connection_lost, "gone", true});
      });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind, Kind::unreachable);
}

// Endless in each of the ways that there are: a page of nothing is read to no end.
TEST_F(RobotsApiTest, AnEndlessListEnds) {
  const std::string row = R"({"name": "acme+x", "token": "A"},)";
  std::string rows;
  while (rows.size() < 60'000) rows += row;
  const std::string filler(64U << 10U, 'x');
  const std::vector<std::pair<std::string, std::string>> lists = {
      {R"({"robots": [)", rows},
      {R"({"robots": [{"name": ")", filler},
      {R"({"robots": [{"token": ")", filler},
      {R"({")", filler},
      {R"({"robots": [{"description": ")", filler},
      {R"({"robots": [)", std::string(64U << 10U, ' ')},
  };
  for (const auto& [head, block] : lists) {
    std::size_t sent = 0;
    answer = testing::Answer{.source = [&, first = true](const auto&) mutable {
      const std::string& piece = std::exchange(first, false) ? head : block;
      sent += piece.size();
      return tl::expected<std::optional<std::string>, http::Error>(piece);
    }};
    const auto listed =
        robots().list("acme", secret(api_token), stop.get_token(), [](const auto&, auto) {});
    ASSERT_FALSE(listed);
    EXPECT_EQ(listed.error().kind, Kind::unexpected_answer);
    EXPECT_NE(listed.error().message.find("more than 32 MiB"), std::string::npos);
    EXPECT_LT(sent, 33U << 20U);
  }
  // One byte at a time: the deadline is for all of it.
  answer = testing::Answer{.source = [&](const auto&) {
    executor.sleep_for(std::chrono::seconds(1), {});
    return tl::expected<std::optional<std::string>, http::Error>(" ");
  }};
  const base::MonotonicTime began = executor.now();
  const auto slow =
      robots().list("acme", secret(api_token), stop.get_token(), [](const auto&, auto) {});
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().kind, Kind::unreachable);
  EXPECT_LE(executor.now() - began, std::chrono::seconds(22));
}

TEST_F(RobotsApiTest, OfAListNamesAndTokensOfAnyLengthGoBy) {
  const std::string long_name = "acme+" + std::string(600, 'a');
  answer = testing::Answer{.body = R"({"robots": [{"name": ")" + long_name +
                                   R"(", "token": "A"}, {"name": "acme+two", "token": ")" +
                                   std::string(5000, 'T') + R"("}, {"name": ")" +
                                   std::string(5000, 'n') + R"(", "token": "B"},
                                   {"name": "acme+one", "token": "C"}]})"};
  std::vector<std::string> seen;
  ASSERT_TRUE(robots().list("acme", secret(api_token), stop.get_token(),
                            [&](const std::string& name, auto) { seen.push_back(name); }));
  EXPECT_EQ(seen, std::vector<std::string>{"acme+one"});
}

TEST_F(RobotsApiTest, AListWithoutTokensOrAnotherThingIsAnError) {
  const auto kind_of = [&](std::string_view body) {
    answer = testing::Answer{.body = std::string(body)};
    const auto listed =
        robots().list("acme", secret(api_token), stop.get_token(), [](const auto&, auto) {});
    return listed ? "ok" : std::string(reason(listed.error().kind));
  };
  EXPECT_EQ(kind_of(R"({"robots": []})"), "ok");
  EXPECT_EQ(kind_of(R"({"robots": [{"name": "acme+one", "token": null}]})"), "ok");
  EXPECT_EQ(kind_of(R"({"robots": [{"name": "acme+one"}]})"), "TokenMissing");
  EXPECT_EQ(kind_of(R"({"robots": [{"name": "acme+one", "token": "x"})"), "UnexpectedAnswer");
  EXPECT_EQ(kind_of(R"({"robots": 1})"), "UnexpectedAnswer");
  EXPECT_EQ(kind_of("[]"), "UnexpectedAnswer");
  EXPECT_EQ(kind_of(html), "UnexpectedAnswer");
  answer = testing::Answer{.status = 403, .body = std::string(insufficient_scope)};
  const auto listed =
      robots().list("acme", secret(api_token), stop.get_token(), [](const auto&, auto) {});
  EXPECT_EQ(listed.error().kind, Kind::insufficient_scope);
  EXPECT_FALSE(listed.error().maybe_changed);
}

TEST_F(RobotsApiTest, ProbeAcceptsATokenOfAnyScope) {
  const auto kind_of = [&](int status, std::string_view body) {
    answer = testing::Answer{.status = status, .body = std::string(body)};
    const auto probed = robots().probe(secret(api_token), stop.get_token());
    if (!probed) expect_no_secret(probed.error());
    return probed ? "ok" : std::string(reason(probed.error().kind));
  };
  EXPECT_EQ(kind_of(200, R"({"robots": [{"name": "admin+ci"}]})"), "ok");
  EXPECT_EQ(kind_of(403, insufficient_scope), "ok");
  EXPECT_EQ(kind_of(401, invalid_token), "ApiTokenRefused");
  EXPECT_EQ(kind_of(401, foreign_issuer), "ApiTokenForeign");
  EXPECT_EQ(kind_of(200, html), "UnexpectedAnswer");
  EXPECT_EQ(kind_of(404, R"({"error": "not found"})"), "NoRobotsApi");
  EXPECT_EQ(kind_of(502, html), "StartingUp");
  EXPECT_EQ(transport.requests()[0].line(), "GET /api/v1/user/robots?limit=1&token=false");
  EXPECT_EQ(observed[1], "probe ok");
}

TEST(LegalNameTest, FollowsQuay) {
  for (const char* name : {"ab", "a1", "acme-corp", "a.b_c-d", "00"}) EXPECT_TRUE(legal_name(name));
  for (const char* name :
       {"", "a", "Ab", "a+b", "a--b", "-ab", "ab-", "a b", "a/b", "..", "ab\n", "\xc3\xa4z"}) {
    EXPECT_FALSE(legal_name(name)) << name;
  }
  EXPECT_TRUE(legal_name(std::string(255, 'a')));
  EXPECT_FALSE(legal_name(std::string(256, 'a')));
  EXPECT_FALSE(legal_name(std::string_view("ab\0", 3)));
}

TEST(ApiTokenTest, IsReadInEveryForm) {
  const std::string plain(api_token);
  for (const std::string& text :
       {plain, plain + "\n", plain + "\r\n", " " + plain + " \n",
        R"({"access_token": ")" + plain + R"("})", R"({"token": ")" + plain + "\"}\n",
        R"({"token": "x", "access_token": ")" + plain + R"(\n", "expires_in": 5})"}) {
    const auto token = parse_api_token(text);
    ASSERT_TRUE(token.has_value());
    EXPECT_TRUE(token->reveal() == api_token);
  }
}

TEST(ApiTokenTest, SaysWhyItIsUnusable) {
  const auto error = [](std::string_view text) {
    const auto token = parse_api_token(text);
    if (token) return std::string("usable");
    EXPECT_EQ(token.error().kind, Kind::api_token_unusable);
    EXPECT_FALSE(token.error().maybe_changed);
    EXPECT_EQ(token.error().message.find("MARKED"), std::string::npos);
    return token.error().message;
  };
  const std::string marked(api_token);
  EXPECT_NE(error("").find("empty"), std::string::npos);
  EXPECT_NE(error(" \n").find("empty"), std::string::npos);
  EXPECT_NE(error(R"({"access_token": " "})").find("empty"), std::string::npos);
  EXPECT_NE(error(marked + " " + marked).find("spaces"), std::string::npos);
  EXPECT_NE(error(marked + "\n" + marked).find("control characters"), std::string::npos);
  EXPECT_NE(error(std::string_view("MARKED\0X", 8)).find("control characters"), std::string::npos);
  EXPECT_NE(error(marked + "ä").find("ASCII"), std::string::npos);
  EXPECT_NE(error(std::string(8193, 'a')).find("longer"), std::string::npos);
  for (const char* json : {"{", "{}", R"({"access_token": 5})", R"({"other": "MARKED"})",
                           R"({"access_token": "MARKED)", R"({"a": {"access_token": "MARKED"}})"}) {
    EXPECT_NE(error(json).find("JSON"), std::string::npos) << json;
  }
}

}  // namespace
}  // namespace quay_rotator::quay
