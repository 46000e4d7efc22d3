#include "quay/registry_login.h"

#include "base/base64.h"
#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using Kind = Error::Kind;

constexpr std::string_view good_challenge =
    R"(Bearer realm="https://quay.example.com/v2/auth",service="quay.example.com:443")";

testing::Answer challenging(std::string_view header) {
  return {.status = 401,
          .headers = {{"Content-Type", "x"}, {"www-authenticate", std::string(header)}}};
}

testing::Answer registry_error(std::string_view message) {
  return {.status = 401,
          .body = R"({"errors": [{"code": "UNAUTHORIZED", "detail": {}, "message": ")" +
                  std::string(message) + R"("}]})"};
}

// /v2/ answers `root`, everything else `auth`.
class RegistryLoginTest : public QuayTest {
 protected:
  Expected<void> login() {
    const RobotCredential credential{"acme+puller", secret(robot_token)};
    auto result = registry_login.login(credential, stop.get_token());
    if (!result) {
      expect_no_secret(result.error());
      EXPECT_FALSE(result.error().maybe_changed);
    }
    return result;
  }
  std::string outcome() {
    const auto result = login();
    return result ? "ok" : std::string(reason(result.error().kind));
  }
  std::string outcome_of(const testing::FakeResult& new_auth) {
    auth = new_auth;
    return outcome();
  }

  testing::FakeResult root = challenging(good_challenge);
  testing::FakeResult auth = testing::Answer{.body = R"({"token": "MARKED.jwt"})"};
  testing::FakeTransport registry{executor, [this](const testing::SentRequest& sent) {
                                    return sent.target == "/v2/" ? root : auth;
                                  }};
  RegistryLogin registry_login{
      registry,
      std::string(origin),
      {std::chrono::seconds(20), [this](std::string_view call, std::string_view result) {
         observed.push_back(std::string(call) + " " + std::string(result));
       }}};
};

TEST_F(RegistryLoginTest, LogsInAndKeepsTheChallenge) {
  EXPECT_EQ(outcome(), "ok");
  EXPECT_EQ(outcome(), "ok");
  const auto sent = registry.requests();
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[0].line(), "GET /v2/");
  EXPECT_EQ(sent[0].authorization, "");
  EXPECT_EQ(sent[1].line(), "GET /v2/auth?service=quay.example.com%3A443");
  const std::string pair = "acme+puller:" + std::string(robot_token);
  EXPECT_TRUE(sent[1].authorization == "Basic " + std::string(base::base64_encode(pair).reveal()));
  EXPECT_EQ(sent[2].line(), sent[1].line());
  EXPECT_EQ(observed, (std::vector<std::string>{"registry-challenge ok", "registry-login ok",
                                                "registry-login ok"}));
}

TEST_F(RegistryLoginTest, TellsWhatTheRegistryCallsItself) {
  EXPECT_EQ(registry_login.self_given_name(stop.get_token()), "quay.example.com:443");
  EXPECT_EQ(outcome(), "ok");
  EXPECT_EQ(registry_login.self_given_name(stop.get_token()), "quay.example.com:443");
  EXPECT_EQ(registry.requests().size(), 2U);  // the challenge was kept
}

