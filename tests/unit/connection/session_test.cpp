#include "connection/session.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "support/kube/fake_api_server.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::connection {
namespace {

using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeApiServer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::FakeTransport;
using quay_rotator::testing::RecordingLog;
using quay_rotator::testing::refusal;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string first_api_token = "APITOKENMARKEDfirst";
const std::string second_api_token = "APITOKENMARKEDsecond";
const std::string robot_token = "ROBOTTOKENMARKED" + std::string(48, '0');
const quay::Robot puller{"acme", "puller"};
const kube::ObjectKey key{"team-a", "quay"};

Answer json_answer(int status, const std::string& body) {
  Answer answer;
  answer.status = status;
  answer.headers = {{"Content-Type", "application/json"}};
  answer.body = body;
  return answer;
}

Answer robot_answer() {
  return json_answer(200, R"({"name":"acme+puller","token":")" + robot_token + R"("})");
}

// What Quay says to an API token that it does not know.
Answer unknown_token(const SentRequest& request) {
  if (request.method == http::Method::post) {
    return json_answer(403, R"({"error": "CSRF token was invalid or missing."})");
  }
  return json_answer(401, R"({"detail": "Requires authentication", "error_type": "invalid_token",)"
                          R"( "title": "invalid_token", "status": 401})");
}

class FakeFactory : public http::TransportFactory {
 public:
  FakeFactory(base::Executor& executor, FakeTransport::Handler handler)
      : executor_(executor), handler_(std::move(handler)) {}

  tl::expected<std::unique_ptr<http::Transport>, http::Error> open(
      http::Endpoint endpoint) override {
    if (endpoint.ca_certificates == "no PEM") {
      return tl::unexpected(
          http::Error{http::Error::Kind::tls, "the CA has no certificate", false});
    }
    if (endpoint.proxy && endpoint.proxy->starts_with("https")) {
      return tl::unexpected(
          http::Error{http::Error::Kind::invalid_request, "the proxy must be http://", false});
    }
    opened.push_back(std::move(endpoint));
    return std::make_unique<FakeTransport>(executor_, handler_);
  }

  std::vector<http::Endpoint> opened;

 private:
  base::Executor& executor_;
  FakeTransport::Handler handler_;
};

class QuaySessionTest : public ::testing::Test {
 protected:
  QuaySessionTest() {
    put_token(first_api_token);
    connection_.meta = {key, "connection-uid", "1"};
    connection_.spec.url = "https://quay.example.com:8443/";
    connection_.spec.credentials = {api::KeyReference::Kind::secret, "quay-api", "token"};
    store();
  }
  void TearDown() override { EXPECT_EQ(log_.text().find("MARKED"), std::string::npos); }

  void store() {
    connection_.meta.resource_version =
        std::to_string(std::stoi(connection_.meta.resource_version) + 1);
    connections_.put(connection_);
  }
  void put_secret(const std::string& name, const std::string& data_key, const std::string& value) {
    server_.put({{"apiVersion", "v1"},
                 {"kind", "Secret"},
                 {"metadata", {{"name", name}, {"namespace", "team-a"}}},
                 {"data", {{data_key, std::string(base::base64_encode(value).reveal())}}}});
  }
  void put_token(const std::string& token) { put_secret("quay-api", "token", token); }
  // The administrator's choice, for sessions from then on.
  void allow_hosts(const std::vector<std::string>& patterns) {
    sessions_ = make_sessions(*http::AllowedHosts::parse(patterns));
  }
  std::unique_ptr<Sessions> make_sessions(http::AllowedHosts allowed = {}) {
    return std::make_unique<Sessions>(
        connections_, client_, factory_,
        [this](std::string_view name) -> std::optional<std::string> {
          const auto found = environment_.find(name);
          if (found == environment_.end()) return std::nullopt;
          return found->second;
        },
        executor_, lanes_,
        [this](std::string_view call, std::string_view outcome) {
          observed_.push_back(std::string(call) + " " + std::string(outcome));
        },
        seconds(30), std::move(allowed));
  }
  std::shared_ptr<Session> session() {
    auto session = sessions_->session(key, stop_);
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session ? *session : nullptr;
  }
  Problem problem() {
    auto session = sessions_->refresh(key, stop_);
    EXPECT_FALSE(session.has_value());
    if (session) return {};
    EXPECT_FALSE(session.error().message.empty());
    EXPECT_EQ(session.error().message.find("MARKED"), std::string::npos);
    return session.error();
  }
  template <class T>
  static quay::Error error_of(const quay::Expected<T>& answer) {
    EXPECT_FALSE(answer.has_value());
    if (answer) return {};
    EXPECT_EQ(answer.error().message.find("MARKED"), std::string::npos);
    return answer.error();
  }
  FakeResult answer(const SentRequest& request) {
    sent_.push_back(std::string(http::method_name(request.method)) + " " + request.target);
    used_.push_back(request.authorization);
    return quay_(request);
  }

