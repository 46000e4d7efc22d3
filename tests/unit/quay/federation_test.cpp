#include "quay/federation.h"

#include <gmock/gmock.h>

#include "base/base64.h"
#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using Kind = Error::Kind;
using ::testing::HasSubstr;

constexpr std::string_view identity = "MARKEDIDENTITY.MARKEDIDENTITY.MARKEDIDENTITY";
const Robot puller{"acme", "puller"};

std::string credential(const std::string& claims) {
  std::string middle(base::base64_encode(claims).reveal());
  while (middle.ends_with('=')) middle.pop_back();
  return "MARKED." + middle + ".MARKED";
}
std::string body_of(const std::string& token) {
  return R"({"token": ")" + token + R"("})";
}

class FederationTest : public QuayTest {
 protected:
  FederationApi api() {
    return {transport,
            std::string(origin),
            {std::chrono::seconds(20), [this](std::string_view call, std::string_view outcome) {
               observed.push_back(std::string(call) + " " + std::string(outcome));
             }}};
  }
  auto exchange(const std::string& robot = "acme+puller") {
    return api().exchange(robot, secret(identity), stop.get_token());
  }
  Error refused(int status, std::string_view body) {
    answer = testing::Answer{.status = status, .body = std::string(body)};
    auto result = exchange();
    EXPECT_FALSE(result.has_value()) << status;
    if (result) return {};
    expect_no_secret(result.error());
    EXPECT_FALSE(result.error().maybe_changed);
    return result.error();
  }
};

TEST_F(FederationTest, ExchangesATokenWithOneRequest) {
  const std::string token = credential(R"({"sub": "acme+puller", "exp": 3600})");
  answer = testing::Answer{.body = body_of(token)};
  const auto result = exchange();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->credential.robot, "acme+puller");
  EXPECT_TRUE(result->credential.token.reveal() == token);
  EXPECT_EQ(result->claims.expires, base::WallTime(std::chrono::hours(1)));
  const auto sent = transport.requests();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].line(), "GET /oauth2/federation/robot/token");
  EXPECT_TRUE(
      sent[0].authorization ==
      "Basic " + std::string(base::base64_encode("acme+puller:" + std::string(identity)).reveal()));
  EXPECT_EQ(observed, (std::vector<std::string>{"federation-exchange ok"}));
}

TEST_F(FederationTest, ACredentialSaysWhoseItIsAndWhenItEnds) {
  const auto kind = [&](const std::string& body) {
    answer = testing::Answer{.body = body};
    auto result = exchange();
    if (result) return std::optional<Kind>();
    expect_no_secret(result.error());
    return std::optional(result.error().kind);
  };
  EXPECT_EQ(kind(body_of(credential(R"({"sub": "acme+puller"})"))), Kind::unexpected_answer);
  EXPECT_EQ(kind(body_of(credential(R"({"sub": "acme+other", "exp": 3600})"))), Kind::wrong_robot);
  EXPECT_EQ(kind(body_of(std::string(robot_token))), Kind::unexpected_answer);
  EXPECT_EQ(kind(body_of(credential(R"({"exp": 1})") + "\\n")), Kind::unexpected_answer);
  EXPECT_EQ(kind(body_of(credential(R"({"exp": 1, "x": ")" + std::string(5000, 'x') + "\"}"))),
            Kind::unexpected_answer);
  EXPECT_EQ(kind("{}"), Kind::unexpected_answer);
  EXPECT_EQ(kind(std::string(html)), Kind::unexpected_answer);
  EXPECT_FALSE(kind(body_of(credential(R"({"exp": 3600})"))));
}

TEST_F(FederationTest, SaysOfEachRefusalWhatToDo) {
  const auto message = [](std::string_view text) {
    return R"({"message": ")" + std::string(text) + R"("})";
  };
  const auto row = [&](int status, const std::string& body, Kind kind, const char* advice) {
    const Error error = refused(status, body);
    EXPECT_EQ(reason(error.kind), reason(kind)) << status << " " << body;
    EXPECT_THAT(error.message, HasSubstr(advice));
  };
  row(400, message("issuer https://MARKED not configured for this robot"), Kind::not_federated,
      "manage");
  row(400, message("Robot does not have federated login configured"), Kind::not_federated,
      "manage");
  row(400, message("Token does not match robot"), Kind::not_federated, "subject");
  row(400, message("Could not find robot with specified username"), Kind::robot_not_found,
      "create the robot");
  row(400, message("Invalid token: Signature has expired"), Kind::identity_refused, "clock");
  row(401, R"({"error": "Invalid robot"})", Kind::identity_refused, "spec.robot");
  row(404, std::string(html), Kind::no_federation_api, "3.13");
  row(405, std::string(html), Kind::no_federation_api, "Regenerate");
  row(308, "", Kind::no_federation_api, "3.13");
  row(301, "", Kind::redirected, "url");
  row(500, std::string(html), Kind::server_error, "openid-configuration");
  row(502, std::string(html), Kind::starting_up, "cannot reach the issuer");
  row(429, "", Kind::rate_limited, "rateLimit");
}

TEST_F(FederationTest, SendsNothingForARobotThatQuayCannotHave) {
  for (const char* robot :
       {"puller", "acme+", "+puller", "acme+pul+ler", "acme+Puller", "a:b+cd"}) {
    auto result = exchange(robot);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().kind, Kind::illegal_name);
  }
  EXPECT_TRUE(transport.requests().empty());
}

TEST_F(FederationTest, ReadsAndReplacesTheList) {
  answer = testing::Answer{.body = R"([{"issuer": "https://a", "subject": "b"}])"};
  const auto list = api().read(puller, secret(api_token), stop.get_token());
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(*list, (FederationList{{"https://a", "b"}}));
  ASSERT_TRUE(api().write({"", "ci"}, *list, secret(api_token), stop.get_token()).has_value());
  const auto sent = transport.requests();
  EXPECT_EQ(sent[0].line(), "GET /api/v1/organization/acme/robots/puller/federation");
  EXPECT_EQ(sent[1].line(), "POST /api/v1/user/robots/ci/federation");
  EXPECT_EQ(sent[1].body, R"([{"issuer":"https://a","subject":"b"}])");
  EXPECT_EQ(observed, (std::vector<std::string>{"federation-get ok", "federation-set ok"}));
}

// Writing it would lose what is not known here.
TEST_F(FederationTest, AListThatCannotBeKeptIsAnError) {
  for (const char* body :
       {"{}", R"([1])", R"([{"issuer": "https://a"}])", R"([{"issuer": 1, "subject": "b"}])",
        R"([{"issuer": "https://a", "subject": "b", "audiences": ["MARKED"]}])", ""}) {
    answer = testing::Answer{.body = body};
    const auto list = api().read(puller, secret(api_token), stop.get_token());
    ASSERT_FALSE(list.has_value()) << body;
    EXPECT_EQ(list.error().kind, Kind::unexpected_answer);
    expect_no_secret(list.error());
  }
  answer = testing::Answer{.status = 403, .body = std::string(insufficient_scope)};
  const auto list = api().read(puller, secret(api_token), stop.get_token());
  EXPECT_EQ(list.error().kind, Kind::insufficient_scope);
}

}  // namespace
}  // namespace quay_rotator::quay