TEST_F(RegistryLoginTest, TellsTheNameAlsoWhereTheRealmIsRefused) {
  root = challenging(R"(Bearer realm="https://other.example.com:8443/v2/auth")");
  EXPECT_EQ(registry_login.self_given_name(stop.get_token()), "other.example.com:8443");
}

TEST_F(RegistryLoginTest, ARegistryThatIsAwayHasNoNameYet) {
  root = testing::Answer{.status = 502};
  EXPECT_EQ(registry_login.self_given_name(stop.get_token()), std::nullopt);
  root = testing::Answer{.status = 404};
  EXPECT_EQ(registry_login.self_given_name(stop.get_token()), "");
}

TEST_F(RegistryLoginTest, KeepsTheRealmsQuery) {
  root = challenging(R"(Bearer realm="https://QUAY.example.com:443/v2/auth?x=1",service="a b")");
  EXPECT_EQ(outcome(), "ok");
  EXPECT_EQ(registry.requests()[1].target, "/v2/auth?x=1&service=a%20b");
}

TEST_F(RegistryLoginTest, A401IsToldApartByItsWords) {
  EXPECT_EQ(outcome_of(registry_error(
                "Could not find robot with username: acme+puller and supplied password.")),
            "LoginRefused");
  EXPECT_EQ(outcome_of(registry_error("Invalid Username or Password MARKED")), "LoginRefused");
  EXPECT_EQ(outcome_of(registry_error("Could not find robot with specified username")),
            "RobotUnknownToRegistry");
  EXPECT_EQ(outcome_of(registry_error(
                "Robot account have been disabled. Please contact your administrator.")),
            "RobotsDisallowed");
  EXPECT_EQ(outcome_of(registry_error("Robot acme+puller owner acme is disabled")),
            "RobotOwnerDisabled");
  // One challenge served them all.
  EXPECT_EQ(registry.requests().size(), 6U);
}

TEST_F(RegistryLoginTest, EverythingElseSaysNothingAboutTheCredential) {
  for (const int status : {400, 401, 403, 404, 405, 500, 502, 503, 504}) {
    EXPECT_EQ(outcome_of(testing::Answer{.status = status, .body = std::string(html)}),
              "RegistryUnavailable")
        << status;
  }
  for (const char* body : {"", "<html>", "{}", R"({"token": ""})", R"({"token": "MARK)"}) {
    EXPECT_EQ(outcome_of(testing::Answer{.body = body}), "RegistryUnavailable") << body;
  }
  EXPECT_EQ(outcome_of(testing::Answer{.status = 429}), "RateLimited");
  EXPECT_EQ(
      outcome_of(testing::Answer{.status = 302, .headers = {{"Location", "https://x/MARKED"}}}),
      "Redirected");
  const auto transport_error = [](http::Error::Kind kind) -> testing::FakeResult {
    return tl::unexpected(http::Error{kind, "no", true});
  };
  EXPECT_EQ(outcome_of(transport_error(http::Error::Kind::timeout)), "Unreachable");
  EXPECT_EQ(outcome_of(transport_error(http::Error::Kind::tls)), "TlsFailed");
  EXPECT_EQ(outcome_of(transport_error(http::Error::Kind::too_large)), "RegistryUnavailable");
  EXPECT_EQ(outcome_of(transport_error(http::Error::Kind::cancelled)), "Cancelled");
  EXPECT_EQ(outcome_of(testing::Answer{.body = R"({"access_token": "MARKED"})"}), "ok");
}

TEST_F(RegistryLoginTest, AsksForTheChallengeAgainWhereThatMayHelp) {
  EXPECT_EQ(outcome_of(testing::Answer{.status = 500}), "RegistryUnavailable");
  EXPECT_EQ(outcome_of(testing::Answer{.status = 404}), "RegistryUnavailable");
  EXPECT_EQ(outcome(), "RegistryUnavailable");
  std::vector<std::string> targets;
  for (const auto& sent : registry.requests()) targets.push_back(sent.target.substr(0, 8));
  EXPECT_EQ(targets,
            (std::vector<std::string>{"/v2/", "/v2/auth", "/v2/auth", "/v2/", "/v2/auth"}));
}

TEST_F(RegistryLoginTest, TheCredentialGoesToNoOtherHost) {
  for (const char* realm :
       {"https://evil.example.com/v2/auth", "http://quay.example.com/v2/auth",
        "https://quay.example.com:8443/v2/auth", "https://quay.example.com@evil.example.com/",
        "https://quay.example.com.evil.com/", "/v2/auth", "//evil.example.com/", "",
        "https://MARKEDROBOTTOKENMARKEDROBOTTOKEN.evil.com/"}) {
    root = challenging(R"(Bearer realm=")" + std::string(realm) + R"(",service="q")");
    EXPECT_EQ(outcome(), "RealmRefused") << realm;
    EXPECT_EQ(login().error().message.find("evil"), std::string::npos);
  }
  root = challenging(R"(Basic realm="https://quay.example.com")");
  EXPECT_EQ(outcome(), "RealmRefused");
  root = testing::Answer{.status = 200, .body = "{}"};
  EXPECT_EQ(outcome(), "RealmRefused");
  root = testing::Answer{.status = 401};
  EXPECT_EQ(outcome(), "RealmRefused");
  for (const auto& sent : registry.requests()) {
    EXPECT_EQ(sent.line(), "GET /v2/");
    EXPECT_TRUE(sent.authorization.empty());
  }
  EXPECT_EQ(observed[0], "registry-challenge RealmRefused");
}

TEST_F(RegistryLoginTest, ARegistryWithoutAChallengeIsUnavailable) {
  root = testing::Answer{.status = 502, .body = std::string(html)};
  EXPECT_EQ(outcome(), "RegistryUnavailable");
  root = testing::Answer{.status = 301, .headers = {{"Location", "https://quay.example.com/v2/"}}};
  EXPECT_EQ(outcome(), "Redirected");
  root = testing::Answer{.status = 429};
  EXPECT_EQ(outcome(), "RateLimited");
  root = tl::unexpected(http::Error{http::Error::Kind::unreachable, "refused", false});
  EXPECT_EQ(outcome(), "Unreachable");
}

}  // namespace
}  // namespace quay_rotator::quay