  VirtualExecutor executor_{1};
  RecordingLog log_;
  FakeApiServer server_{executor_};
  quay_rotator::testing::NoCredentials credentials_;
  kube::Client client_{server_.transport(), credentials_, executor_, log_.log()};
  runtime::Store<api::QuayConnection> connections_;
  api::QuayConnection connection_;
  std::map<std::string, std::string, std::less<>> environment_;
  FakeTransport::Handler quay_ = [](const SentRequest&) { return robot_answer(); };
  std::vector<std::string> sent_;
  std::vector<std::string> used_;
  FakeFactory factory_{executor_, [this](const SentRequest& request) { return answer(request); }};
  std::vector<std::string> observed_;
  runtime::Lanes lanes_;
  std::unique_ptr<Sessions> sessions_ = make_sessions();
  std::stop_token stop_;
};

TEST_F(QuaySessionTest, CallsQuayWithTheTokenOfTheSecret) {
  put_token(first_api_token + "\n");
  const auto quay = session();
  EXPECT_EQ(quay->origin(), "https://quay.example.com:8443");
  EXPECT_EQ(quay->authority(), "quay.example.com:8443");
  const auto credential = quay->get(puller, stop_);
  ASSERT_TRUE(credential.has_value());
  EXPECT_EQ(credential->robot, "acme+puller");
  EXPECT_TRUE(credential->token.reveal() == robot_token);
  EXPECT_THAT(sent_, ElementsAre("GET /api/v1/organization/acme/robots/puller"));
  EXPECT_TRUE(used_[0] == "Bearer " + first_api_token);
  EXPECT_THAT(observed_, ElementsAre("robot-get ok"));
  EXPECT_EQ(factory_.opened[0].origin, "https://quay.example.com:8443");
  EXPECT_FALSE(factory_.opened[0].ca_certificates || factory_.opened[0].proxy ||
               factory_.opened[0].allow_insecure);
}

TEST_F(QuaySessionTest, IsKeptWithoutAskingAgain) {
  const auto first = session();
  EXPECT_EQ(session(), first);
  EXPECT_THAT(server_.calls(), ElementsAre("GET team-a/quay-api"));
  EXPECT_THAT(factory_.opened, SizeIs(1));
}

TEST_F(QuaySessionTest, NeedsAConnection) {
  const auto missing = sessions_->session({"team-a", "other"}, stop_);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().reason, "ConnectionNotFound");
  EXPECT_THAT(missing.error().message, HasSubstr("team-a/other"));
}

TEST_F(QuaySessionTest, EndsWithItsConnection) {
  session();
  connections_.erase(key);
  EXPECT_FALSE(sessions_->session(key, stop_).has_value());
}

