// Quay, the network or the API server fail in every way that is known of them: each due moment
// still costs one regeneration, and afterwards every Secret holds the token that Quay holds.
#include <csignal>

#include "api/group.h"
#include "base/time.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;

// The operator's --quay-timeout in these tests; a ledger rests twice as long.
constexpr std::chrono::seconds deadline{2};

class Outage : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    cluster().quay().remove("/journal");
  }

  static void set(const json& switches) { cluster().quay().put("/switches", switches); }
  // What keeps Quay's connections alive would hide a new certificate.
  static void show_certificate(const std::string& which) {
    set({{"refuse", true}});
    set({{"refuse", false}, {"certificate", which}});
  }

  static void kill_api_server() { cluster().control().post("/processes/kube-apiserver/kill"); }
  static void start_api_server() { cluster().control().post("/processes/kube-apiserver/start"); }

  std::optional<json> wait_for_connection(const std::string& status, const std::string& reason) {
    return cluster().wait_for("the connection's Ready is " + status + ", reason " + reason,
                              api::connections, key("quay"), [&](const json& object) {
                                const json ready = condition(object, "Ready");
                                return ready.is_object() && ready.at("status") == status &&
                                       ready.at("reason") == reason;
                              });
  }

  void expect_settled(int count) {
    const auto rotated = wait_until_rotated(count);
    ASSERT_TRUE(rotated);
    EXPECT_EQ(condition(*rotated, "Ready").at("status"), "True");
    EXPECT_EQ(regenerations(), count);
    EXPECT_EQ(secret_token(), quay_token());
  }

  // An API token of the test's own; its value.
  std::string make_api_token(const std::string& name) {
    return cluster()
        .quay()
        .put("/tokens/" + ns() + "-" + name,
             {{"user", "admin"}, {"scopes", {"org:admin", "user:admin"}}})
        .at("token");
  }
  void revoke_api_token(const std::string& name) {
    cluster().quay().put("/tokens/" + ns() + "-" + name, {{"deleted", true}});
  }
  void store_api_token(const std::string& token) {
    cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-api", "--type=merge", "-p",
                          json{{"stringData", {{"token", token}}}}.dump()});
  }
};

struct Case {
  std::string name;
  json fault;
};

std::string case_name(const testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

// Quay regenerated, but its answer does not tell the token.
class OutageAfterCommit : public Outage, public testing::WithParamInterface<Case> {};

TEST_P(OutageAfterCommit, TheNewTokenIsReadBack) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  json fault = GetParam().fault;
  fault["times"] = 1;
  add_fault(fault);
  annotate_rotate_now("now");
  expect_settled(1);
  const json sent = journal("endpoint=regenerate");
  ASSERT_EQ(sent.size(), 1U) << "sent once: " << sent.dump(1);
  EXPECT_EQ(sent.at(0).at("fault"), fault.at("action"));
}

INSTANTIATE_TEST_SUITE_P(
    Case, OutageAfterCommit,
    testing::Values(Case{"Reset", {{"action", "reset-after"}}},
                    Case{"InternalError", {{"action", "error-after"}}},
                    Case{"HalfABody", {{"action", "half-body"}}},
                    Case{"NothingIn200", {{"action", "empty-200"}}},
                    Case{"HtmlIn200", {{"action", "html-200"}}},
                    Case{"HugeBody", {{"action", "huge-body"}}},
                    Case{"NoToken", {{"action", "no-token"}}},
                    Case{"AnotherRobot", {{"action", "wrong-name"}}},
                    Case{"BadGateway", {{"action", "bad-gateway"}, {"commit", true}}},
                    Case{"GatewayTimeout", {{"action", "gateway-timeout"}, {"commit", true}}},
                    Case{"ByteByByte", {{"action", "drip"}, {"delay", "1s"}}},
                    Case{"TooLate", {{"action", "delay-after"}, {"delay", "20s"}}}),
    case_name);

// Quay did nothing, and its answer does not tell.
class OutageBeforeCommit : public Outage, public testing::WithParamInterface<Case> {};

TEST_P(OutageBeforeCommit, TheRequestIsRepeatedOnlyAfterTwiceTheDeadline) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  json fault = GetParam().fault;
  fault["times"] = 1;
  add_fault(fault);
  annotate_rotate_now("now");
  const auto unclear = wait_until_failing("RotationUnclear");
  ASSERT_TRUE(unclear);
  EXPECT_TRUE(unclear->at("status").contains("rotation")) << "the ledger stays";
  expect_settled(1);
  const json sent = journal("endpoint=regenerate");
  ASSERT_EQ(sent.size(), 2U) << sent.dump(1);
  EXPECT_FALSE(sent.at(0).at("committed"));
  const auto first = base::parse_time(sent.at(0).at("time").get<std::string>());
  const auto second = base::parse_time(sent.at(1).at("time").get<std::string>());
  EXPECT_GE(*second - *first, 2 * deadline);
}

