// Look before you leap (I3): nothing is regenerated while a target could not take the new token, or
// while the registry refuses the robot; once the cause is gone the rotation happens by itself.
#include <unistd.h>

#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class Preflight : public ClusterTest {
 protected:
  void TearDown() override {
    remove_policy();
    ClusterTest::TearDown();
  }

  // Waits for the refusal and looks at everything that tells of it; its message.
  std::string expect_refused(const std::string& reason, const std::string& name = "puller") {
    const int before = regenerations();
    const auto refused = wait_until_failing(reason, name);
    if (!refused) return "";
    const json& status = refused->at("status");
    const json preflight = condition(*refused, "Preflight");
    EXPECT_EQ(preflight.at("status"), "False");
    EXPECT_EQ(preflight.at("reason"), reason);
    const std::string message = condition(*refused, "Ready").at("message");
    EXPECT_EQ(preflight.at("message"), message) << "one cause, told once";
    EXPECT_THAT(message, EndsWith("; nothing was regenerated"));
    EXPECT_EQ(condition(*refused, "Reconciling").at("status"), "True");
    EXPECT_GE(status.at("consecutiveFailures"), 1);
    EXPECT_GE(status.at("retryAfter").get<std::string>(),
              condition(*refused, "Reconciling").at("lastTransitionTime").get<std::string>());
    EXPECT_FALSE(status.contains("rotation")) << "no ledger is written before the preflight";
    expect_event("PreflightFailed", name);
    EXPECT_EQ(regenerations(), before);
    return message;
  }

  // A first rotation does not even begin before the current token is in every Secret. Waits for
  // that failure; its message.
  std::string expect_undelivered(const std::string& reason, const std::string& name = "puller") {
    const auto failed = wait_until_failing("PublishFailed", name);
    if (!failed) return "";
    const json published = condition(*failed, "Published");
    EXPECT_EQ(published.at("status"), "False");
    EXPECT_EQ(published.at("reason"), reason);
    EXPECT_EQ(condition(*failed, "Reconciling").at("status"), "True");
    EXPECT_TRUE(failed->at("status").contains("retryAfter"));
    EXPECT_FALSE(failed->at("status").contains("rotation"));
    EXPECT_EQ(regenerations(), 0);
    expect_event("PublishFailed", name);
    return condition(*failed, "Ready").at("message");
  }

  void create_secret(const std::string& type, const std::string& name = "quay-pull") {
    cluster().kubectl_ok({"-n", ns(), "create", "secret", "generic", name, "--type=" + type,
                          R"(--from-literal=.dockerconfigjson={"auths":{}})"});
  }
  void let_take_over(const std::string& secret = "quay-pull") {
    cluster().kubectl_ok(
        {"-n", ns(), "annotate", "secret", secret, "quayrotator.dev/allow-take-over-by=puller"});
  }

  // A policy that refuses pull Secrets of this namespace; returns when it is in force.
  void apply_policy() {
    const std::string name = ns() + "-no-pull-secrets";
    const json policy = {
        {"apiVersion", "admissionregistration.k8s.io/v1"},
        {"kind", "ValidatingAdmissionPolicy"},
        {"metadata", {{"name", name}}},
        {"spec",
         {{"matchConstraints",
           {{"namespaceSelector", {{"matchLabels", {{"kubernetes.io/metadata.name", ns()}}}}},
            {"resourceRules",
             {{{"apiGroups", {""}},
               {"apiVersions", {"v1"}},
               {"operations", {"CREATE", "UPDATE"}},
               {"resources", {"secrets"}}}}}}},
          {"validations",
           {{{"expression", "object.type != 'kubernetes.io/dockerconfigjson'"},
             {"message", "pull Secrets are frozen until Monday"}}}}}}};
    const json binding = {{"apiVersion", "admissionregistration.k8s.io/v1"},
                          {"kind", "ValidatingAdmissionPolicyBinding"},
                          {"metadata", {{"name", name}}},
                          {"spec", {{"policyName", name}, {"validationActions", {"Deny"}}}}};
    cluster().kubectl_ok({"apply", "-f", "-"}, policy.dump() + "\n---\n" + binding.dump());
    // Nothing tells when the API server obeys a new policy but a request that it refuses.
    for (int attempt = 0; attempt < 400; ++attempt) {
      const ProgramResult trial =
          cluster().kubectl({"-n", ns(), "create", "secret", "docker-registry", "trial",
                             "--docker-username=a", "--docker-password=b", "--dry-run=server"});
      if (trial.output.find("frozen until Monday") != std::string::npos) return;
      usleep(50'000);
    }
    ADD_FAILURE() << "the policy never came into force";
  }
  void remove_policy() {
    const std::string name = ns() + "-no-pull-secrets";
    cluster().kubectl({"delete", "--ignore-not-found", "validatingadmissionpolicybinding/" + name,
                       "validatingadmissionpolicy/" + name});
  }
};