TEST_F(QuaySessionTest, NeedsAUrlOfAServer) {
  for (const auto* url : {"quay.example.com", "ftp://quay", "https://quay.example.com/quay",
                          "https://user:pass@quay", "http://quay.example.com", ""}) {
    connection_.spec.url = url;
    store();
    const auto found = problem();
    EXPECT_EQ(found.reason, "InvalidURL") << url;
    EXPECT_THAT(found.message, HasSubstr("spec.url"));
  }
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(QuaySessionTest, AllowsPlainHttpWhenAskedWhereTheHostIsNamed) {
  connection_.spec.url = "http://quay.example.com";
  connection_.spec.allow_insecure = true;
  store();
  for (const std::vector<std::string>& patterns : {std::vector<std::string>{}, {"*"}}) {
    allow_hosts(patterns);
    const Problem refused = problem();
    EXPECT_EQ(refused.reason, "HostNotAllowed");
    EXPECT_THAT(refused.message, HasSubstr("spec.url: http:// is called only where"));
    EXPECT_THAT(refused.message, HasSubstr("--allowed-quay-hosts=quay.example.com "));
    // Nor through the administrator's proxy: it sends on what the host answers.
    environment_["HTTP_PROXY"] = "http://environment:3128";
    EXPECT_EQ(problem().reason, "HostNotAllowed");
    environment_.clear();
  }
  EXPECT_THAT(factory_.opened, IsEmpty());
  allow_hosts({"*", "quay.example.com"});
  EXPECT_EQ(session()->authority(), "quay.example.com");
  EXPECT_TRUE(factory_.opened[0].allow_insecure);
}

TEST_F(QuaySessionTest, NamesTheSecretThatIsMissing) {
  connection_.spec.credentials.name = "nothing";
  store();
  const auto found = problem();
  EXPECT_EQ(found.reason, "CredentialsNotFound");
  EXPECT_THAT(found.message, HasSubstr("Secret team-a/nothing does not exist"));
}

TEST_F(QuaySessionTest, NamesTheKeysThatThereAre) {
  put_secret("quay-api", "password", first_api_token);
  const auto found = problem();
  EXPECT_EQ(found.reason, "CredentialsNotFound");
  EXPECT_THAT(found.message,
              AllOf(HasSubstr("has no key \"token\": add it"), Not(HasSubstr("password"))));
}

TEST_F(QuaySessionTest, SaysThatItMayNotReadTheSecret) {
  server_.set_fault([](const SentRequest&) {
    return std::optional<FakeResult>(
        refusal(403, "Forbidden",
                "secrets \"quay-api\" is forbidden: User \"system:serviceaccount:q:q\" cannot get "
                "resource \"secrets\" in API group \"\" in the namespace \"team-a\""));
  });
  const auto found = problem();
  EXPECT_EQ(found.reason, "CredentialsNotFound");
  EXPECT_THAT(found.message, HasSubstr("secrets"));
}

TEST_F(QuaySessionTest, RefusesATokenThatNoHeaderCanCarry) {
  put_token("MARKED\x01MARKED");
  EXPECT_EQ(problem().reason, "CredentialsInvalid");
  put_token("\n");
  const auto found = problem();
  EXPECT_EQ(found.reason, "CredentialsInvalid");
  EXPECT_THAT(found.message, HasSubstr("key \"token\" of Secret team-a/quay-api"));
}

TEST_F(QuaySessionTest, TrustsTheCaOfASecret) {
  put_secret("quay-ca", "ca.crt", "PEM of the Secret");
  connection_.spec.ca_secret = {api::KeyReference::Kind::secret, "quay-ca", "ca.crt"};
  store();
  session();
  EXPECT_EQ(factory_.opened[0].ca_certificates, "PEM of the Secret");
}

TEST_F(QuaySessionTest, TrustsTheCaOfAConfigMap) {
  server_.put({{"apiVersion", "v1"},
               {"kind", "ConfigMap"},
               {"metadata", {{"name", "quay-ca"}, {"namespace", "team-a"}}},
               {"data", {{"ca.crt", "PEM of the ConfigMap"}}},
               {"binaryData", {{"der", "AAAA"}}}});
  connection_.spec.ca_config_map = {api::KeyReference::Kind::config_map, "quay-ca", "ca.crt"};
  store();
  session();
  EXPECT_EQ(factory_.opened[0].ca_certificates, "PEM of the ConfigMap");

  connection_.spec.ca_config_map->key = "ca.pem";
  store();
  const auto found = problem();
  EXPECT_EQ(found.reason, "CANotFound");
  EXPECT_THAT(found.message, HasSubstr("ConfigMap team-a/quay-ca has no key \"ca.pem\": add it"));
  EXPECT_THAT(found.message, Not(HasSubstr("der"))) << "no key that was not asked for";
}

TEST_F(QuaySessionTest, NeedsTheCaThatIsNamed) {
  connection_.spec.ca_config_map = {api::KeyReference::Kind::config_map, "quay-ca", "ca.crt"};
  store();
  EXPECT_EQ(problem().reason, "CANotFound");
  put_secret("quay-ca", "ca.crt", "no PEM");
  connection_.spec.ca_config_map.reset();
  connection_.spec.ca_secret = {api::KeyReference::Kind::secret, "quay-ca", "ca.crt"};
  store();
  EXPECT_EQ(problem().reason, "CAInvalid");
}

TEST_F(QuaySessionTest, TakesTheProxyOfTheEnvironmentUnlessTheSpecNamesOne) {
  environment_["HTTPS_PROXY"] = "http://environment:3128";
  session();
  EXPECT_EQ(factory_.opened[0].proxy, "http://environment:3128");
  EXPECT_TRUE(factory_.opened[0].proxy_authorization.empty());
  connection_.spec.proxy_url = "http://spec:3128";
  store();
  allow_hosts({"*", "spec:3128"});
  session();
  EXPECT_EQ(factory_.opened[1].proxy, "http://spec:3128");
}

TEST_F(QuaySessionTest, GivesThePasswordOfTheEnvironmentsProxyToThatProxyAlone) {
  environment_["HTTPS_PROXY"] = "http://me:hunter2@environment:3128";
  session();
  EXPECT_EQ(factory_.opened[0].proxy, "http://environment:3128");
  EXPECT_EQ(factory_.opened[0].proxy_authorization.reveal(), "Basic bWU6aHVudGVyMg==");
  connection_.spec.proxy_url = "http://spec:3128";
  store();
  allow_hosts({"*", "spec:3128"});
  session();
  EXPECT_TRUE(factory_.opened[1].proxy_authorization.empty());
  environment_["HTTPS_PROXY"] = "http://me:hunter2%@environment:3128";
  connection_.spec.proxy_url = "";
  store();
  EXPECT_EQ(problem().reason, "ProxyInvalid");
  EXPECT_THAT(problem().message, Not(HasSubstr("hunter2")));
}

TEST_F(QuaySessionTest, UsesAProxyOfTheSpecOnlyWhereItsHostIsNamed) {
  environment_["HTTPS_PROXY"] = "http://environment:3128";
  connection_.spec.proxy_url = "http://spec:3128";
  store();
  for (const std::vector<std::string>& patterns :
       {std::vector<std::string>{}, {"*"}, {"*", "spec:8080"}, {"*", "environment"}}) {
    allow_hosts(patterns);
    const Problem refused = problem();
    EXPECT_EQ(refused.reason, "HostNotAllowed");
    EXPECT_THAT(refused.message, HasSubstr("spec.proxyURL: a proxy is used only where"));
    EXPECT_THAT(refused.message, HasSubstr("--allowed-quay-hosts=spec:3128 "));
  }
  EXPECT_THAT(factory_.opened, IsEmpty());
}

TEST_F(QuaySessionTest, RefusesAProxyThatIsNone) {
  allow_hosts({"*", "spec"});
  for (const auto* proxy : {"spec:3128", "socks5://spec:1080", "https://spec:3128"}) {
    connection_.spec.proxy_url = proxy;
    store();
    EXPECT_EQ(problem().reason, "ProxyInvalid") << proxy;
  }
}

TEST_F(QuaySessionTest, AHostThatIsNotAllowedIsNotCalled) {
  const auto refused = [this](const std::string& words) {
    store();
    const Problem found = problem();
    EXPECT_EQ(found.reason, "HostNotAllowed") << found.message;
    EXPECT_THAT(found.message, HasSubstr(words));
  };
  for (const char* url : {"https://169.254.169.254", "https://[::ffff:169.254.169.254]:1",
                          "https://2852039166", "https://127.0.0.1:8443", "https://[::1]"}) {
    connection_.spec.url = url;
    refused("spec.url: ");
  }
  connection_.spec.url = "https://quay.example.com:8443";
  connection_.spec.proxy_url = "http://169.254.169.254:80";
  refused("spec.proxyURL: 169.254.169.254 is never called");

  allow_hosts({"*.example.com"});
  connection_.spec.proxy_url = "http://proxy.evil.example:3128";
  refused("spec.proxyURL: proxy.evil.example:3128 is none of the hosts");
  connection_.spec.proxy_url = "";
  connection_.spec.url = "https://evil.example";
  refused("spec.url: evil.example is none of the hosts");
  // The environment's proxy is the administrator's, where it leads to is not.
  environment_["HTTPS_PROXY"] = "http://10.0.0.1:3128";
  refused("spec.url: evil.example is none of the hosts");
  EXPECT_THAT(factory_.opened, IsEmpty());
  EXPECT_THAT(sent_, IsEmpty());

  connection_.spec.url = "https://quay.example.com:8443";
  store();
  session();
  ASSERT_THAT(factory_.opened, SizeIs(1));
  EXPECT_EQ(factory_.opened[0].reach, http::Reach::everywhere);
  environment_.clear();
  sessions_->forget(key);
  session();
  ASSERT_THAT(factory_.opened, SizeIs(2));
  EXPECT_EQ(factory_.opened[1].reach, http::Reach::network);
}

TEST_F(QuaySessionTest, OutlivesAnApiServerThatDoesNotAnswer) {
  const auto first = session();
  server_.set_fault([](const SentRequest&) {
    return std::optional<FakeResult>(refusal(500, "InternalError", "no"));
  });
  EXPECT_EQ(problem().reason, "ApiServerUnavailable");
  EXPECT_EQ(session(), first);
}

TEST_F(QuaySessionTest, EndsWhenItsCredentialsAreGone) {
  session();
  server_.remove("secrets/team-a/quay-api");
  EXPECT_EQ(problem().reason, "CredentialsNotFound");
  EXPECT_FALSE(sessions_->session(key, stop_).has_value());
}

TEST_F(QuaySessionTest, TakesAReplacedTokenAtARefresh) {
  const auto first = session();
  put_token(second_api_token);
  EXPECT_EQ(sessions_->refresh(key, stop_).value(), first);
  first->get(puller, stop_);
  EXPECT_TRUE(used_.at(0) == "Bearer " + second_api_token);
  EXPECT_THAT(factory_.opened, SizeIs(1));
}

TEST_F(QuaySessionTest, IsReplacedWhenItsCaOrSpecChanges) {
  put_secret("quay-ca", "ca.crt", "old PEM");
  connection_.spec.ca_secret = {api::KeyReference::Kind::secret, "quay-ca", "ca.crt"};
  store();
  const auto first = session();
  put_secret("quay-ca", "ca.crt", "new PEM");
  EXPECT_EQ(session(), first);  // nobody has looked yet
  const auto second = sessions_->refresh(key, stop_).value();
  EXPECT_NE(second, first);
  EXPECT_EQ(session(), second);
  EXPECT_TRUE(first->get(puller, stop_).has_value());  // whoever works with it may finish

  connection_.spec.url = "https://other.example.com";
  store();
  EXPECT_EQ(session()->origin(), "https://other.example.com");
  EXPECT_THAT(factory_.opened, SizeIs(3));
}

TEST_F(QuaySessionTest, IsReplacedWhenTheConnectionWasRecreated) {
  const auto first = session();
  connection_.meta.uid = "another-uid";
  store();
  EXPECT_NE(session(), first);
}

TEST_F(QuaySessionTest, IsMadeAnewAfterForget) {
  const auto first = session();
  sessions_->forget(key);
  EXPECT_NE(session(), first);
}

class TokenReplacedTest : public QuaySessionTest {
 protected:
  // Quay knows the second token only.
  TokenReplacedTest() {
    quay_ = [this](const SentRequest& request) -> FakeResult {
      if (request.authorization != "Bearer " + second_api_token) return unknown_token(request);
      if (request.target.ends_with("/robots") ||
          request.target.find("/robots?") != std::string::npos) {
        return json_answer(
            200, R"({"robots":[{"name":"acme+puller","token":")" + robot_token + R"("}]})");
      }
      return after_(request);
    };
  }
  FakeTransport::Handler after_ = [](const SentRequest&) { return robot_answer(); };
  std::function<bool()> may_send_ = [] { return true; };
};

TEST_F(TokenReplacedTest, GetTriesOnceMoreWithTheNewToken) {
  const auto quay = session();
  put_token(second_api_token);
  EXPECT_TRUE(quay->get(puller, stop_).has_value());
  EXPECT_THAT(sent_, SizeIs(2));
  EXPECT_TRUE(quay->get(puller, stop_).has_value());
  EXPECT_THAT(sent_, SizeIs(3));
}

TEST_F(TokenReplacedTest, GetDoesNotRepeatWithTheSameToken) {
  const auto error = error_of(session()->get(puller, stop_));
  EXPECT_EQ(error.kind, quay::Error::Kind::api_token_refused);
  EXPECT_THAT(sent_, SizeIs(1));
}

TEST_F(TokenReplacedTest, GetKeepsItsErrorWhenTheSecretCannotBeRead) {
  const auto quay = session();
  server_.remove("secrets/team-a/quay-api");
  EXPECT_EQ(error_of(quay->get(puller, stop_)).kind, quay::Error::Kind::api_token_refused);
  EXPECT_THAT(sent_, SizeIs(1));
}

TEST_F(TokenReplacedTest, ListTriesOnceMore) {
  const auto quay = session();
  put_token(second_api_token);
  std::vector<std::string> robots;
  const auto listed = quay->list(
      "acme", stop_, [&](const std::string& name, base::Fingerprint) { robots.push_back(name); });
  EXPECT_TRUE(listed.has_value());
  EXPECT_THAT(robots, ElementsAre("acme+puller"));
}

TEST_F(TokenReplacedTest, RegenerateTriesOnceMoreBecauseNothingHappened) {
  const auto quay = session();
  put_token(second_api_token);
  EXPECT_TRUE(quay->regenerate(puller, may_send_, stop_).has_value());
  EXPECT_THAT(sent_, ElementsAre("POST /api/v1/organization/acme/robots/puller/regenerate",
                                 "POST /api/v1/organization/acme/robots/puller/regenerate"));
}

TEST_F(TokenReplacedTest, RegenerateAsksWhetherItMaySendAgain) {
  const auto quay = session();
  put_token(second_api_token);
  may_send_ = [] { return false; };
  const auto error = error_of(quay->regenerate(puller, may_send_, stop_));
  EXPECT_EQ(error.kind, quay::Error::Kind::api_token_refused);
  EXPECT_FALSE(error.maybe_changed);
  EXPECT_THAT(sent_, SizeIs(1));
  // The new token is used from now on.
  EXPECT_TRUE(quay->regenerate(puller, may_send_, stop_).has_value());
  EXPECT_THAT(sent_, SizeIs(2));
}

TEST_F(TokenReplacedTest, RegenerateIsNeverRepeatedWhenItMayHaveHappened) {
  put_token(second_api_token);
  const auto quay = session();
  after_ = [](const SentRequest&) { return json_answer(500, "<html>"); };
  const auto error = error_of(quay->regenerate(puller, may_send_, stop_));
  EXPECT_TRUE(error.maybe_changed);
  EXPECT_THAT(sent_, SizeIs(1));
}

TEST_F(QuaySessionTest, NoCallWaitsForTheRateLimitAndEachTakesOfIt) {
  const auto lane = lanes_.of(lane_name(key));
  lane->set_rate_limit(0.01, 1);
  const auto quay = session();
  const auto start = executor_.now();
  EXPECT_EQ(lane->reserve(2, start), start + seconds(100));
  for (int call = 0; call < 4; ++call) EXPECT_TRUE(quay->get(puller, stop_).has_value());
  EXPECT_EQ(executor_.now(), start);
  lane->release(2);
  EXPECT_EQ(lane->reserve(1, start), start + seconds(400)) << "two of its own, two in debt";
}

TEST_F(TokenReplacedTest, CallThatIsMadeOnceMoreTakesOfTheRateLimitToo) {
  const auto lane = lanes_.of(lane_name(key));
  lane->set_rate_limit(1, 2);
  const auto quay = session();
  put_token(second_api_token);
  EXPECT_TRUE(quay->get(puller, stop_).has_value());
  EXPECT_EQ(lane->reserve(1, executor_.now()), executor_.now() + seconds(1));
}

TEST_F(TokenReplacedTest, EachRequestOfAComparisonOrOfTheLogTakesOfTheRateLimit) {
  quay_ = [](const SentRequest& request) -> FakeResult {
    if (request.authorization != "Bearer " + second_api_token) return unknown_token(request);
    if (request.target.find("/logs?") != std::string::npos) {
      return json_answer(200, request.target.find("next_page") == std::string::npos
                                  ? R"({"logs": [{}], "next_page": "x"})"
                                  : R"({"logs": []})");
    }
    return json_answer(200, R"({"robots": [{"name": "acme+puller", "teams": [], "repositories": []},
                                {"name": "acme+standby", "teams": [], "repositories": []}],
                                "prototypes": [], "permissions": []})");
  };
  const auto lane = lanes_.of(lane_name(key));
  lane->set_rate_limit(0.01, 1);
  const auto quay = session();
  put_token(second_api_token);
  const auto start = executor_.now();
  const auto compared = quay->compare("acme", "puller", "standby", stop_);
  ASSERT_TRUE(compared.has_value());
  EXPECT_THAT(compared->differences, IsEmpty());
  EXPECT_THAT(sent_, SizeIs(5)) << "the first one with the token that was replaced";
  EXPECT_TRUE(quay->regenerations(puller, {}, stop_).has_value());
  EXPECT_THAT(sent_, SizeIs(7));
  EXPECT_EQ(executor_.now(), start);
  EXPECT_EQ(lane->reserve(1, start), start + seconds(700));
  EXPECT_EQ(lane->health(start), runtime::Lane::Health::answering);
}

