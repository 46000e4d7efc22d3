// Two robots compared by the answers of a Quay.
#include <map>

#include <gmock/gmock.h>

#include "base/time.h"
#include "quay/robots_api.h"
#include "quay_fixture.h"

namespace quay_rotator::quay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = Error::Kind;

constexpr std::string_view read_protected =
    R"({"message": "You don't have the permission to access the requested resource. It is either read-protected or not readable by the server."})";

std::string listed(std::string_view name, std::string_view teams, std::string_view repositories,
                   std::string_view last_accessed = "null") {
  return R"({"name": ")" + std::string(name) + R"(", "created": null, "last_accessed": )" +
         std::string(last_accessed) + R"(, "teams": [)" + std::string(teams) +
         R"(], "repositories": [)" + std::string(repositories) + R"(], "description": ""})";
}

std::string role(std::string_view repository, std::string_view role) {
  return R"({"repository": {"name": ")" + std::string(repository) +
         R"(", "is_public": false}, "role": ")" + std::string(role) + "\"}";
}

std::string prototype(std::string_view creator, std::string_view kind, std::string_view delegate,
                      std::string_view role = "read") {
  const std::string activating =
      creator.empty() ? "null" : R"({"name": ")" + std::string(creator) + R"(", "kind": "user"})";
  return R"({"activating_user": )" + activating + R"(, "delegate": {"name": ")" +
         std::string(delegate) + R"(", "kind": ")" + std::string(kind) +
         R"(", "avatar": {"name": "x"}}, "role": ")" + std::string(role) + R"(", "id": "1"})";
}

class CompareTest : public QuayTest {
 protected:
  CompareTest() {
    robots_are(listed("acme+puller", "", R"("app")"), listed("acme+standby", "", R"("app")"));
    prototypes_are("");
    roles_are("puller", role("app", "read"));
    roles_are("standby", role("app", "read"));
  }
  void robots_are(const std::string& first, const std::string& second) {
    answers["/api/v1/organization/acme/robots?permissions=true&token=false"] =
        testing::Answer{.body = R"({"robots": [)" + listed("acme+other", "", R"("secret")") + "," +
                                first + "," + second + "]}"};
  }
  void prototypes_are(const std::string& list) {
    answers["/api/v1/organization/acme/prototypes"] =
        testing::Answer{.body = R"({"prototypes": [)" + list + "]}"};
  }
  void roles_are(const std::string& robot, const std::string& list) {
    permissions(robot) = testing::Answer{.body = R"({"permissions": [)" + list + "]}"};
  }
  testing::FakeResult& permissions(const std::string& robot) {
    return answers["/api/v1/organization/acme/robots/" + robot + "/permissions"];
  }
  Expected<RobotsCompared> compare(const std::string& organization = "acme",
                                   std::string_view second = "standby") {
    RobotsApi api(quay, std::string(origin),
                  {std::chrono::seconds(20),
                   [this](std::string_view call, std::string_view outcome) {
                     observed.push_back(std::string(call) + " " + std::string(outcome));
                   },
                   [this] { ++further; }});
    return api.compare(organization, "puller", second, secret(api_token), stop.get_token());
  }
  std::vector<std::string> differences() {
    const auto compared = compare();
    EXPECT_TRUE(compared.has_value()) << (compared ? "" : compared.error().message);
    return compared ? compared->differences : std::vector<std::string>{"none"};
  }
  Error error() {
    const auto compared = compare();
    EXPECT_FALSE(compared.has_value());
    if (compared) return {};
    expect_no_secret(compared.error());
    EXPECT_FALSE(compared.error().maybe_changed);
    return compared.error();
  }

  std::map<std::string, testing::FakeResult> answers;
  testing::FakeTransport quay{executor, [this](const testing::SentRequest& sent) {
                                EXPECT_EQ(sent.method, http::Method::get);
                                EXPECT_EQ(answers.count(sent.target), 1U) << sent.target;
                                return answers[sent.target];
                              }};
  int further = 0;
};

