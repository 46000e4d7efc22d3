// Whatever is wrong with a connection, an API token, a robot's name or Quay's answers: one clear
// condition with what to do, no crash, no busy loop, and nothing is lost or rotated.
#include <algorithm>
#include <filesystem>

#include "api/group.h"
#include "base/base64.h"
#include "base/time.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* api_version = "quayrotator.dev/v1alpha1";

struct BadCase {
  std::string name;
  std::string reason;  // of Ready
  std::string words;   // in its message
  json connection{};   // merged into the connection's spec; "none": there is none
  std::optional<std::string> api_token{};  // in the Secret that the connection names
  json robot{};                            // merged into spec.robot
  bool robot_exists = true;
  std::string of_connection{};  // reason of the connection's Ready; empty: the same
};

class BadInput : public ClusterTest {
 protected:
  // Each case has a connection, a robot, a rotation and a Secret of its own, all with its name.
  [[nodiscard]] std::string robot_of(const std::string& name) const { return name + robot(); }

  static json object_of(const std::string& kind, const std::string& name, const json& spec) {
    return {{"apiVersion", api_version},
            {"kind", kind},
            {"metadata", {{"name", name}}},
            {"spec", spec}};
  }
  static json secret_of(const std::string& name, const json& text) {
    return {{"apiVersion", "v1"},
            {"kind", "Secret"},
            {"metadata", {{"name", name}}},
            {"stringData", text}};
  }
  [[nodiscard]] json connection_spec() const {
    return {{"url", cluster().quay_url()},
            {"credentialsSecretRef", {{"name", "quay-api"}}},
            {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}}};
  }
  [[nodiscard]] json rotation_spec(const std::string& name, const std::string& connection) const {
    return {{"connectionRef", {{"name", connection}}},
            {"robot", {{"organization", "acme"}, {"name", robot_of(name)}}},
            {"schedule", {{"interval", "1h"}}},
            {"targets", {{{"secret", {{"name", name}}}}}}};
  }

  void apply_all(const json& objects) {
    apply({{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}});
  }

  // Waits until it has failed twice: a busy loop would have failed a hundred times by then.
  std::optional<json> wait_until_failed_twice(const std::string& name, const std::string& reason) {
    return cluster().wait_for("a second failure, reason " + reason, api::rotations, key(name),
                              [&](const json& object) {
                                const json ready = condition(object, "Ready");
                                return ready.is_object() && ready.at("status") == "False" &&
                                       ready.at("reason") == reason &&
                                       object.at("status").value("consecutiveFailures", 0) >= 2;
                              });
  }

  // One condition with what to do, and a back-off that one can see.
  void expect_one_clear_condition(const json& object, const std::string& reason,
                                  const std::string& words) {
    const json& status = object.at("status");
    const json ready = condition(object, "Ready");
    const std::string message = ready.at("message");
    EXPECT_EQ(ready.at("reason"), reason) << message;
    EXPECT_THAT(message, HasSubstr(words));
    EXPECT_LT(message.size(), 700U) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_EQ(condition(object, "Reconciling").at("message"), message);
    EXPECT_TRUE(condition(object, "Stalled").is_null());
    EXPECT_FALSE(status.contains("rotation")) << "no rotation has begun";
    ASSERT_TRUE(status.contains("retryAfter"));
    const auto next = base::parse_time(status.at("retryAfter").get<std::string>());
    const auto began = base::parse_time(
        condition(object, "Reconciling").at("lastTransitionTime").get<std::string>());
    ASSERT_TRUE(next && began);
    // The first delay is at least 2.5 s, the second 5 s; times are whole seconds.
    EXPECT_GE(*next - *began, std::chrono::seconds(6)) << status.dump(1);
    EXPECT_LE(status.at("consecutiveFailures"), 4) << "a busy loop";
  }

  // At most two calls to Quay for each attempt of which the status tells.
  void expect_few_requests(const std::string& full_name, int failures) {
    std::string query = full_name;
    query.replace(query.find('+'), 1, "%2B");
    const json requests = cluster().quay().get("/journal?robot=" + query);
    EXPECT_LE(requests.size(), 2U * static_cast<unsigned>(failures + 1)) << requests.dump(1);
    for (const json& request : requests) EXPECT_FALSE(request.at("committed").get<bool>());
  }
  static int attempts_logged(const OperatorProcess& running, const std::string& resource) {
    const auto lines = running.log_lines();
    return static_cast<int>(std::ranges::count_if(lines, [&](const json& line) {
      const std::string message = line.value("message", "");
      return line.value("resource", "") == resource &&
             (message == "not done" || message == "the connection cannot be used");
    }));
  }

  json data_of(const std::string& secret) {
    const json object = cluster().get(kube::secrets, key(secret));
    return object.is_object() ? object.at("data") : json();
  }

  std::optional<json> wait_for_connection(const std::string& name, const std::string& reason) {
    return cluster().wait_for("connection with reason " + reason, api::connections, key(name),
                              [&](const json& object) {
                                const json ready = condition(object, "Ready");
                                return ready.is_object() && ready.at("reason") == reason;
                              });
  }

  // From bad connections and robots, whose rotation should begin with a new token at once.
  void expect_harmless(const std::vector<BadCase>& cases);
};