TEST_F(QuaySessionTest, TellsItsLaneWhetherAnybodyAnswers) {
  using Health = runtime::Lane::Health;
  const auto lane = lanes_.of(lane_name(key));
  const auto quay = session();
  const auto health_after = [&](FakeResult result) {
    quay_ = [result](const SentRequest&) { return result; };
    (void)quay->get(puller, stop_);
    return lane->health(executor_.now());
  };
  EXPECT_EQ(lane->health(executor_.now()), Health::unproven);
  EXPECT_EQ(health_after(robot_answer()), Health::answering);
  EXPECT_EQ(
      health_after(tl::unexpected(http::Error{http::Error::Kind::timeout, "no answer", false})),
      Health::failing);
  EXPECT_EQ(health_after(json_answer(404, "{}")), Health::answering) << "a refusal is an answer";
  EXPECT_EQ(health_after(json_answer(504, "")), Health::failing);
  EXPECT_EQ(health_after(robot_answer()), Health::answering);
}

TEST_F(QuaySessionTest, LogsInAtItsRegistry) {
  quay_ = [](const SentRequest& request) -> FakeResult {
    if (request.target.starts_with("/v2/auth")) return json_answer(200, R"({"token":"jwt"})");
    Answer challenge = json_answer(401, "{}");
    challenge.headers.push_back({"WWW-Authenticate",
                                 "Bearer realm=\"https://quay.example.com:8443/v2/auth\","
                                 "service=\"quay.example.com:8443\""});
    return challenge;
  };
  const quay::RobotCredential credential{"acme+puller", base::SecretString::copy_of(robot_token)};
  const auto logged_in = session()->login(credential, stop_);
  EXPECT_TRUE(logged_in.has_value()) << logged_in.error().message;
  ASSERT_THAT(sent_, SizeIs(2));
  EXPECT_EQ(sent_[0], "GET /v2/");
}

