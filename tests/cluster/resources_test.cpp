// What is shipped for the API server: CRDs, examples, the chart and its rights, and how many
// requests they are used for.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "api/group.h"
#include "base/time.h"
#include "cluster/audit_log.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Resources : public ClusterTest {
 protected:
  static json good(const std::string& kind) {
    if (kind == "QuayConnection") {
      return {{"apiVersion", "quayrotator.dev/v1alpha1"},
              {"kind", kind},
              {"metadata", {{"name", "good"}}},
              {"spec",
               {{"url", "https://quay.example.com"}, {"credentialsSecretRef", {{"name", "a"}}}}}};
    }
    return {{"apiVersion", "quayrotator.dev/v1alpha1"},
            {"kind", kind},
            {"metadata", {{"name", "good"}}},
            {"spec",
             {{"connectionRef", {{"name", "quay"}}},
              {"robot", {{"organization", "acme"}, {"name", "puller"}}},
              {"schedule", {{"interval", "720h"}}},
              {"targets", {{{"secret", {{"name", "quay-pull"}}}}}}}}};
  }
  ProgramResult try_out(const json& object) {
    return cluster().kubectl({"-n", ns(), "apply", "--dry-run=server", "-f", "-"}, object.dump());
  }
  void expect_refused(const std::string& kind, const json& spec, const std::string& message) {
    SCOPED_TRACE(spec.dump());
    json object = good(kind);
    object["spec"].merge_patch(spec);
    const ProgramResult result = try_out(object);
    EXPECT_NE(result.code, 0);
    EXPECT_THAT(result.output, HasSubstr(message));
  }

  // All requests of a user so far, leases and watches left out.
  static json requests_of(const std::string& user) {
    std::ifstream file(cluster().value("auditLog"));
    json requests = json::array();
    for (std::string line; std::getline(file, line);) {
      const json entry = json::parse(line, nullptr, false);
      if (!entry.is_object() || entry.at("user").value("username", "") != user) continue;
      const json object = entry.value("objectRef", json::object());
      if (object.value("resource", "") == "leases" || entry.at("verb") == "watch") continue;
      requests.push_back(
          {{"verb", entry.at("verb")},
           {"uri", entry.at("requestURI")},
           {"code", entry.value("responseStatus", json::object()).value("code", 0)}});
    }
    return requests;
  }
  static void expect_nothing_forbidden(const std::string& user) {
    const json requests = requests_of(user);
    EXPECT_GT(requests.size(), 3U);
    for (const json& request : requests) EXPECT_NE(request.at("code"), 403) << request;
  }

  // "verb resource" of all that a role, named as kubectl get wants it, allows.
  static std::set<std::string> rights_of(std::vector<std::string> role) {
    role.insert(role.begin(), "get");
    role.insert(role.end(), {"-o", "json"});
    std::set<std::string> rights;
    const json object = json::parse(cluster().kubectl_ok(role));
    for (const json& rule : object.at("rules")) {
      for (const std::string resource : rule.at("resources")) {
        for (const std::string verb : rule.at("verbs")) rights.insert(verb + " " + resource);
      }
    }
    return rights;
  }

  std::string example(const std::string& name) {
    std::string text = read_file(cluster().source("docs/examples/" + name));
    const std::string from = "https://quay.example.com";
    const auto place = text.find(from);
    if (place != std::string::npos) text.replace(place, from.size(), cluster().quay_url());
    return text;
  }
};

TEST_F(Resources, ExplainThemselves) {
  const std::string rotation = cluster().kubectl_ok({"explain", "rtr.spec", "--recursive"});
  for (const char* field : {"connectionRef", "robot", "strategy", "schedule", "initial", "targets",
                            "verify", "onForeignRotation", "deletionPolicy", "suspend"}) {
    EXPECT_THAT(rotation, HasSubstr(field));
  }
  EXPECT_THAT(cluster().kubectl_ok({"explain", "rtr.spec.schedule.interval"}),
              HasSubstr("A changed interval"));
  EXPECT_THAT(cluster().kubectl_ok({"explain", "rtr"}),
              HasSubstr("quayrotator.dev/rotate-requested-at"));
  EXPECT_THAT(cluster().kubectl_ok({"explain", "qc.spec.url"}), HasSubstr("Redirects are never"));
  const std::string names =
      cluster().kubectl_ok({"api-resources", "--categories=quay", "--no-headers"});
  EXPECT_THAT(names, AllOf(HasSubstr("rtr"), HasSubstr("qc")));
}

