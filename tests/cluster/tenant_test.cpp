// What a tenant tries who may write QuayConnections and RobotTokenRotations, on a real API server.
#include <unistd.h>

#include "api/group.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;

class Tenant : public ClusterTest {
 protected:
  static json connection_spec(const json& more) {
    json spec{{"url", cluster().quay_url()},
              {"credentialsSecretRef", {{"name", "quay-api"}}},
              {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}}};
    spec.merge_patch(more);
    return spec;
  }
  static json connection(const std::string& name, const json& more) {
    return {{"apiVersion", "quayrotator.dev/v1alpha1"},
            {"kind", "QuayConnection"},
            {"metadata", {{"name", name}}},
            {"spec", connection_spec(more)}};
  }
  json wait_for_ready(const std::string& name, const std::string& reason) {
    return cluster()
        .wait_for("Ready with reason " + reason, api::connections, key(name),
                  [&](const json& object) {
                    const json ready = condition(object, "Ready");
                    return ready.is_object() && ready.at("reason") == reason;
                  })
        .value_or(json());
  }
  // Requests of anybody, from now on.
  static std::int64_t last_request() {
    const json entries = cluster().quay().get("/journal");
    return entries.empty() ? 0 : entries.back().at("sequence").get<std::int64_t>();
  }
  static json requests_after(std::int64_t sequence) {
    return cluster().quay().get("/journal?after=" + std::to_string(sequence));
  }
};

TEST_F(Tenant, ReachesNoMetadataServiceNorTheOperatorsOwnMachine) {
  cluster().kubectl_ok({"-n", ns(), "delete", "quayconnection", "quay"});
  const std::string url = cluster().quay_url();
  const std::string port = url.substr(url.rfind(':'));
  const auto before = last_request();
  const std::vector<json> attempts{
      {{"url", "https://169.254.169.254"}},
      {{"url", "http://169.254.169.254"}, {"allowInsecure", true}},
      {{"url", "https://2852039166"}},
      {{"url", "https://0xa9.0xfe.0xa9.0xfe"}},
      {{"url", "https://2130706433" + port}},
      {{"url", "https://127.0.0.2" + port}},
      {{"proxyURL", "http://169.254.169.254:80"}},
      {{"proxyURL", "http://100.100.100.200"}},
  };
  for (std::size_t i = 0; i < attempts.size(); ++i) {
    apply(connection("attempt-" + std::to_string(i), attempts[i]));
  }
  OperatorProcess running;
  for (std::size_t i = 0; i < attempts.size(); ++i) {
    SCOPED_TRACE(attempts[i].dump());
    const json refused = wait_for_ready("attempt-" + std::to_string(i), "HostNotAllowed");
    ASSERT_TRUE(refused.is_object());
    EXPECT_EQ(condition(refused, "Ready").at("status"), "False");
    EXPECT_THAT(condition(refused, "Ready").at("message").get<std::string>(),
                HasSubstr("is never called"));
  }
  EXPECT_EQ(requests_after(before), json::array());
  EXPECT_EQ(running.terminate(), 0);
}

TEST_F(Tenant, AHostThatIsNotAllowedGetsNoRequest) {
  const auto before = last_request();
  apply_rotation();
  apply(connection("through-a-proxy", {{"url", "https://quay.example.com"},
                                       {"proxyURL", "http://proxy.example.net:3128"}}));
  {
    OperatorProcess running({.allowed_quay_hosts = {"*.example.com"}});
    for (const char* name : {"quay", "through-a-proxy"}) {
      const json refused = wait_for_ready(name, "HostNotAllowed");
      ASSERT_TRUE(refused.is_object());
      EXPECT_THAT(condition(refused, "Ready").at("message").get<std::string>(),
                  HasSubstr("--allowed-quay-hosts"));
    }
    ASSERT_TRUE(wait_until_failing("HostNotAllowed"));
  }
  EXPECT_EQ(requests_after(before), json::array());
  EXPECT_EQ(regenerations(), 0);

  OperatorProcess running({.allowed_quay_hosts = {"localhost", "127.0.0.1"}});
  ASSERT_TRUE(wait_until_ready());
}