void BadInput::expect_harmless(const std::vector<BadCase>& cases) {
  json objects = json::array();
  for (const BadCase& bad : cases) {
    json connection = connection_spec();
    if (bad.api_token) {
      objects.push_back(secret_of("api-" + bad.name, {{"token", *bad.api_token}}));
      connection["credentialsSecretRef"]["name"] = "api-" + bad.name;
    }
    if (bad.connection != "none") {
      if (bad.connection.is_object()) connection.merge_patch(bad.connection);
      objects.push_back(object_of("QuayConnection", bad.name, connection));
    }
    json rotation = rotation_spec(bad.name, bad.name);
    rotation["initial"] = "Rotate";
    if (bad.robot.is_object()) rotation["robot"].merge_patch(bad.robot);
    objects.push_back(object_of("RobotTokenRotation", bad.name, rotation));
    if (bad.robot_exists) {
      cluster().quay().put("/robots/acme+" + robot_of(bad.name), json::object());
    }
    // What pods pull with so far, handed over to the rotation.
    json secret = secret_of(bad.name, {{".dockerconfigjson", R"({"auths":{}})"}});
    secret["type"] = "kubernetes.io/dockerconfigjson";
    secret["metadata"]["annotations"] = {{"quayrotator.dev/allow-take-over-by", bad.name}};
    objects.push_back(secret);
  }
  apply_all(objects);
  const std::string before = base::base64_encode(R"({"auths":{}})").reveal().data();

  OperatorProcess running({.arguments = {"--drift-interval=1s"}});
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.name);
    const auto object = wait_until_failed_twice(bad.name, bad.reason);
    if (!object) continue;
    expect_one_clear_condition(*object, bad.reason, bad.words);
    EXPECT_EQ(data_of(bad.name), json({{".dockerconfigjson", before}}));
    const json now = rotation(bad.name);
    const int failures = now.at("status").at("consecutiveFailures");
    EXPECT_LE(attempts_logged(running, ns() + "/" + bad.name), failures + 1);
    if (bad.robot_exists) {
      EXPECT_EQ(regenerations("acme+" + robot_of(bad.name)), 0);
      expect_few_requests("acme+" + robot_of(bad.name), failures);
    }
    const bool about_connection = bad.connection.is_object() || bad.api_token;
    if (about_connection) {
      wait_for_connection(bad.name, bad.of_connection.empty() ? bad.reason : bad.of_connection);
    }
  }
  EXPECT_EQ(running.terminate(), 0) << "no crash";
}