TEST_F(Resources, ArePrintedWithWhatMatters) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string robot_name = "acme+" + robot();
  const std::string narrow = cluster().kubectl_ok({"-n", ns(), "get", "rtr"});
  for (const char* column : {"NAME", "ROBOT", "READY", "REASON", "LAST", "NEXT", "AGE"}) {
    EXPECT_THAT(narrow, HasSubstr(column));
  }
  EXPECT_THAT(narrow, AllOf(HasSubstr(robot_name), HasSubstr("True"), HasSubstr("Current"),
                            HasSubstr(rotation().at("status").at("next").at("time"))));
  EXPECT_THAT(narrow, AllOf(Not(HasSubstr("<invalid>")), Not(HasSubstr("FINGERPRINT"))));
  EXPECT_THAT(cluster().kubectl_ok({"-n", ns(), "get", "rtr", "-o", "wide"}),
              AllOf(HasSubstr("INTERVAL"), HasSubstr("NEXT REASON"), HasSubstr("Interval"),
                    HasSubstr("FINGERPRINT"), HasSubstr("sha256:"),
                    HasSubstr("1 Secret holds the robot's current token.")));
  EXPECT_THAT(cluster().kubectl_ok({"-n", ns(), "get", "qc"}),
              AllOf(HasSubstr(cluster().quay_url()), HasSubstr("Connected")));
  EXPECT_THAT(cluster().kubectl_ok({"-n", ns(), "get", "quay"}),
              AllOf(HasSubstr("robottokenrotation.quayrotator.dev/puller"),
                    HasSubstr("quayconnection.quayrotator.dev/quay")));
}

TEST_F(Resources, BadConnectionsAreRefusedWithAMessage) {
  const std::string kind = "QuayConnection";
  ASSERT_EQ(try_out(good(kind)).code, 0);
  expect_refused(kind, {{"url", nullptr}}, "spec.url: Required value");
  expect_refused(kind, {{"credentialsSecretRef", nullptr}}, "credentialsSecretRef: Required value");
  for (const char* url : {"quay.example.com", "ftp://quay.example.com", "https://a/b",
                          "https://user@a", "https://a?b", ""}) {
    expect_refused(kind, {{"url", url}}, "must be https://host or https://host:port, without user");
  }
  expect_refused(kind, {{"url", "http://quay.example.com"}},
                 "sends the API token and robot tokens unencrypted");
  expect_refused(kind, {{"ca", json::object()}}, "needs exactly one of secretRef and configMapRef");
  expect_refused(kind,
                 {{"ca", {{"secretRef", {{"name", "a"}}}, {"configMapRef", {{"name", "a"}}}}}},
                 "needs exactly one of secretRef and configMapRef");
  expect_refused(kind, {{"proxyURL", "https://proxy"}}, "must be http://host:port");
  expect_refused(kind, {{"rateLimit", {{"requestsPerSecond", 0}}}}, "must be at least 0.01");
  expect_refused(kind, {{"noSuchField", 1}}, "noSuchField");
}

