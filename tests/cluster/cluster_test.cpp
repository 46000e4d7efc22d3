#include "cluster/cluster_test.h"

#include <filesystem>
#include <fstream>

#include "api/group.h"
#include "api/robot_token_rotation.h"
#include "base/base64.h"
#include "base/fingerprint.h"

namespace quay_rotator::cluster {

namespace {

json parsed_config(const json& secret) {
  const auto data =
      base::base64_decode(secret.at("data").at(".dockerconfigjson").get<std::string>());
  return json::parse(data->reveal());
}

}  // namespace

void ClusterTest::SetUp() {
  namespace_ = cluster().make_namespace();
  robot_ = "robot" + namespace_.substr(namespace_.find('-') + 1);
  cluster().quay().remove("/faults");
  cluster().quay().remove("/switches");
  cluster().quay().put("/robots/acme+" + robot_, json::object());
  cluster().quay().put("/repositories/acme/app", {{"permissions", {{"acme+" + robot_, "read"}}}});
  const std::string token = cluster().quay().get("/tokens/automation").at("token");
  cluster().kubectl_ok(
      {"-n", ns(), "create", "secret", "generic", "quay-api", "--from-literal=token=" + token});
  cluster().kubectl_ok({"-n", ns(), "create", "configmap", "quay-ca",
                        "--from-file=ca.crt=" + cluster().value("quayCAFile")});
  apply_connection();
}

void ClusterTest::TearDown() {
  cluster().quay().remove("/faults");
  cluster().quay().remove("/switches");
  // Nothing may go on working on what this test leaves behind.
  cluster().kubectl({"-n", ns(), "delete", "rtr,quayconnections", "--all", "--wait=false"});
}

void ClusterTest::apply(const json& object) {
  cluster().kubectl_ok({"-n", ns(), "apply", "-f", "-"}, object.dump());
}

void ClusterTest::apply_connection(const json& more) {
  json spec{{"url", cluster().quay_url()},
            {"credentialsSecretRef", {{"name", "quay-api"}}},
            {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}}};
  spec.merge_patch(more);
  apply({{"apiVersion", "quayrotator.dev/v1alpha1"},
         {"kind", "QuayConnection"},
         {"metadata", {{"name", "quay"}}},
         {"spec", spec}});
}

void ClusterTest::apply_rotation(const RotationOptions& options) {
  json targets = json::array();
  for (const std::string& secret : options.secrets) {
    targets.push_back({{"secret", {{"name", secret}}}});
  }
  json spec{{"connectionRef", {{"name", "quay"}}},
            {"robot",
             {{"organization", "acme"}, {"name", options.robot.empty() ? robot_ : options.robot}}},
            {"schedule", {{"interval", options.interval}}},
            {"targets", targets}};
  spec.merge_patch(options.more);
  apply({{"apiVersion", "quayrotator.dev/v1alpha1"},
         {"kind", "RobotTokenRotation"},
         {"metadata", {{"name", options.name}}},
         {"spec", spec}});
}

void ClusterTest::annotate_rotate_now(const std::string& value, const std::string& name) {
  cluster().kubectl_ok({"-n", ns(), "annotate", "rtr", name, "--overwrite",
                        "quayrotator.dev/rotate-requested-at=" + value});
}

json ClusterTest::condition(const json& object, const std::string& type) {
  if (!object.is_object() || !object.contains("status")) return nullptr;
  for (const json& entry : object.at("status").value("conditions", json::array())) {
    if (entry.at("type") == type) return entry;
  }
  return nullptr;
}

std::optional<json> ClusterTest::wait_until_initialized(const std::string& name) {
  return cluster().wait_for(
      "the mark of a beginning that is over", api::rotations, key(name), [](const json& marked) {
        return marked.is_object() && marked.at("metadata")
                                         .value("annotations", json::object())
                                         .contains(std::string(api::initialized_annotation));
      });
}

std::optional<json> ClusterTest::wait_until_served(const std::string& request,
                                                   const std::string& name) {
  return cluster().wait_for(
      "served " + request, api::rotations, key(name), [&](const json& object) {
        return object.at("status").value("lastHandledRotateRequest", "") == request &&
               !object.at("status").contains("rotation");
      });
}

std::optional<json> ClusterTest::wait_until_ready(const std::string& name) {
  return cluster().wait_for("Ready", api::rotations, key(name), [](const json& object) {
    const json ready = condition(object, "Ready");
    return ready.is_object() && ready.at("status") == "True" &&
           object.at("status").value("observedGeneration", 0) ==
               object.at("metadata").at("generation");
  });
}