TEST_F(BadInput, Connections) {
  const std::string other_ca = cluster().quay().get("/").at("otherCA");
  cluster().kubectl_ok(
      {"-n", ns(), "create", "configmap", "other-ca", "--from-file=ca.crt=" + other_ca});
  cluster().kubectl_ok(
      {"-n", ns(), "create", "configmap", "no-ca", "--from-literal=ca.crt=not a certificate"});
  const std::string& quay = cluster().quay_url();
  const auto ca_of = [](const std::string& name) {
    return json{{"ca", {{"configMapRef", {{"name", name}}}}}};
  };
  const std::string prefix = ns() + "/";
  expect_harmless({
      {.name = "missing",
       .reason = "ConnectionNotFound",
       .words = "QuayConnection " + prefix +
                "missing does not exist: create it, or correct spec.connectionRef",
       .connection = "none"},
      {.name = "no-secret",
       .reason = "CredentialsNotFound",
       .words = "Secret " + prefix +
                "nowhere does not exist: create it, or correct spec.credentialsSecretRef",
       .connection = {{"credentialsSecretRef", {{"name", "nowhere"}}}}},
      {.name = "no-key",
       .reason = "CredentialsNotFound",
       .words = R"(has no key "password": add it)",
       .connection = {{"credentialsSecretRef", {{"key", "password"}}}}},
      {.name = "no-ca-map",
       .reason = "CANotFound",
       .words = "ConfigMap " + prefix + "nowhere does not exist: create it, or correct spec.ca",
       .connection = ca_of("nowhere")},
      {.name = "no-ca",
       .reason = "CAInvalid",
       .words = "store certificates in PEM where spec.ca points to",
       .connection = ca_of("no-ca")},
      {.name = "other-ca",
       .reason = "TlsFailed",
       .words = "set ca of the connection",
       .connection = ca_of("other-ca")},
      {.name = "system-ca",
       .reason = "TlsFailed",
       .words = "set ca of the connection",
       .connection = {{"ca", nullptr}}},
      {.name = "refused",
       .reason = "Unreachable",
       .words = "localhost:1",
       .connection = {{"url", "https://localhost:1"}}},
      {.name = "no-host",
       .reason = "Unreachable",
       .words = "quay.invalid",
       .connection = {{"url", "https://quay.invalid"}}},
      {.name = "no-proxy",
       .reason = "Unreachable",
       .words = "check the proxy's address",
       .connection = {{"proxyURL", "http://127.0.0.1:1"}}},
      {.name = "plain-http",
       .reason = "Redirected",
       .words = "set the connection's url to where Quay itself answers",
       .connection = {{"url", "http" + quay.substr(quay.find(':'))}, {"allowInsecure", true}}},
  });
}

TEST_F(BadInput, ApiTokens) {
  auto& quay = cluster().quay();
  quay.put("/tokens/expired", {{"user", "admin"}, {"scopes", {"org:admin"}}, {"expired", true}});
  quay.put("/tokens/reader", {{"user", "admin"}, {"scopes", {"repo:read"}}});
  quay.put("/users/guest", json::object());
  quay.put("/tokens/guest", {{"user", "guest"}, {"scopes", {"org:admin"}}});
  const auto token = [&](const std::string& name) {
    return quay.get("/tokens/" + name).at("token").get<std::string>();
  };
  const std::string place = "key \"token\" of Secret " + ns() + "/";
  expect_harmless({
      {.name = "empty",
       .reason = "CredentialsInvalid",
       .words = place + "api-empty: the API token is empty (nothing was sent)",
       .api_token = ""},
      {.name = "blank",
       .reason = "CredentialsInvalid",
       .words = "put Quay's OAuth token into the connection's Secret",
       .api_token = " \n"},
      {.name = "control",
       .reason = "CredentialsInvalid",
       .words = "store Quay's OAuth token alone",
       .api_token = token("automation") + "\r\nX-Injected: 1"},
      {.name = "half-json",
       .reason = "CredentialsInvalid",
       .words = "looks like JSON but is no object with an access_token",
       .api_token = R"({"access_token": )"},
      {.name = "unknown",
       .reason = "ApiTokenRefused",
       .words = "put a valid token into the connection's Secret",
       .api_token = "no-such-token-in-this-quay"},
      {.name = "expired",
       .reason = "ApiTokenRefused",
       .words = "it is unknown, expired or deleted",
       .api_token = token("expired")},
      {.name = "foreign",
       .reason = "ApiTokenForeign",
       .words = "a JWT of another system",
       .api_token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
                    "eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMiLCJzdWIiOiJhIn0.c2ln"},
      {.name = "reader",
       .reason = "InsufficientScope",
       .words = "it needs the scope org:admin",
       .api_token = token("reader"),
       .of_connection = "Connected"},  // other resources of it may have all that they need
      {.name = "guest",
       .reason = "InsufficientScope",
       .words = "granted by an administrator of the organization",
       .api_token = token("guest"),
       .of_connection = "Connected"},
  });
}