TEST_F(Resources, BadStrategiesAreRefusedWithAMessage) {
  const std::string kind = "RobotTokenRotation";
  const auto refused = [&](const json& strategy, const std::string& message) {
    expect_refused(kind, {{"strategy", strategy}}, message);
  };
  const auto alternate = [](const json& spec) {
    json all = {{"standby", {{"name", "puller-b"}}}};
    all.merge_patch(spec);
    return json{{"type", "Alternate"}, {"alternate", all}};
  };
  json good_one = good(kind);
  good_one["spec"]["strategy"] = alternate({{"overlap", "24h"}, {"retire", "Keep"}});
  const auto accepted = try_out(good_one);
  ASSERT_EQ(accepted.code, 0) << accepted.output;
  refused({{"type", "Rotate"}}, "strategy.type");
  refused({{"type", "Alternate"}}, "alternate is required with type Alternate");
  refused({{"alternate", {{"standby", {{"name", "puller-b"}}}}}}, "and for no other");
  refused(alternate({{"standby", nullptr}}), "alternate.standby: Required value");
  refused(alternate({{"standby", {{"name", "acme+b"}}}}), "puller-b, not acme+puller-b");
  refused(alternate({{"standby", {{"name", good(kind)["spec"]["robot"]["name"]}}}}),
          "the standby must be another robot than robot.name");
  refused(alternate({{"overlap", "720h"}}), "overlap must be shorter than schedule.interval");
  refused(alternate({{"overlap", "1s"}}), "must be between 1m and");
  refused(alternate({{"overlap", "1d"}}), "must be a duration of hours, minutes and seconds");
  refused(alternate({{"retire", "Delete"}}), "alternate.retire");
  const json federate = {{"type", "Federate"}, {"federate", {{"serviceAccount", "puller"}}}};
  refused(federate, "schedule is required, except with the strategy Federate");
  refused({{"type", "Federate"}}, "federate is required with type Federate");
  expect_refused(
      kind,
      {{"schedule", nullptr}, {"strategy", {{"type", "Federate"}, {"federate", json::object()}}}},
      "federate.serviceAccount: Required value");
  good_one["spec"].erase("schedule");
  good_one["spec"]["strategy"] = federate;
  EXPECT_EQ(try_out(good_one).code, 0);
}

TEST_F(Resources, BadRotationsAreRefusedWithAMessage) {
  const std::string kind = "RobotTokenRotation";
  ASSERT_EQ(try_out(good(kind)).code, 0);
  for (const char* field : {"connectionRef", "robot", "targets"}) {
    expect_refused(kind, {{field, nullptr}}, std::string("spec.") + field + ": Required value");
  }
  expect_refused(kind, {{"schedule", nullptr}}, "schedule is required, except with the strategy");
  expect_refused(kind, {{"connectionRef", {{"kind", "Secret"}}}}, "connectionRef.kind");
  expect_refused(kind, {{"robot", {{"name", "acme+puller"}}}}, "puller, not acme+puller");
  expect_refused(kind, {{"robot", {{"organization", "Acme"}}}},
                 "must be the name of a Quay organi");
  for (const char* interval : {"", "soon", "10", "-1h", "1d"}) {
    expect_refused(kind, {{"schedule", {{"interval", interval}}}},
                   "must be a duration of hours, minutes and seconds");
  }
  for (const char* interval : {"9s", "0h", "87601h"}) {
    expect_refused(kind, {{"schedule", {{"interval", interval}}}},
                   "must be between 10s and 87600h");
  }
  expect_refused(kind, {{"schedule", {{"jitter", "some"}}}},
                 "must be a duration of hours, minutes and seconds");
  expect_refused(kind, {{"schedule", {{"jitter", "720h"}}}},
                 "jitter must be shorter than interval");
  expect_refused(kind, {{"targets", json::array()}}, "should have at least 1 items");
  const json target = {{"secret", {{"name", "a"}}}};
  expect_refused(kind, {{"targets", {target, target}}}, "two targets have the same secret.name");
  const auto with = [&](const json& change) {
    json changed = target;
    changed.merge_patch(change);
    return json{{"targets", {changed}}};
  };
  expect_refused(kind, with({{"secret", {{"name", "A_b"}}}}), "must be a Secret's name");
  expect_refused(kind, with({{"secret", {{"labels", {{"quayrotator.dev/a", "b"}}}}}}),
                 "are the operator's own labels");
  expect_refused(kind, with({{"secret", {{"annotations", {{"quayrotator.dev/rotation", "b"}}}}}}),
                 "are the operator's own annotations");
  expect_refused(kind, with({{"registries", {"https://quay.example.com"}}}),
                 "in lower case and without https://");
  expect_refused(kind, with({{"registries", {"a", "a"}}}), "Duplicate value");
  expect_refused(kind, {{"initial", "Later"}}, "spec.initial");
  expect_refused(kind, {{"verify", {{"level", "Pull"}}}}, "spec.verify.level");
  expect_refused(kind, {{"deletionPolicy", "Maybe"}}, "spec.deletionPolicy");
  expect_refused(kind, {{"onForeignRotation", "Ignore"}}, "spec.onForeignRotation");

  apply(good(kind));
  expect_refused(kind, {{"robot", {{"name", "other"}}}}, "the robot cannot be changed");
  expect_refused(kind, {{"robot", {{"organization", nullptr}}}}, "the robot cannot be changed");
}