TEST_F(Preflight, AnImmutableSecret) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string before = secret_token();
  cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-pull", "-p", R"({"immutable":true})"});
  annotate_rotate_now("now");
  EXPECT_THAT(expect_refused("Immutable"),
              AllOf(HasSubstr("Secret " + ns() + "/quay-pull is marked immutable"),
                    HasSubstr("delete it yourself or choose another name")));
  EXPECT_EQ(secret_token(), before);
  EXPECT_EQ(quay_token(), before) << "what pods pull with is still good";
  const json failing = rotation().at("status").at("targets").at("failing");
  ASSERT_EQ(failing.size(), 1U);
  EXPECT_EQ(failing.at(0).at("kind"), "Secret");
  EXPECT_EQ(failing.at(0).at("namespace"), ns());
  EXPECT_EQ(failing.at(0).at("name"), "quay-pull");
  EXPECT_EQ(failing.at(0).at("reason"), "Immutable");

  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 1);
}

TEST_F(Preflight, ASecretOfAnotherType) {
  create_secret("Opaque");
  let_take_over();
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("WrongType"),
              AllOf(HasSubstr("not of type kubernetes.io/dockerconfigjson"),
                    HasSubstr("delete the Secret yourself or choose another name")));
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(Preflight, AQuotaThatIsUsedUp) {
  const json quota = {{"apiVersion", "v1"},
                      {"kind", "ResourceQuota"},
                      {"metadata", {{"name", "few"}}},
                      {"spec", {{"hard", {{"secrets", "1"}}}}}};
  apply(quota);
  // What a controller-manager would count.
  cluster().kubectl_ok({"-n", ns(), "patch", "resourcequota", "few", "--subresource=status", "-p",
                        R"({"status":{"hard":{"secrets":"1"},"used":{"secrets":"1"}}})"});
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("QuotaExceeded"),
              AllOf(HasSubstr("exceeded quota: few"), HasSubstr("limited: secrets=1"),
                    HasSubstr("raise the quota or remove a Secret that is not needed")));
  EXPECT_EQ(secret_token(), "");
  cluster().kubectl_ok({"-n", ns(), "delete", "resourcequota", "few"});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(Preflight, AnAdmissionPolicyThatComesAndGoes) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  for (int round = 1; round <= 2; ++round) {
    const std::string before = secret_token();
    apply_policy();
    annotate_rotate_now("round-" + std::to_string(round));
    EXPECT_THAT(expect_refused("AdmissionDenied"),
                HasSubstr("pull Secrets are frozen until Monday"));
    EXPECT_EQ(quay_token(), before);
    remove_policy();
    ASSERT_TRUE(wait_until_rotated(round));
    EXPECT_EQ(regenerations(), round);
    EXPECT_EQ(secret_token(), quay_token());
  }
}

TEST_F(Preflight, ASecretOfSomebodyElseAndTheCommandThatTheMessageGives) {
  cluster().kubectl_ok({"-n", ns(), "create", "secret", "docker-registry", "quay-pull",
                        "--docker-server=" + cluster().registry(), "--docker-username=someone",
                        "--docker-password=theirs"});
  const std::string uid = secret_uid();
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  const std::string command = "kubectl -n " + ns() +
                              " annotate secret quay-pull "
                              "quayrotator.dev/allow-take-over-by=puller";
  EXPECT_EQ(expect_undelivered("NotOwned"),
            "1 Secret of 1 could not be written; Secret " + ns() +
                "/quay-pull exists and is managed by \"kubectl-create\": choose another name, "
                "delete it, or let this rotation take it over with \"" +
                command + "\"");
  EXPECT_EQ(secret_token(), "theirs");

  const ProgramResult allowed =
      run_program({"sh", "-c", "kubectl() { \"$KUBECTL\" \"$@\"; }; " + command},
                  {{"KUBECTL", cluster().value("kubectl")},
                   {"KUBECONFIG", cluster().value("adminKubeconfig")}});
  ASSERT_EQ(allowed.code, 0) << allowed.output;
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(secret_uid(), uid) << "taken over in place (I4)";
}

