// Keyless: the real API server signs, a Quay checks that against its discovery documents, and the
// credential of an hour (here of seconds) is in the Secret before the last one ends.
#include <atomic>
#include <thread>

#include "api/robot_token_rotation.h"
#include "cluster/audit_log.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Federation : public ClusterTest {
 protected:
  static void SetUpTestSuite() {
    install({"--set", "federate.enabled=true"});
    cluster().kubectl_ok({"create", "clusterrolebinding", "issuer-discovery",
                          "--clusterrole=system:service-account-issuer-discovery",
                          "--group=system:unauthenticated"});
  }
  static void TearDownTestSuite() {
    cluster().kubectl({"delete", "clusterrolebinding", "issuer-discovery"});
    install({});
  }

  void SetUp() override {
    ClusterTest::SetUp();
    set_lifetime("1h");
    cluster().kubectl_ok({"-n", ns(), "create", "serviceaccount", "puller"});
  }

  void consent() {
    cluster().kubectl_ok({"-n", ns(), "annotate", "serviceaccount", "puller",
                          "quayrotator.dev/federate-with=" + cluster().registry()});
  }
  void apply_federated(const json& more = json::object()) {
    json federate{{"serviceAccount", "puller"}};
    federate.merge_patch(more);
    const json strategy{{"type", "Federate"}, {"federate", federate}};
    apply_rotation({.more = {{"schedule", nullptr}, {"strategy", strategy}}});
  }
  static void set_lifetime(const std::string& lifetime) {
    cluster().quay().put("/switches", {{"issuerCA", cluster().value("caFile")},
                                       {"federatedTokenLifetime", lifetime}});
  }
  [[nodiscard]] json federation() const {
    return cluster().quay().get("/robots/acme+" + robot()).at("federation");
  }
  std::optional<json> wait_for_other_credential(const std::string& than) {
    return cluster().wait_for(
        "another credential", kube::secrets, key("quay-pull"), [&](const json& object) {
          return object.is_object() && object.contains("data") && secret_token() != than;
        });
  }

 private:
  static void install(const std::vector<std::string>& values) {
    std::vector<std::string> arguments{"quay-rotator", cluster().source("charts/quay-rotator"),
                                       "--namespace", "quay-rotator"};
    arguments.insert(arguments.end(), values.begin(), values.end());
    cluster().kubectl_ok({"apply", "-f", "-"}, cluster().helm_template(arguments));
  }
};

bool is_jwt(const std::string& token) {
  return token.starts_with("eyJ");
}

TEST_F(Federation, ExchangesRefreshesAndHeals) {
  set_lifetime("20s");
  consent();
  const OperatorProcess running;
  apply_federated();
  const auto ready = wait_until_ready();
  ASSERT_TRUE(ready);
  const std::string first = secret_token();
  const std::string uid = secret_uid();
  EXPECT_TRUE(is_jwt(first));
  expect_pull("quay-pull");
  expect_event("Federated");
  const json& status = ready->at("status");
  EXPECT_EQ(status.at("next").at("reason"), "Refresh");
  EXPECT_TRUE(status.at("robots").at(0).contains("expires"));
  EXPECT_EQ(status.at("history").size(), 1U);
  EXPECT_EQ(condition(*ready, "Verified").at("status"), "True");

  ASSERT_TRUE(wait_for_other_credential(first));
  EXPECT_TRUE(is_jwt(secret_token()));
  EXPECT_EQ(secret_uid(), uid);
  expect_pull("quay-pull");
  set_lifetime("1h");

  const std::string second = secret_token();
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  ASSERT_TRUE(wait_for_other_credential(second));
  expect_pull("quay-pull");
  const json after = rotation().at("status");
  EXPECT_EQ(after.at("history").size(), 1U) << "a refresh is no rotation";
  EXPECT_FALSE(after.contains("lastRotationTime"));
  EXPECT_EQ(regenerations(), 0);
  EXPECT_EQ(running.log().find(second.substr(second.rfind('.'))), std::string::npos);
}

TEST_F(Federation, AServiceAccountConsentsFirst) {
  const OperatorProcess running;
  apply_federated();
  const auto refused = wait_until_failing("ServiceAccountNotConsenting");
  ASSERT_TRUE(refused);
  EXPECT_THAT(condition(*refused, "Ready").at("message").get<std::string>(),
              HasSubstr("kubectl annotate serviceaccount -n " + ns() + " puller"));
  EXPECT_TRUE(journal("endpoint=federation-exchange").empty());
  consent();
  ASSERT_TRUE(wait_until_ready());
}

TEST_F(Federation, BurnsTheStaticTokenOnceTheSecretsHoldACredential) {
  consent();
  const OperatorProcess running;
  apply_federated();
  ASSERT_TRUE(wait_until_ready());
  const std::string token = quay_token();
  const std::string credential = secret_token();
  apply_federated({{"burnStaticToken", true}});
  ASSERT_TRUE(cluster().wait_for("burned", api::rotations, key("puller"), [](const json& object) {
    return object.at("status").at("robots").at(0).contains("retiredAt") &&
           !object.at("status").contains("rotation");
  }));
  EXPECT_NE(quay_token(), token);
  EXPECT_EQ(regenerations(), 1);
  EXPECT_EQ(secret_token(), credential);
  expect_event("Retired");
  expect_pull("quay-pull");
  EXPECT_EQ(condition(rotation(), "Ready").at("status"), "True");
}