std::optional<json> ClusterTest::wait_until_failing(const std::string& reason,
                                                    const std::string& name) {
  return cluster().wait_for(
      "Ready=False, reason " + reason, api::rotations, key(name), [&](const json& object) {
        const json ready = condition(object, "Ready");
        return ready.is_object() && ready.at("status") == "False" && ready.at("reason") == reason;
      });
}

std::optional<json> ClusterTest::wait_until_rotated(int count, const std::string& name) {
  return cluster().wait_for(
      std::to_string(count) + " rotations", api::rotations, key(name), [&](const json& object) {
        if (!object.is_object() || !object.contains("status")) return false;
        int succeeded = 0;
        for (const json& entry : object.at("status").value("history", json::array())) {
          const std::string reason = entry.at("reason");
          succeeded += entry.at("result") == "Succeeded" && reason != "Adopted" &&
                       reason != "ForeignRotation";
        }
        return succeeded >= count && !object.at("status").contains("rotation");
      });
}

json ClusterTest::rotation(const std::string& name) {
  return cluster().get(api::rotations, key(name));
}

void ClusterTest::expect_event(const std::string& reason, const std::string& name) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  json seen;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto events = cluster().list(kube::events, ns());
    seen = json::array();
    for (const json& event : events ? events->at("items") : json::array()) {
      if (event.at("regarding").at("name") != name) continue;
      if (event.at("reason") == reason) return;
      seen.push_back(event.at("reason"));
    }
    usleep(50'000);  // an Event is written after what it tells of
  }
  ADD_FAILURE() << "no Event " << reason << " on " << name << ", only " << seen.dump();
}

std::string ClusterTest::quay_token(const std::string& full_name) {
  return cluster()
      .quay()
      .get("/robots/" + (full_name.empty() ? "acme+" + robot_ : full_name))
      .at("token");
}

std::string ClusterTest::secret_token(const std::string& secret) {
  const json object = cluster().get(kube::secrets, key(secret));
  if (!object.is_object()) return "";
  const json auths = parsed_config(object).at("auths");
  return auths.begin()->at("password");
}

std::string ClusterTest::secret_uid(const std::string& secret) {
  const json object = cluster().get(kube::secrets, key(secret));
  return object.is_object() ? object.at("metadata").at("uid").get<std::string>() : "";
}

void ClusterTest::expect_secret_current(const std::string& secret, const std::string& full_name) {
  const std::string token = quay_token(full_name);
  cluster().wait_for("the Secret holds the token that Quay holds", kube::secrets, key(secret),
                     [&](const json& object) {
                       if (!object.is_object()) return false;
                       for (const json& entry : parsed_config(object).at("auths")) {
                         if (entry.at("password") != token) return false;
                       }
                       return true;
                     });
}

int ClusterTest::regenerations(const std::string& full_name) {
  return cluster()
      .quay()
      .get("/robots/" + (full_name.empty() ? "acme+" + robot_ : full_name))
      .at("regenerations");
}

json ClusterTest::journal(const std::string& query) {
  return cluster().quay().get("/journal?robot=acme%2B" + robot_ +
                              (query.empty() ? "" : "&" + query));
}

json ClusterTest::add_fault(json fault) {
  if (!fault.contains("match")) {
    fault["match"] = {{"endpoint", "regenerate"}, {"robot", "acme+" + robot_}};
  }
  return cluster().quay().post("/faults", fault);
}

std::string ClusterTest::held_by(const json& fault) {
  const json held =
      cluster().quay().get("/faults/" + std::to_string(fault.at("id").get<int>()) + "?wait=30s");
  return held.value("held", json::array()).empty() ? "nothing" : held.at("held").at(0).at("stage");
}

ProgramResult ClusterTest::pull_with(const json& secret) {
  const std::string file = cluster().directory() + "/" + ns() + "-auth.json";
  write_file(file, parsed_config(secret).dump());
  const std::string certificates =
      std::filesystem::path(cluster().value("quayCAFile")).parent_path();
  return run_program({"skopeo", "inspect", "--raw", "--authfile", file, "--cert-dir", certificates,
                      "docker://" + cluster().value("image")});
}

void ClusterTest::expect_pull(const std::string& secret) {
  const ProgramResult pull = pull_with(cluster().get(kube::secrets, key(secret)));
  EXPECT_EQ(pull.code, 0) << pull.output;
}

}  // namespace quay_rotator::cluster
