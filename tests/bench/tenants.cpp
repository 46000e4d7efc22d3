#include "bench/tenants.h"

#include <stdexcept>

#include "api/group.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;
using nlohmann::json;

void move_in(const std::string& name_space, const std::string& authority) {
  cluster().control().post("/namespaces", {{"name", name_space}});
  json secret = manifest("v1", "Secret", "quay-api");
  secret["stringData"] = {{"token", "nobody-s"}};
  create(kube::secrets, name_space, secret);
  json config_map = manifest("v1", "ConfigMap", "quay-ca");
  config_map["data"] = {{"ca.crt", cluster::read_file(cluster().value("quayCAFile")) + authority}};
  create(kube::config_maps, name_space, config_map);
}

void move_out(const std::string& name_space) {
  cluster().kubectl_ok({"delete", "rtr,quayconnections", "--all", "-n", name_space});
  cluster().kubectl_ok({"delete", "secrets,configmaps", "--all", "-n", name_space});
}

json manifest(const char* version, const char* kind, const std::string& name) {
  return {{"apiVersion", version}, {"kind", kind}, {"metadata", {{"name", name}}}};
}

void create(const kube::Resource& resource, const std::string& name_space, const json& object) {
  const auto made = cluster().api().create(resource, name_space, object, {});
  if (!made) throw std::runtime_error(made.error().message);
}

void connect(const kube::ObjectKey& key, const std::string& url, const json& more) {
  json connection = manifest("quayrotator.dev/v1alpha1", "QuayConnection", key.name);
  connection["spec"] = {{"url", url},
                        {"credentialsSecretRef", {{"name", "quay-api"}}},
                        {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}}};
  connection["spec"].update(more);
  create(api::connections, key.name_space, connection);
}

void rotate(const kube::ObjectKey& key, const std::string& connection) {
  json rotation = manifest("quayrotator.dev/v1alpha1", "RobotTokenRotation", key.name);
  rotation["spec"] = {{"connectionRef", {{"name", connection}}},
                      {"robot", {{"organization", "elsewhere"}, {"name", key.name}}},
                      {"schedule", {{"interval", "1h"}}},
                      {"targets", {{{"secret", {{"name", key.name}}}}}}};
  create(api::rotations, key.name_space, rotation);
}

}  // namespace quay_rotator::bench