TEST_F(BadInput, ApiTokensWithANewlineOrAsJsonAreGood) {
  const std::string token = cluster().quay().get("/tokens/automation").at("token");
  json objects = json::array();
  const std::map<std::string, std::string> texts{
      {"newline", token + "\n"},
      {"json", json{{"access_token", token}, {"token_type", "Bearer"}}.dump(1) + "\r\n"}};
  for (const auto& [name, text] : texts) {
    cluster().quay().put("/robots/acme+" + robot_of(name), json::object());
    json connection = connection_spec();
    connection["credentialsSecretRef"]["name"] = "api-" + name;
    objects.push_back(secret_of("api-" + name, {{"token", text}}));
    objects.push_back(object_of("QuayConnection", name, connection));
    objects.push_back(object_of("RobotTokenRotation", name, rotation_spec(name, name)));
  }
  apply_all(objects);
  const OperatorProcess running;
  for (const auto& [name, text] : texts) {
    ASSERT_TRUE(wait_until_ready(name));
    EXPECT_EQ(secret_token(name), quay_token("acme+" + robot_of(name)));
    wait_for_connection(name, "Connected");
  }
}

TEST_F(BadInput, WorkGoesOnWhenTheApiTokenIsPutRight) {
  const std::string token = cluster().quay().get("/tokens/automation").at("token");
  cluster().kubectl_ok(
      {"-n", ns(), "patch", "secret", "quay-api", "-p", R"({"stringData":{"token":"wrong"}})"});
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  ASSERT_TRUE(wait_until_failing("ApiTokenRefused"));
  expect_event("ApiTokenRefused");
  wait_for_connection("quay", "ApiTokenRefused");
  cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-api", "-p",
                        json{{"stringData", {{"token", token}}}}.dump()});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(regenerations(), 1);
  EXPECT_FALSE(rotation().at("status").contains("retryAfter"));
  EXPECT_FALSE(rotation().at("status").contains("consecutiveFailures"));
}

TEST_F(BadInput, Robots) {
  auto& quay = cluster().quay();
  const std::string other = "other" + robot();
  quay.put("/organizations/" + other, {{"admins", {"admin"}}});
  quay.put("/robots/" + other + "+" + robot_of("elsewhere"), json::object());
  expect_harmless({
      {.name = "missing",
       .reason = "RobotNotFound",
       .words = "check spec.robot, or create the robot in Quay",
       .robot_exists = false},
      {.name = "elsewhere",
       .reason = "RobotNotFound",
       .words = "check spec.robot",
       .robot_exists = false},
      {.name = "no-organization",
       .reason = "InsufficientScope",
       .words = "or there is no such organization: Quay answers both alike",
       .robot = {{"organization", "nowhere"}}},
      {.name = "user-as-organization",
       .reason = "OrganizationNotFound",
       .words = "leave it out for a user's robot",
       .robot = {{"organization", "admin"}}},
      {.name = "no-user-robot",
       .reason = "RobotNotFound",
       .words = "check spec.robot",
       .robot = {{"organization", nullptr}}},
  });
  EXPECT_EQ(regenerations(other + "+" + robot_of("elsewhere")), 0);
}