// A burst of looks at the resources of one connection.
TEST_F(QuaySessionTest, WhatSeveralWantAtOnceIsAskedOnce) {
  server_.set_fault([this](const SentRequest&) -> std::optional<FakeResult> {
    executor_.sleep_for(seconds(1), {});
    return std::nullopt;
  });
  quay_ = [](const SentRequest& request) -> FakeResult {
    if (request.target.starts_with("/v2/auth")) return json_answer(200, R"({"token":"jwt"})");
    Answer challenge = json_answer(401, "{}");
    challenge.delay = seconds(1);
    challenge.headers.push_back({"WWW-Authenticate",
                                 "Bearer realm=\"https://quay.example.com:8443/v2/auth\","
                                 "service=\"quay.example.com:8443\""});
    return challenge;
  };
  const quay::RobotCredential credential{"acme+puller", base::SecretString::copy_of(robot_token)};
  executor_.run([&] {
    std::vector<std::unique_ptr<base::Thread>> looks;
    for (int each = 0; each < 5; ++each) {
      looks.push_back(executor_.spawn("look", [&](const std::stop_token& stop) {
        const auto session = sessions_->session(key, stop);
        ASSERT_TRUE(session.has_value());
        EXPECT_TRUE((*session)->login(credential, stop).has_value());
      }));
    }
    for (const auto& look : looks) look->join();
  });
  EXPECT_THAT(server_.calls(), SizeIs(1)) << "its API token";
  EXPECT_EQ(std::ranges::count(sent_, "GET /v2/"), 1);
  EXPECT_THAT(sent_, SizeIs(6));
}