TEST_F(CompareTest, EqualRobots) {
  robots_are(listed("acme+puller", R"({"name": "pullers", "avatar": {"name": "x"}})", R"("app")",
                    R"("Sat, 28 Nov 2026 07:19:59 -0000")"),
             listed("acme+standby", R"({"name": "pullers"})", R"("app")"));
  const auto compared = compare();
  ASSERT_TRUE(compared.has_value());
  EXPECT_THAT(compared->differences, IsEmpty());
  EXPECT_TRUE(compared->roles_compared);
  ASSERT_TRUE(compared->first_last_accessed.has_value());
  EXPECT_EQ(base::format_time(*compared->first_last_accessed), "2026-11-28T07:19:59Z");
  EXPECT_EQ(compared->second_last_accessed, std::nullopt);
  std::vector<std::string> sent;
  for (const auto& request : quay.requests()) {
    sent.push_back(request.target);
    EXPECT_TRUE(request.authorization == "Bearer " + std::string(api_token));
  }
  EXPECT_THAT(sent, ElementsAre("/api/v1/organization/acme/robots?permissions=true&token=false",
                                "/api/v1/organization/acme/prototypes",
                                "/api/v1/organization/acme/robots/puller/permissions",
                                "/api/v1/organization/acme/robots/standby/permissions"));
  EXPECT_EQ(sent.size(), static_cast<std::size_t>(RobotsApi::most_requests_to_compare));
  EXPECT_EQ(further, RobotsApi::most_requests_to_compare - 1);
  EXPECT_THAT(observed, ElementsAre("robots-compare ok"));
}

TEST_F(CompareTest, TeamsRepositoriesAndRoles) {
  robots_are(listed("acme+puller", R"({"name": "pullers"})", R"("app", "base")"),
             listed("acme+standby", "", R"("app")"));
  roles_are("puller", role("app", "read") + "," + role("base", "read"));
  roles_are("standby", role("app", "write"));
  EXPECT_THAT(differences(), ElementsAre("only puller is in team pullers",
                                         "puller may use repository app (read), standby (write)",
                                         "only puller may use repository base (read)"));
}

TEST_F(CompareTest, DefaultPermissions) {
  prototypes_are(prototype("", "user", "acme+puller") + "," +
                 prototype("alice", "user", "acme+standby", "write") + "," +
                 prototype("alice", "team", "devs") + "," + prototype("", "user", "acme+other") +
                 "," + prototype("acme+standby", "team", "devs") + "," +
                 prototype("acme+puller", "user", "acme+puller", "admin"));
  EXPECT_THAT(differences(), ElementsAre("only puller may use new repositories (read)",
                                         "only puller may use new repositories of its own (admin)",
                                         "only standby gives its new repositories to team devs "
                                         "(read)",
                                         "only standby may use new repositories of alice (write)"));
  prototypes_are(prototype("", "user", "acme+puller") + "," +
                 prototype("", "user", "acme+standby") + "," +
                 prototype("acme+puller", "user", "acme+puller", "admin") + "," +
                 prototype("acme+standby", "user", "acme+standby", "admin"));
  EXPECT_THAT(differences(), IsEmpty());
}

TEST_F(CompareTest, WithoutRightsToSeeThemRolesAreNotCompared) {
  roles_are("standby", role("app", "write"));
  for (const std::string_view body : {insufficient_scope, read_protected}) {
    for (const char* robot : {"puller", "standby"}) {
      const auto before = permissions(robot);
      permissions(robot) = testing::Answer{.status = 403, .body = std::string(body)};
      const auto compared = compare();
      ASSERT_TRUE(compared.has_value()) << body;
      EXPECT_FALSE(compared->roles_compared);
      EXPECT_THAT(compared->differences, IsEmpty());
      permissions(robot) = before;
    }
  }
}