TEST_F(BadInput, AnswersThatAreNotQuays) {
  struct Answer {
    std::string name, reason, words;
    json fault;
  };
  const std::vector<Answer> answers{
      {"html",
       "UnexpectedAnswer",
       "whether a proxy answers in Quay's place",
       {{"action", "html-200"}, {"commit", false}}},
      {"sign-on",
       "UnexpectedAnswer",
       "status 418",
       {{"action", "answer"}, {"status", 418}, {"contentType", "text/html"}, {"body", "<html>"}}},
      {"nothing",
       "UnexpectedAnswer",
       "something other than a robot",
       {{"action", "empty-200"}, {"commit", false}}},
      {"too-much",
       "UnexpectedAnswer",
       "",
       {{"action", "huge-body"}, {"commit", false}, {"bytes", 4 << 20}}},
      {"too-slow", "Unreachable", "2s", {{"action", "delay-before"}, {"delay", "20s"}}},
      {"drip", "Unreachable", "2s", {{"action", "drip"}, {"delay", "500ms"}}},
      {"reset", "Unreachable", "", {{"action", "reset-before"}}},
      {"half", "Unreachable", "", {{"action", "half-body"}}},
      {"redirect",
       "Redirected",
       "redirects are not followed; set the connection's url",
       {{"action", "redirect"}}},
      {"mixed-up",
       "WrongRobot",
       "check whether a proxy mixes up answers",
       {{"action", "wrong-name"}}},
      {"no-token",
       "TokenMissing",
       "use an API token of an administrator",
       {{"action", "no-token"}}},
      {"mirror",
       "NoRobotsApi",
       "the small mirror registry has none",
       {{"action", "answer"}, {"status", 404}, {"body", R"({"error": "not found"})"}}},
      {"error", "ServerError", "look at Quay's log", {{"action", "error-before"}}},
      {"limited", "RateLimited", "lower rateLimit of the connection", {{"action", "rate-limited"}}},
      {"loading", "StartingUp", "look at Quay's pods", {{"action", "bad-gateway"}}},
      {"gateway", "TooSlow", "look at Quay's database and load", {{"action", "gateway-timeout"}}},
  };
  json objects = json::array();
  for (const Answer& answer : answers) {
    cluster().quay().put("/robots/acme+" + robot_of(answer.name), json::object());
    objects.push_back(
        object_of("RobotTokenRotation", answer.name, rotation_spec(answer.name, "quay")));
  }
  apply_all(objects);
  OperatorProcess running({.arguments = {"--workers=16"}});
  for (const Answer& answer : answers) ASSERT_TRUE(wait_until_ready(answer.name));

  cluster().quay().remove("/journal");
  for (const Answer& answer : answers) {
    json fault = answer.fault;
    fault["match"] = {{"robot", "acme+" + robot_of(answer.name)}, {"path", "^/api/"}};
    cluster().quay().post("/faults", fault);
  }
  cluster().kubectl_ok(
      {"-n", ns(), "annotate", "rtr", "--all", "quayrotator.dev/rotate-requested-at=bad"});
  for (const Answer& answer : answers) {
    SCOPED_TRACE(answer.name);
    const auto object = wait_until_failed_twice(answer.name, answer.reason);
    if (!object) continue;
    expect_one_clear_condition(*object, answer.reason, answer.words);
    const std::string full_name = "acme+" + robot_of(answer.name);
    EXPECT_EQ(secret_token(answer.name), quay_token(full_name)) << "nothing is lost";
    EXPECT_EQ(regenerations(full_name), 0) << "nothing is rotated";
    const int failures = rotation(answer.name).at("status").at("consecutiveFailures");
    expect_few_requests(full_name, failures);
    expect_event("RotationFailed", answer.name);
  }

  cluster().quay().remove("/faults");
  // An edit ends the waiting; it is no second request for a rotation.
  for (json& object : objects) object["spec"]["schedule"]["interval"] = "2h";
  apply_all(objects);
  for (const Answer& answer : answers) {
    ASSERT_TRUE(wait_until_rotated(1, answer.name)) << answer.name;
    EXPECT_EQ(regenerations("acme+" + robot_of(answer.name)), 1) << answer.name;
  }
  EXPECT_EQ(running.terminate(), 0);
}

TEST_F(BadInput, ACertificateThatIsNoGood) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::vector<std::pair<std::string, std::string>> variants{
      {"wrong-host", "the certificate is for another host than localhost"},
      {"unknown-ca", "set ca of the connection"},
      {"expired", "the certificate has expired"}};
  int round = 0;
  for (const auto& [certificate, words] : variants) {
    SCOPED_TRACE(certificate);
    const std::string before = secret_token();
    cluster().quay().put("/switches", {{"certificate", certificate}});
    // Another connection: the one that is open has seen the good certificate.
    apply_connection({{"rateLimit", {{"requestsPerSecond", 100}, {"burst", 100 + round}}}});
    wait_for_connection("quay", "TlsFailed");
    annotate_rotate_now(certificate);
    const auto failed = wait_until_failing("TlsFailed");
    ASSERT_TRUE(failed);
    EXPECT_THAT(condition(*failed, "Ready").at("message").get<std::string>(), HasSubstr(words));
    EXPECT_EQ(regenerations(), round);
    EXPECT_EQ(secret_token(), before);
    cluster().quay().remove("/switches");
    apply_connection();
    ASSERT_TRUE(wait_until_rotated(++round));
  }
}