TEST_F(Tenant, ARealmElsewhereGetsNoCredential) {
  cluster().quay().post("/faults",
                        {{"match", {{"endpoint", "v2-challenge"}}},
                         {"action", "answer"},
                         {"status", 401},
                         {"headers",
                          {{"WWW-Authenticate",
                            R"(Bearer realm="https://tokens.example.invalid/auth",service="q")"}}},
                         {"body", "{}"}});
  OperatorProcess running;
  apply_rotation();
  cluster().wait_for("Verified with reason RealmRefused", api::rotations, key("puller"),
                     [](const json& object) {
                       const json verified = condition(object, "Verified");
                       return verified.is_object() && verified.at("reason") == "RealmRefused";
                     });
  EXPECT_EQ(journal("endpoint=auth"), json::array());
}

TEST_F(Tenant, NamesNoSecretOfAnotherNamespace) {
  const std::string elsewhere = cluster().make_namespace();
  const auto rotation_into = [&](const json& secret) {
    return json{{"apiVersion", "quayrotator.dev/v1alpha1"},
                {"kind", "RobotTokenRotation"},
                {"metadata", {{"name", "puller"}}},
                {"spec",
                 {{"connectionRef", {{"name", "quay"}}},
                  {"robot", {{"organization", "acme"}, {"name", robot()}}},
                  {"schedule", {{"interval", "1h"}}},
                  {"targets", {{{"secret", secret}}}}}}}
        .dump();
  };
  const json target{{"name", "quay-pull"}, {"namespace", elsewhere}};
  EXPECT_THAT(cluster().kubectl({"-n", ns(), "apply", "-f", "-"}, rotation_into(target)).output,
              HasSubstr("unknown field"));
  EXPECT_NE(cluster()
                .kubectl({"-n", ns(), "apply", "-f", "-"},
                         rotation_into({{"name", elsewhere + "/quay-pull"}}))
                .code,
            0);
  // A client that does not ask for strictness: the field is dropped.
  cluster().kubectl_ok({"-n", ns(), "apply", "--validate=ignore", "-f", "-"},
                       rotation_into(target));
  OperatorProcess running;
  ASSERT_TRUE(wait_until_ready());
  expect_secret_current();
  EXPECT_FALSE(cluster().get(kube::secrets, {elsewhere, "quay-pull"}).is_object());
}

TEST_F(Tenant, ATargetHasOnlyMetadataThatIsAllowed) {
  const auto try_with = [&](const char* map, const char* key_of_it) {
    const json target{{"secret", {{"name", "quay-pull"}, {map, {{key_of_it, "x"}}}}}};
    return cluster().kubectl({"-n", ns(), "apply", "--dry-run=server", "-f", "-"},
                             json{{"apiVersion", "quayrotator.dev/v1alpha1"},
                                  {"kind", "RobotTokenRotation"},
                                  {"metadata", {{"name", "puller"}}},
                                  {"spec",
                                   {{"connectionRef", {{"name", "quay"}}},
                                    {"robot", {{"organization", "acme"}, {"name", robot()}}},
                                    {"schedule", {{"interval", "1h"}}},
                                    {"targets", {target}}}}}
                                 .dump());
  };
  // Nothing tells when the API server obeys a new policy but a request that it refuses.
  ProgramResult refused;
  for (int attempt = 0; attempt < 200 && refused.code == 0; ++attempt) {
    refused = try_with("annotations", "replicator.v1.mittwald.de/replicate-to");
  }
  EXPECT_THAT(refused.output, HasSubstr("targets may have annotations without a prefix"));
  EXPECT_NE(try_with("labels", "kubed.appscode.com/sync").code, 0);
  for (const char* key_of_it : {"team", "app.kubernetes.io/part-of"}) {
    for (const char* map : {"labels", "annotations"}) {
      const ProgramResult accepted = try_with(map, key_of_it);
      EXPECT_EQ(accepted.code, 0) << accepted.output;
    }
  }
}

TEST_F(Tenant, AConnectionNamesOnlySecretsThatItsWriterMayRead) {
  cluster().kubectl_ok({"-n", ns(), "create", "role", "connections", "--verb=get,create,patch",
                        "--resource=quayconnections.quayrotator.dev"});
  cluster().kubectl_ok(
      {"-n", ns(), "create", "rolebinding", "mallory", "--role=connections", "--user=mallory"});
  const auto try_to = [&](const json& object) {
    return cluster().kubectl({"--as=mallory", "-n", ns(), "apply", "--dry-run=server", "-f", "-"},
                             object.dump());
  };
  const json own = connection("own", {{"url", "https://mallory.example"}});
  json with_ca = own;
  with_ca["spec"]["ca"] = {{"secretRef", {{"name", "known"}}}};
  // Nothing tells when the API server obeys a new policy but a request that it refuses.
  ProgramResult refused;
  for (int attempt = 0; attempt < 200 && refused.code == 0; ++attempt) refused = try_to(own);
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.output, HasSubstr("to name Secret quay-api you need the right to read it"));

  // A connection that is there already is not turned to another host either.
  json turned = connection("quay", {{"url", "https://mallory.example"}});
  EXPECT_THAT(try_to(turned).output, HasSubstr("to name Secret quay-api you need"));

  cluster().kubectl_ok({"-n", ns(), "create", "role", "reader", "--verb=get", "--resource=secrets",
                        "--resource-name=quay-api"});
  cluster().kubectl_ok(
      {"-n", ns(), "create", "rolebinding", "reader", "--role=reader", "--user=mallory"});
  ProgramResult accepted{1, ""};
  for (int attempt = 0; attempt < 200 && accepted.code != 0; ++attempt) accepted = try_to(own);
  EXPECT_THAT(try_to(with_ca).output, HasSubstr("to name Secret known you need"));
  EXPECT_EQ(accepted.code, 0) << accepted.output;
}

}  // namespace
}  // namespace quay_rotator::cluster