INSTANTIATE_TEST_SUITE_P(
    Case, OutageBeforeCommit,
    testing::Values(Case{"Reset", {{"action", "reset-before"}}},
                    Case{"InternalError", {{"action", "error-before"}}},
                    Case{"NotReadOnlyBut503",
                         {{"action", "answer"}, {"status", 503}, {"contentType", "text/html"}}},
                    Case{"BadGateway", {{"action", "bad-gateway"}}},
                    Case{"GatewayTimeout", {{"action", "gateway-timeout"}}},
                    Case{"HtmlIn200", {{"action", "html-200"}, {"commit", false}}}),
    case_name);

// Quay refused before it changed anything.
class OutageRefused : public Outage, public testing::WithParamInterface<Case> {};

TEST_P(OutageRefused, NothingChangedAndItRotatesOnceWhenQuayLetsIt) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string before = secret_token();
  add_fault(GetParam().fault);
  annotate_rotate_now("now");
  const auto refused = wait_until_failing(GetParam().name);
  ASSERT_TRUE(refused);
  const json& status = refused->at("status");
  EXPECT_FALSE(status.contains("rotation")) << "no ledger: nothing can be in flight";
  EXPECT_TRUE(status.contains("retryAfter"));
  EXPECT_GE(status.at("consecutiveFailures"), 1);
  EXPECT_THAT(condition(*refused, "Ready").at("message").get<std::string>(),
              HasSubstr("nothing was regenerated"));
  EXPECT_EQ(secret_token(), before);
  EXPECT_EQ(regenerations(), 0);
  expect_event("RotationFailed");

  cluster().quay().remove("/faults");
  expect_settled(1);
}

INSTANTIATE_TEST_SUITE_P(
    Case, OutageRefused,
    testing::Values(
        Case{"RateLimited", {{"action", "rate-limited"}}},
        Case{"Redirected", {{"action", "redirect"}}},
        Case{"ReadOnly",
             {{"action", "answer"},
              {"status", 503},
              {"contentType", "application/json"},
              {"body", R"({"message": "System is currently read-only.", "is_readonly": true})"}}}),
    case_name);

TEST_F(Outage, ReadOnlyQuay) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  set({{"readOnly", true}});
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_failing("ReadOnly"));
  EXPECT_EQ(regenerations(), 0);
  set({{"readOnly", false}});
  expect_settled(1);
}

TEST_F(Outage, ABrokenAuditLogChangesTheTokenAllTheSame) {
  const OperatorProcess running;
  apply_rotation({.more = {{"verify", {{"level", "None"}}}}});  // a good login fails as well
  ASSERT_TRUE(wait_until_ready());
  set({{"auditLogBroken", true}});
  annotate_rotate_now("now");
  expect_settled(1);
  const json sent = journal("endpoint=regenerate");
  ASSERT_EQ(sent.size(), 1U) << sent.dump(1);
  EXPECT_EQ(sent.at(0).at("status"), 500);
}

TEST_F(Outage, TheRequestTakesEffectAfterItsTimeIsUp) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  add_fault({{"action", "commit-late"}, {"delay", "1s"}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_failing("RotationUnclear"));
  expect_settled(1);
  EXPECT_EQ(journal("endpoint=regenerate").size(), 1U);
}

TEST_F(Outage, QuayIsAwayForAWhile) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string before = secret_token();
  set({{"refuse", true}});
  annotate_rotate_now("now");
  const auto away = wait_until_failing("Unreachable");
  ASSERT_TRUE(away);
  EXPECT_TRUE(away->at("status").contains("retryAfter"));
  EXPECT_EQ(secret_token(), before);
  set({{"refuse", false}});
  expect_settled(1);
}