TEST_F(BadInput, AMirrorRegistryWithoutRobots) {
  cluster().quay().put("/switches", {{"noRobotsAPI", true}});
  const OperatorProcess running;
  apply_rotation();
  const auto failed = wait_until_failing("NoRobotsApi");
  ASSERT_TRUE(failed);
  EXPECT_THAT(condition(*failed, "Ready").at("message").get<std::string>(),
              HasSubstr("check the url; the small mirror registry has none"));
  wait_for_connection("quay", "NoRobotsApi");
}

// As after an upgrade that was rolled back: the API server has stored what this version cannot
// read.
TEST_F(BadInput, AResourceOfANewerSchema) {
  const std::string name = "robottokenrotations.quayrotator.dev";
  json crd = json::parse(cluster().kubectl_ok({"get", "crd", name, "-o", "json"}));
  for (const char* field : {"creationTimestamp", "managedFields", "resourceVersion", "uid"}) {
    crd["metadata"].erase(field);
  }
  crd.erase("status");
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
      {"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  struct Restore {
    ~Restore() {
      cluster().kubectl_ok(
          {"replace", "-f", cluster().source("crds/quayrotator.dev_robottokenrotations.yaml")});
    }
  } restore;
  cluster().kubectl_ok({"replace", "-f", "-"}, crd.dump());

  json newer = rotation_spec("newer", "quay");
  newer["strategy"] = {{"type", "Follow"}};
  newer["verify"] = {{"level", "Pull"}};
  json cron = rotation_spec("cron", "quay");
  cron["schedule"] = {{"cron", "0 3 * * SUN"}};
  json number = rotation_spec("number", "quay");
  number["schedule"]["interval"] = 3600;
  json elsewhere = rotation_spec("elsewhere", "quay");
  elsewhere["connectionRef"]["kind"] = "ClusterQuayConnection";
  json unknown = rotation_spec("unknown", "quay");
  unknown["fieldOfTheFuture"] = {{"a", 1}};
  cluster().quay().put("/robots/acme+" + robot_of("unknown"), json::object());
  const json objects{object_of("RobotTokenRotation", "newer", newer),
                     object_of("RobotTokenRotation", "cron", cron),
                     object_of("RobotTokenRotation", "number", number),
                     object_of("RobotTokenRotation", "elsewhere", elsewhere),
                     object_of("RobotTokenRotation", "empty", json::object()),
                     object_of("RobotTokenRotation", "unknown", unknown)};
  const std::string list = json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}}.dump();
  // Nothing tells when the API server obeys a changed schema but an object that it accepts.
  ProgramResult stored;
  for (int attempt = 0; attempt < 100; ++attempt) {
    stored = cluster().kubectl({"-n", ns(), "apply", "--validate=false", "-f", "-"}, list);
    if (stored.code == 0) break;
  }
  ASSERT_EQ(stored.code, 0) << stored.output;

  OperatorProcess running;
  const std::map<std::string, std::string> problems{{"newer", "spec.strategy.type"},
                                                    {"cron", "spec.schedule.interval"},
                                                    {"number", "spec.schedule.interval"},
                                                    {"elsewhere", "spec.connectionRef.kind"},
                                                    {"empty", "spec.connectionRef"}};
  for (const auto& [resource, words] : problems) {
    SCOPED_TRACE(resource);
    const auto failed = wait_until_failing("InvalidSpec", resource);
    ASSERT_TRUE(failed);
    EXPECT_THAT(condition(*failed, "Ready").at("message").get<std::string>(),
                AllOf(HasSubstr(words), HasSubstr("expected")));
    EXPECT_EQ(condition(*failed, "Stalled").at("status"), "True");
    EXPECT_FALSE(failed->at("status").contains("robots"));
    EXPECT_FALSE(failed->at("status").contains("next"));
    EXPECT_TRUE(cluster().get(kube::secrets, key(resource)).is_null());
  }
  ASSERT_TRUE(wait_until_ready("unknown")) << "fields that are not known do no harm";
  EXPECT_EQ(secret_token("unknown"), quay_token("acme+" + robot_of("unknown")));
  EXPECT_EQ(running.terminate(), 0);
  cluster().kubectl_ok({"-n", ns(), "delete", "rtr", "--all"});
}