// They wait for one failure, not for one after the other.
TEST_F(QuaySessionTest, WhoWaitedInVainAsksBesideTheOthers) {
  server_.remove("secrets/team-a/quay-api");
  server_.set_fault([this](const SentRequest&) -> std::optional<FakeResult> {
    executor_.sleep_for(seconds(1), {});
    return std::nullopt;
  });
  const base::MonotonicTime began = executor_.now();
  executor_.run([&] {
    std::vector<std::unique_ptr<base::Thread>> looks;
    for (int each = 0; each < 5; ++each) {
      looks.push_back(executor_.spawn("look", [&](const std::stop_token& stop) {
        EXPECT_FALSE(sessions_->session(key, stop).has_value());
      }));
    }
    for (const auto& look : looks) look->join();
  });
  EXPECT_LE(executor_.now() - began, seconds(2));
}

TEST_F(QuaySessionTest, ARealmElsewhereGetsTheTokenOnlyWhenItIsNamed) {
  quay_ = [](const SentRequest& request) -> FakeResult {
    if (request.target.starts_with("/auth")) return json_answer(200, R"({"token":"jwt"})");
    Answer challenge = json_answer(401, "{}");
    challenge.headers.push_back(
        {"WWW-Authenticate", R"(Bearer realm="https://tokens.example.net/auth",service="q")"});
    return challenge;
  };
  const quay::RobotCredential credential{"acme+puller", base::SecretString::copy_of(robot_token)};
  const std::vector<std::vector<std::string>> too_little{
      {}, {"*"}, {"*", "quay.example.com"}, {"*", "tokens.example.net:8443"}};
  for (const auto& patterns : too_little) {
    allow_hosts(patterns);
    EXPECT_EQ(error_of(session()->login(credential, stop_)).kind, quay::Error::Kind::realm_refused);
  }
  EXPECT_THAT(sent_, ::testing::Each("GET /v2/"));
  EXPECT_THAT(used_, ::testing::Each(""));
  EXPECT_THAT(factory_.opened, SizeIs(too_little.size()));

  allow_hosts({"*", "*.example.net"});
  const auto logged_in = session()->login(credential, stop_);
  EXPECT_TRUE(logged_in.has_value()) << logged_in.error().message;
  EXPECT_EQ(factory_.opened.back().origin, "https://tokens.example.net");
  EXPECT_EQ(factory_.opened.back().reach, http::Reach::network);
}

}  // namespace
}  // namespace quay_rotator::connection