// The one outage that Secrets cannot be spared: the old token is dead, the new one cannot be
// written.
TEST_F(Outage, TheApiServerDiesInTheMiddleOfARotation) {
  OperatorProcess running({.arguments = {"--leader-elect=false"}, .quay_timeout = "30s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string uid = secret_uid();
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  kill_api_server();
  cluster().quay().remove("/faults");
  running.wait_for_log("cannot write the status");
  start_api_server();
  expect_settled(1);
  EXPECT_EQ(secret_uid(), uid);
  EXPECT_EQ(running.terminate(), 0);
}

// … and stays away for longer than a lease lives: the operator ends, its next life goes on.
TEST_F(Outage, TheLeaseIsLostInTheMiddleOfARotation) {
  OperatorProcess losing({.quay_timeout = "30s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  kill_api_server();
  EXPECT_EQ(losing.wait(), 1);
  cluster().quay().remove("/faults");
  start_api_server();
  const OperatorProcess next({.quay_timeout = "30s"});
  expect_settled(1);
}

TEST_F(Outage, TheApiServerIsRestarted) {
  OperatorProcess running({.arguments = {"--leader-elect=false"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  kill_api_server();
  start_api_server();
  annotate_rotate_now("now");
  expect_settled(1);
  EXPECT_EQ(running.terminate(), 0);
}

// The operator sleeps through the end of the API server and the deletion of its Secret. A new API
// server begins its history when it starts: only a new list can tell what happened before.
TEST_F(Outage, AnExpiredWatchIsFollowedByAList) {
  OperatorProcess running({.arguments = {"--leader-elect=false"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  running.signal(SIGSTOP);
  cluster().kubectl_ok({"-n", ns(), "label", "secret", "quay-pull", "seen=never"});
  const auto list = cluster().list(kube::secrets, ns());
  ASSERT_TRUE(list);
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  kill_api_server();
  start_api_server();

  // What the operator has seen is no newer than this version, and this one has expired.
  kube::WatchOptions watch;
  watch.resource_version = list->at("metadata").at("resourceVersion");
  watch.timeout = std::chrono::seconds(5);
  std::string answer;
  const auto watched =
      cluster().api().watch(kube::secrets, ns(), watch, {}, [&](std::string_view line) {
        answer = line;
        return false;
      });
  if (!watched) answer += watched.error().message;
  EXPECT_THAT(answer, HasSubstr("too old resource version"));

  running.signal(SIGCONT);
  expect_secret_current();
  expect_event("Healed");
  EXPECT_EQ(regenerations(), 0);
}

TEST_F(Outage, TheApiTokenIsReplacedInItsSecret) {
  store_api_token(make_api_token("old"));
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  store_api_token(make_api_token("new"));
  revoke_api_token("old");
  annotate_rotate_now("now");
  expect_settled(1);
}

TEST_F(Outage, TheApiTokenIsRevokedBeforeItIsReplaced) {
  store_api_token(make_api_token("old"));
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  revoke_api_token("old");
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_failing("ApiTokenRefused"));
  EXPECT_EQ(regenerations(), 0);
  store_api_token(make_api_token("new"));
  expect_settled(1);
}

TEST_F(Outage, TheCertificateAuthorityIsReplaced) {
  const OperatorProcess running({.arguments = {"--drift-interval=1s"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  ASSERT_TRUE(wait_for_connection("True", "Connected"));
  show_certificate("unknown-ca");
  ASSERT_TRUE(wait_for_connection("False", "TlsFailed"));
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_failing("TlsFailed"));
  EXPECT_EQ(regenerations(), 0);

  const std::string other = cluster().quay().get("/").at("otherCA");
  cluster().kubectl_ok({"-n", ns(), "patch", "configmap", "quay-ca", "--type=merge", "-p",
                        json{{"data", {{"ca.crt", read_file(other)}}}}.dump()});
  ASSERT_TRUE(wait_for_connection("True", "Connected"));
  expect_settled(1);
}

class OutageOfTls : public Outage, public testing::WithParamInterface<Case> {};

TEST_P(OutageOfTls, AWrongCertificateIsRefusedAndARightOneTrustedAgain) {
  const OperatorProcess running({.arguments = {"--drift-interval=1s"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  show_certificate(GetParam().fault);
  ASSERT_TRUE(wait_for_connection("False", "TlsFailed"));
  EXPECT_EQ(secret_token(), quay_token());
  show_certificate("good");
  ASSERT_TRUE(wait_for_connection("True", "Connected"));
  annotate_rotate_now("now");
  expect_settled(1);
}

INSTANTIATE_TEST_SUITE_P(Certificate, OutageOfTls,
                         testing::Values(Case{"OfAnotherHost", "wrong-host"},
                                         Case{"Expired", "expired"}),
                         case_name);

// Quay answers 429 to anybody who is faster than the connection says that the operator is to be.
TEST_F(Outage, TheRateLimitOfTheConnectionIsHonoured) {
  apply_connection({{"rateLimit", {{"requestsPerSecond", 5}, {"burst", 1}}}});
  set({{"rateLimit", {{"requestsPerSecond", 10}, {"burst", 8}}}});
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) {
    names.push_back("r" + std::to_string(i));
    const std::string short_name = robot() + names.back();
    cluster().quay().put("/robots/acme+" + short_name, json::object());
    apply_rotation({.name = names.back(), .secrets = {names.back()}, .robot = short_name});
  }
  const OperatorProcess running;  // it finds them all at once
  for (const std::string& name : names) {
    ASSERT_TRUE(wait_until_ready(name));
    EXPECT_EQ(secret_token(name), quay_token("acme+" + robot() + name));
  }
  for (const json& request : cluster().quay().get("/journal")) {
    EXPECT_NE(request.at("status"), 429) << request.dump();
  }
}

}  // namespace
}  // namespace quay_rotator::cluster
