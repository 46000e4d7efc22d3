// The real parts that the cluster tests run against: brought up once for each test program.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/executor.h"
#include "cluster/child_process.h"
#include "cluster/control_socket.h"
#include "http/transport.h"
#include "kube/client.h"
#include "kube/configuration.h"

namespace quay_rotator::cluster {

using nlohmann::json;

struct ClusterOptions {
  bool node = true;
  std::vector<std::string> environment{};  // more flags of `environment up`
};

// etcd, kube-apiserver, quay-sim, docker-registry and, where there is root, a node; the CRDs and
// the chart's ServiceAccount and RBAC are in. Ends everything in its destructor.
class Cluster {
 public:
  // Paths come from the environment: QUAY_ROTATOR_BIN (where programs are built) and
  // QUAY_ROTATOR_SOURCE.
  explicit Cluster(const ClusterOptions& options = {});
  ~Cluster();

  [[nodiscard]] std::string value(const std::string& name) const { return values_.at(name); }
  [[nodiscard]] std::string quay_url() const { return value("quayURL"); }
  [[nodiscard]] std::string registry() const { return value("registryHost"); }
  [[nodiscard]] const json& node() const { return values_.at("node"); }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string source(const std::string& path) const { return source_ + "/" + path; }
  [[nodiscard]] std::string program(const std::string& name) const { return bin_ + "/" + name; }

  // Everything as admin, over the operator's own client.
  kube::Client& api() { return *client_; }
  // A kubeconfig with the rights that the chart gives the operator.
  [[nodiscard]] const std::string& operator_kubeconfig() const { return operator_kubeconfig_; }
  ControlSocket& control() { return *control_; }
  ControlSocket& quay() { return *quay_; }

  // The real kubectl and helm, as admin. kubectl_ok fails the test unless it succeeds.
  ProgramResult kubectl(std::vector<std::string> arguments, const std::string& input = "");
  std::string kubectl_ok(const std::vector<std::string>& arguments, const std::string& input = "");
  ProgramResult helm(std::vector<std::string> arguments);
  std::string helm_template(const std::vector<std::string>& arguments);

  json get(const kube::Resource& resource, const kube::ObjectKey& key);
  // A page, with its items: large values of Secrets come shortened.
  kube::Expected<json> list(const kube::Resource& resource, const std::string& name_space,
                            const kube::ListOptions& options = {});
  // Watches the object until `accept` says yes and returns it; nothing (and a test failure that
  // shows it) when that takes longer. `accept` sees null while there is no object.
  std::optional<json> wait_for(const std::string& what, const kube::Resource& resource,
                               const kube::ObjectKey& key,
                               const std::function<bool(const json&)>& accept,
                               std::chrono::seconds limit = std::chrono::seconds(45));
  // A fresh namespace in which pods can start.
  std::string make_namespace();

 private:
  void install();

  std::string source_;
  std::string bin_;
  std::string directory_;
  json values_;
  std::unique_ptr<ChildProcess> environment_;
  std::unique_ptr<ControlSocket> control_;
  std::unique_ptr<ControlSocket> quay_;
  std::unique_ptr<base::Executor> executor_;
  std::optional<kube::Configuration> configuration_;
  std::unique_ptr<http::TransportFactory> transports_;
  std::unique_ptr<http::Transport> transport_;
  std::unique_ptr<kube::Client> client_;
  std::string operator_kubeconfig_;
  int namespaces_ = 0;
};

// The one of this test program; main.cpp brings it up before the first test.
Cluster& cluster();
void bring_up_cluster(const ClusterOptions& options = {});
void take_down_cluster();

}  // namespace quay_rotator::cluster