TEST_F(Resources, ExamplesAreAcceptedAndWork) {
  for (const char* name : {"connection.yaml", "connection-private-ca.yaml", "rotation.yaml",
                           "rotation-full.yaml", "rotation-user-robot.yaml",
                           "rotation-alternate.yaml", "rotation-federate.yaml", "pod.yaml"}) {
    const ProgramResult result =
        cluster().kubectl({"-n", ns(), "apply", "--dry-run=server", "--validate=strict", "-f",
                           cluster().source(std::string("docs/examples/") + name)});
    EXPECT_EQ(result.code, 0) << name << ": " << result.output;
  }
  for (const char* name :
       {"acme+puller", "acme+builder", "admin+laptop", "acme+puller-a", "acme+puller-b"}) {
    cluster().quay().put(std::string("/robots/") + name, json::object());
  }
  cluster().kubectl_ok({"-n", ns(), "apply", "-f", "-"}, example("connection.yaml"));
  cluster().kubectl_ok({"-n", ns(), "patch", "qc", "quay", "--type=merge", "-p",
                        R"({"spec":{"ca":{"configMapRef":{"name":"quay-ca"}}}})"});
  for (const char* name : {"rotation.yaml", "rotation-full.yaml", "rotation-user-robot.yaml",
                           "rotation-alternate.yaml"}) {
    cluster().kubectl_ok({"-n", ns(), "apply", "-f", "-"}, example(name));
  }
  const OperatorProcess running;
  for (const char* name : {"puller", "builder", "laptop", "puller-alternating"})
    ASSERT_TRUE(wait_until_ready(name));
  EXPECT_EQ(secret_token("quay-pull"), quay_token("acme+puller"));
  EXPECT_EQ(secret_token("quay-pull-builder"), quay_token("acme+builder"));
  EXPECT_EQ(secret_token("quay-pull-mirror"), quay_token("acme+builder"));
  EXPECT_EQ(secret_token("quay-pull-laptop"), quay_token("admin+laptop"));
}

TEST_F(Resources, TheChartIsInOrder) {
  const ProgramResult lint =
      cluster().helm({"lint", "--strict", cluster().source("charts/quay-rotator")});
  EXPECT_EQ(lint.code, 0) << lint.output;
  const std::string chart = cluster().source("charts/quay-rotator");
  const std::string all = cluster().helm_template({"any", chart});
  EXPECT_THAT(all, AllOf(HasSubstr("kind: Deployment"), HasSubstr("kind: ClusterRole\n"),
                         HasSubstr("robottokenrotations.quayrotator.dev")));
  const ProgramResult accepted =
      cluster().kubectl({"-n", ns(), "apply", "--dry-run=server", "-f", "-"},
                        cluster().helm_template({"any", chart, "--namespace", ns()}));
  EXPECT_EQ(accepted.code, 0) << accepted.output;
  const std::string namespaced =
      cluster().helm_template({"any", chart, "--set", "namespaces={a,b}"});
  EXPECT_THAT(namespaced, AllOf(HasSubstr("--namespace=a"), HasSubstr("--namespace=b"),
                                Not(HasSubstr("ClusterRoleBinding"))));
}