TEST_F(Federation, CostsOneRequestToQuayAndFourToTheApiServer) {
  consent();
  const OperatorProcess running;
  apply_federated();
  ASSERT_TRUE(wait_until_initialized());
  cluster().quay().remove("/journal");
  AuditLog audit(cluster().value("auditLog"));
  const auto asked = std::chrono::system_clock::now();
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_served("now"));
  EXPECT_EQ(journal().size(), 1U) << journal().dump(1);
  std::vector<std::string> requests;
  for (const AuditEntry& entry :
       audit.read_work_of("system:serviceaccount:quay-rotator:quay-rotator")) {
    if (entry.received >= asked) requests.push_back(entry.verb + " " + entry.resource);
  }
  EXPECT_THAT(requests,
              testing::UnorderedElementsAre("get serviceaccounts", "create serviceaccounts/token",
                                            "patch secrets", "patch robottokenrotations/status"));
}

TEST_F(Federation, TheOperatorGetsNoTokenThatTheApiServerTakes) {
  const auto create_token = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--kubeconfig", cluster().operator_kubeconfig(), "-n",
                                         ns(), "create", "token", "puller"});
    return cluster().kubectl(arguments);
  };
  EXPECT_EQ(create_token({"--audience=quay.example.com"}).code, 0);
  for (const std::vector<std::string>& refused : std::vector<std::vector<std::string>>{
           {}, {"--audience=https://kubernetes.default.svc"}, {"--audience=k3s"}}) {
    const ProgramResult result = create_token(refused);
    EXPECT_NE(result.code, 0);
    EXPECT_THAT(result.output, HasSubstr("no token that the API server would take"));
  }
  const ProgramResult longer = create_token({"--audience=quay.example.com", "--duration=2h"});
  EXPECT_THAT(longer.output, HasSubstr("no token that lives longer than an hour"));
}

// The issuer's keys were replaced, or Quay does not trust it: 500. The Secrets stay as they are.
TEST_F(Federation, SaysWhatQuayMayFailAt) {
  consent();
  const json fault = add_fault(
      {{"match", {{"endpoint", "federation-exchange"}}}, {"action", "error-before"}, {"times", 0}});
  const OperatorProcess running;
  apply_federated();
  const auto failing = wait_until_failing("ServerError");
  ASSERT_TRUE(failing);
  EXPECT_THAT(condition(*failing, "Ready").at("message").get<std::string>(),
              HasSubstr("openid-configuration"));
  cluster().quay().remove("/faults");
  ASSERT_TRUE(wait_until_ready());
}

// In place, both ways, while somebody pulls without a pause.
TEST_F(Federation, AStrategyChangesInPlaceWithoutAFailedPull) {
  const json others{{"issuer", "https://ci.example.com"}, {"subject", "repo:acme/app"}};
  cluster().quay().put("/robots/acme+" + robot(), {{"federation", json::array({others})}});
  consent();
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());

  std::atomic<bool> over = false;
  std::string failed;
  int pulls = 0;
  std::thread puller([&] {
    for (; !over; ++pulls) {
      const ProgramResult pull = pull_with(cluster().get(kube::secrets, key("quay-pull")));
      if (pull.code != 0) failed = pull.output;
    }
  });
  apply_federated();
  const bool federated = wait_until_ready().has_value();
  const std::string credential = secret_token();
  const json with_ours = federation();
  apply_rotation({.more = {{"strategy", {{"type", "Regenerate"}}}}});
  cluster().wait_for("the entry is left", api::rotations, key("puller"), [](const json& object) {
    return object.is_object() && !object.at("status").contains("federation");
  });
  const bool back = wait_until_ready().has_value();
  over = true;
  puller.join();

  EXPECT_TRUE(federated && back);
  EXPECT_EQ(failed, "") << "of " << pulls << " pulls one failed";
  EXPECT_TRUE(is_jwt(credential));
  ASSERT_EQ(with_ours.size(), 2U);
  EXPECT_EQ(with_ours.at(0), others);
  EXPECT_EQ(with_ours.at(1).at("subject"), "system:serviceaccount:" + ns() + ":puller");
  EXPECT_THAT(federation(), ElementsAre(others)) << "what others put in stays";
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 0);
  const json status = rotation().at("status");
  std::vector<std::string> reasons;
  for (const json& entry : status.at("history")) reasons.push_back(entry.at("reason"));
  EXPECT_THAT(reasons, ElementsAre("Adopted", "Federated", "Adopted"));
  EXPECT_FALSE(status.at("robots").at(0).contains("expires"));
}

}  // namespace
}  // namespace quay_rotator::cluster