// A pull Secret for three registries, handed over too quickly.
TEST_F(Preflight, ATakeOverThatWouldLoseLogins) {
  const json config = {{"auths",
                        {{"docker.io", {{"auth", "dXNlcjpwYXNz"}}},
                         {"ghcr.io", {{"username", "u"}, {"password", "p"}, {"auth", "dTpw"}}},
                         {cluster().registry(), {{"auth", "b2xkOm9sZA=="}}}}},
                       {"credHelpers", {{"000000000000.dkr.ecr.example.com", "ecr-login"}}}};
  const auto secret_with = [&](const json& content) {
    return json{{"apiVersion", "v1"},
                {"kind", "Secret"},
                {"metadata",
                 {{"name", "quay-pull"},
                  {"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}}}},
                {"type", "kubernetes.io/dockerconfigjson"},
                {"stringData", {{".dockerconfigjson", content.dump()}}}};
  };
  apply(secret_with(config));
  const std::string uid = secret_uid();
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("WouldLoseEntries"),
              AllOf(HasSubstr("also holds credHelpers, docker.io, ghcr.io, which"),
                    HasSubstr("move them to a Secret of their own"), Not(HasSubstr("dTpw"))));
  apply(secret_with({{"auths", {{cluster().registry(), config["auths"][cluster().registry()]}}}}));
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(secret_uid(), uid);
}

TEST_F(Preflight, ASecretOfAnotherController) {
  // A controller that exists, so that the Secret is not collected.
  apply({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "sealed"}}}});
  const json sealed = cluster().get(kube::config_maps, key("sealed"));
  create_secret("kubernetes.io/dockerconfigjson");
  let_take_over();
  const auto own = [&](const json& owners) {
    cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-pull", "--type=merge", "-p",
                          json{{"metadata", {{"ownerReferences", owners}}}}.dump()});
  };
  own({{{"apiVersion", "v1"},
        {"kind", "ConfigMap"},
        {"name", "sealed"},
        {"uid", sealed.at("metadata").at("uid")},
        {"controller", true}}});
  const OperatorProcess running;
  apply_rotation({.more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("ControlledByAnother"),
              AllOf(HasSubstr("is controlled by ConfigMap sealed, which would undo"),
                    HasSubstr("metadata.ownerReferences")));
  own(nullptr);
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(Preflight, ASecretOfAnotherRotation) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string theirs = secret_token();
  const std::string second = "second" + robot();
  cluster().quay().put("/robots/acme+" + second, json::object());
  apply_rotation({.name = "second", .robot = second, .more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("NotOwned", "second"),
              AllOf(HasSubstr("belongs to RobotTokenRotation " + ns() + "/puller"),
                    HasSubstr("choose another name")));
  EXPECT_EQ(regenerations("acme+" + second), 0);
  EXPECT_EQ(secret_token(), theirs);
  apply_rotation({.name = "second",
                  .secrets = {"second-pull"},
                  .robot = second,
                  .more = {{"initial", "Rotate"}}});
  ASSERT_TRUE(wait_until_rotated(1, "second"));
  EXPECT_EQ(secret_token("second-pull"), quay_token("acme+" + second));
  EXPECT_EQ(secret_token(), theirs);
}

TEST_F(Preflight, OneBadTargetHoldsUpTheRotationAndAllAreNamed) {
  create_secret("Opaque", "bad");
  let_take_over("bad");
  cluster().kubectl_ok({"-n", ns(), "create", "secret", "docker-registry", "theirs",
                        "--docker-username=someone", "--docker-password=theirs"});
  const OperatorProcess running;
  apply_rotation({.secrets = {"good", "bad", "theirs"}, .more = {{"initial", "Rotate"}}});
  EXPECT_THAT(expect_undelivered("WrongType"), HasSubstr("and 1 more, see status.targets.failing"));
  EXPECT_EQ(rotation().at("status").at("targets").at("failing").size(), 2U);
  EXPECT_EQ(secret_token("good"), quay_token());
  EXPECT_EQ(secret_token("theirs"), "theirs");
}

TEST_F(Preflight, RobotsAreDisallowedInQuay) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().quay().put("/switches", {{"robotsDisallowed", true}});
  annotate_rotate_now("now");
  EXPECT_THAT(expect_refused("RobotsDisallowed"),
              AllOf(HasSubstr("ROBOTS_DISALLOW"), HasSubstr("ROBOTS_WHITELIST")));
  cluster().quay().remove("/switches");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 1);
}

TEST_F(Preflight, TheRobotsOwnerIsDisabled) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().quay().put("/organizations/acme", {{"disabled", true}});
  annotate_rotate_now("now");
  EXPECT_THAT(expect_refused("RobotOwnerDisabled"),
              HasSubstr("enable the organization or user in Quay"));
  cluster().quay().put("/organizations/acme", {{"disabled", false}});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(regenerations(), 1);
}

TEST_F(Preflight, TheRegistryIsNotAvailable) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().quay().post("/faults", {{"match", {{"endpoint", "auth"}}}, {"action", "error-before"}});
  annotate_rotate_now("now");
  EXPECT_THAT(
      expect_refused("RegistryUnavailable"),
      AllOf(HasSubstr("failed inside (500)"), HasSubstr("says nothing about the credential")));
  cluster().quay().remove("/faults");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(regenerations(), 1);
}

}  // namespace
}  // namespace quay_rotator::cluster