TEST_F(CompareTest, RobotsOfAUserHaveNoDefaultPermissions) {
  answers = {
      {"/api/v1/user/robots?permissions=true&token=false",
       testing::Answer{.body = R"({"robots": [)" + listed("devel+puller", "", R"("app")") + "," +
                               listed("devel+standby", "", "") + "]}"}},
      {"/api/v1/user/robots/puller/permissions",
       testing::Answer{.body = R"({"permissions": [)" + role("app", "read") + "]}"}},
      {"/api/v1/user/robots/standby/permissions",
       testing::Answer{.body = R"({"permissions": []})"}},
  };
  const auto compared = compare("");
  ASSERT_TRUE(compared.has_value());
  EXPECT_TRUE(compared->roles_compared);
  EXPECT_THAT(compared->differences, ElementsAre("only puller may use repository app (read)"));
}

TEST_F(CompareTest, NamesTheRobotThatIsMissing) {
  robots_are(listed("acme+puller", "", ""), listed("evil+standby", "", ""));
  const Error missing = error();
  EXPECT_EQ(missing.kind, Kind::robot_not_found);
  EXPECT_THAT(missing.message, HasSubstr("robot acme+standby"));
  EXPECT_THAT(observed, ElementsAre("robots-compare RobotNotFound"));
  // Gone between two requests.
  robots_are(listed("acme+puller", "", ""), listed("acme+standby", "", ""));
  permissions("puller") = testing::Answer{.status = 400, .body = std::string(no_robot)};
  EXPECT_EQ(error().kind, Kind::robot_not_found);
  EXPECT_THAT(error().message, HasSubstr("robot acme+puller"));
}

TEST_F(CompareTest, AUserIsNoOrganization) {
  answers["/api/v1/organization/acme/prototypes"] = testing::Answer{
      .status = 404, .body = R"({"detail": "Not Found", "error_type": "not_found"})"};
  EXPECT_EQ(error().kind, Kind::organization_not_found);
}

// Who may read robots and not administer them is shown robots without rights: those are not equal.
TEST_F(CompareTest, RightsThatAreNotShownAreNoRights) {
  robots_are(R"({"name": "acme+puller"})", R"({"name": "acme+standby"})");
  EXPECT_EQ(error().kind, Kind::insufficient_scope);
  EXPECT_THAT(error().message, HasSubstr("administrator"));
}

TEST_F(CompareTest, EveryRequestMayFail) {
  for (const auto& [target, good] : std::map(answers)) {
    answers[target] = testing::Answer{.status = 502, .body = std::string(html)};
    EXPECT_EQ(error().kind, Kind::starting_up) << target;
    answers[target] = testing::Answer{.body = R"({"MARKED": []})"};
    EXPECT_EQ(error().kind, Kind::unexpected_answer) << target;
    answers[target] = testing::Answer{.status = 401, .body = std::string(invalid_token)};
    EXPECT_EQ(error().kind, Kind::api_token_refused) << target;
    answers[target] = good;
  }
  answers["/api/v1/organization/acme/prototypes"] =
      testing::Answer{.status = 403, .body = std::string(insufficient_scope)};
  EXPECT_EQ(error().kind, Kind::insufficient_scope);
}

TEST_F(CompareTest, NamesNoQuayWouldHaveAreADifference) {
  for (const std::string& repositories :
       {'"' + std::string(300, 'r') + '"', '"' + std::string(9000, 'r') + '"',
        std::string("null")}) {
    robots_are(listed("acme+puller", "", repositories), listed("acme+standby", "", repositories));
    EXPECT_THAT(differences(), ElementsAre("puller has more rights than can be compared",
                                           "standby has more rights than can be compared"));
  }
}

TEST_F(CompareTest, NothingIsSentForIllegalNamesOrWithoutAToken) {
  for (const auto& [organization, second] :
       {std::pair("Acme", "standby"), {"acme", "a/b"}, {"acme", ""}}) {
    EXPECT_EQ(compare(organization, second).error().kind, Kind::illegal_name);
  }
  EXPECT_EQ(robots().compare("acme", "aa", "bb", {}, stop.get_token()).error().kind,
            Kind::api_token_unusable);
  EXPECT_TRUE(quay.requests().empty());
  EXPECT_TRUE(observed.empty());
}

}  // namespace
}  // namespace quay_rotator::quay