// By hand, or of a newer version that was rolled back.
TEST_F(BadInput, AStatusThatMakesNoSense) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string fingerprint = rotation().at("status").at("robots").at(0).at("fingerprint");
  const auto patch = [&](const json& status) {
    return cluster().kubectl({"-n", ns(), "patch", "rtr", "puller", "--subresource=status",
                              "--type=merge", "-p", json{{"status", status}}.dump()});
  };
  const json active{{"name", "acme+" + robot()}, {"role", "Active"}};
  const auto robots = [&](const json& first, const json& second) {
    json list = json::array({active});
    list[0].merge_patch(first);
    if (!second.is_null()) list.push_back(second);
    return json{{"robots", list}};
  };
  const json nonsense = robots({{"fingerprint", "nonsense"}}, nullptr);
  const json no_ledger{{"rotation", json::object()}};
  EXPECT_THAT(patch(nonsense).output, HasSubstr("should match"));
  EXPECT_THAT(patch(robots({{"role", "Twin"}}, nullptr)).output, HasSubstr("Unsupported value"));
  EXPECT_THAT(patch(robots(json::object(), active)).output, HasSubstr("Duplicate value"));
  EXPECT_THAT(patch(robots(json::object(), {{"name", "acme+other"}, {"role", "Active"}})).output,
              HasSubstr("at most one robot is Active"));
  EXPECT_THAT(patch({{"next", {{"reason", nullptr}}}}).output, HasSubstr("Required value"));
  EXPECT_THAT(patch(no_ledger).output, HasSubstr("Required value"));
  EXPECT_THAT(patch({{"consecutiveFailures", -1}}).output, HasSubstr("greater than or equal to 0"));
  const auto wait_until_mended = [&] {
    return cluster().wait_for("mended", api::rotations, key("puller"), [&](const json& object) {
      const json& status = object.at("status");
      return !status.contains("rotation") &&
             status.at("robots").at(0).value("fingerprint", "") == fingerprint;
    });
  };
  const ProgramResult newer = patch({{"rotation",
                                      {{"id", "1"},
                                       {"robot", "acme+" + robot()},
                                       {"reason", "Incident"},
                                       {"previousFingerprint", "sha256:0000000000000000"}}}});
  EXPECT_EQ(newer.code, 0) << newer.output;
  ASSERT_TRUE(wait_until_mended());

  // What an older schema let in.
  const std::string name = "robottokenrotations.quayrotator.dev";
  json crd = json::parse(cluster().kubectl_ok({"get", "crd", name, "-o", "json"}));
  for (const char* field : {"creationTimestamp", "managedFields", "resourceVersion", "uid"}) {
    crd["metadata"].erase(field);
  }
  crd.erase("status");
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = {
      {"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  struct Restore {
    ~Restore() {
      cluster().kubectl_ok(
          {"replace", "-f", cluster().source("crds/quayrotator.dev_robottokenrotations.yaml")});
    }
  } restore;
  cluster().kubectl_ok({"replace", "-f", "-"}, crd.dump());
  for (const json& status : {nonsense, no_ledger}) {
    // Nothing tells when the API server obeys a changed schema but an object that it accepts.
    ProgramResult stored{1, ""};
    for (int attempt = 0; attempt < 100 && stored.code != 0; ++attempt) stored = patch(status);
    ASSERT_EQ(stored.code, 0) << stored.output;
    ASSERT_TRUE(wait_until_mended());
    expect_event("StatusUnreadable");
  }
  EXPECT_EQ(regenerations(), 0);
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(BadInput, IllegalNamesAreRefusedAtAdmission) {
  const std::vector<std::string> names{"acme+puller", "Puller", "..", "a", "a/b", "a b", "-a", ""};
  for (const std::string& name : names) {
    json spec = rotation_spec("any", "quay");
    spec["robot"]["name"] = name;
    const ProgramResult refused =
        cluster().kubectl({"-n", ns(), "apply", "--dry-run=server", "-f", "-"},
                          object_of("RobotTokenRotation", "any", spec).dump());
    EXPECT_NE(refused.code, 0) << name;
    EXPECT_THAT(refused.output,
                HasSubstr("must be the robot's short name (puller, not acme+puller)"));
  }
}

}  // namespace
}  // namespace quay_rotator::cluster