TEST_F(Resources, NamespacedModeNeedsAndHasNoRightsElsewhere) {
  const std::string elsewhere = cluster().make_namespace();
  cluster().kubectl_ok(
      {"apply", "-f", "-"},
      cluster().helm_template({"one", cluster().source("charts/quay-rotator"), "--namespace",
                               "quay-rotator", "--set", "namespaces={" + ns() + "}"}));
  // The Deployment has no node to run on; its ServiceAccount is what is wanted.
  cluster().kubectl_ok({"-n", "quay-rotator", "delete", "deployment", "one-quay-rotator"});
  const std::string kubeconfig = cluster()
                                     .control()
                                     .post("/kubeconfig", {{"namespace", "quay-rotator"},
                                                           {"serviceAccount", "one-quay-rotator"}})
                                     .at("path");
  json foreign = good("RobotTokenRotation");
  cluster().kubectl_ok({"-n", elsewhere, "apply", "-f", "-"}, foreign.dump());

  OperatorProcess running(
      {.arguments = {"--namespace=" + ns(), "--leader-election-id=one-quay-rotator"},
       .kubeconfig = kubeconfig});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  expect_event("Rotated");
  EXPECT_EQ(cluster().get(api::rotations, {elsewhere, "good"}).at("status"),
            json({{"observedGeneration", -1}}));
  EXPECT_EQ(running.terminate(), 0);
  expect_nothing_forbidden("system:serviceaccount:quay-rotator:one-quay-rotator");

  OperatorProcess everywhere({.kubeconfig = kubeconfig, .wait_until_ready = false});
  EXPECT_THAT(everywhere.wait_for_log("cannot read from the API server").at("error"),
              HasSubstr("at the cluster scope"));
  cluster().kubectl_ok({"-n", elsewhere, "delete", "rtr", "--all"});
}

TEST_F(Resources, AWholeLifeNeedsTheRightsThatTheChartGivesAndNoOthers) {
  AuditLog audit(cluster().value("auditLog"));
  cluster().kubectl_ok(
      {"-n", "quay-rotator", "delete", "lease", "quay-rotator", "--ignore-not-found"});
  OperatorProcess running({.arguments = {"--drift-interval=1s"}});
  const json policy{{"deletionPolicy", "Delete"}};
  apply_rotation({.secrets = {"keep", "drop"}, .more = policy});
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "keep"});
  expect_secret_current("keep");
  cluster().quay().post("/robots/acme+" + robot() + "/regenerate");
  expect_secret_current("keep");
  apply_rotation({.secrets = {"keep"}, .more = policy});
  cluster().wait_for("deleted", kube::secrets, key("drop"),
                     [](const json& object) { return object.is_null(); });
  EXPECT_EQ(running.terminate(), 0);
  expect_nothing_forbidden(operator_user);

  std::set<std::string> granted = rights_of({"clusterrole", "quay-rotator.quay-rotator"});
  granted.merge(rights_of({"-n", "quay-rotator", "role", "quay-rotator-leader-election"}));
  // A server-side apply of what is not there yet needs this too, and is a patch.
  granted.erase("create secrets");
  for (const AuditEntry& request : audit.read()) {
    if (request.user == operator_user) granted.erase(request.verb + " " + request.resource);
  }
  EXPECT_THAT(granted, testing::IsEmpty()) << "granted, and used by nothing";
}

TEST_F(Resources, ARotationCostsTheApiServerFiveRequests) {
  const OperatorProcess running;
  cluster().wait_for("ready", api::connections, key("quay"),
                     [](const json& object) { return condition(object, "Ready").is_object(); });
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  expect_event("Adopted");
  cluster().wait_for("initialized", api::rotations, key("puller"), [](const json& object) {
    return object.at("metadata")
        .value("annotations", json::object())
        .contains("quayrotator.dev/initialized-at");
  });
  AuditLog audit(cluster().value("auditLog"));
  const auto asked = std::chrono::floor<base::WallTime::duration>(std::chrono::system_clock::now());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  expect_event("Rotated");
  auto requests = audit.read_work_of(operator_user);
  // The adoption's Event may be written there only now: after others have seen its effect.
  std::erase_if(requests, [&](const AuditEntry& request) { return request.received < asked; });
  std::string seen;
  for (const AuditEntry& request : requests) seen += request.verb + " " + request.resource + "\n";
  EXPECT_LE(requests.size(), 5U) << seen;
  EXPECT_GE(requests.size(), 4U) << "not all of them are seen:\n" << seen;
}

}  // namespace
}  // namespace quay_rotator::cluster
