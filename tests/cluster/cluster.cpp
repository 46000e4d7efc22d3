#include "cluster/cluster.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>

#include <gtest/gtest.h>

#include "http/beast/transport.h"

namespace quay_rotator::cluster {

namespace {

std::string required_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') {
    throw std::runtime_error(std::string(name) + " is not set: run the cluster tests with ctest");
  }
  return value;
}

std::string last_line(const std::string& text) {
  const std::string trimmed = text.substr(0, text.find_last_not_of('\n') + 1);
  return trimmed.substr(trimmed.rfind('\n') + 1);
}

// What the cache of built Go programs holds; instant after `make test` has prepared it.
std::string built(const std::string& source, const std::string& what) {
  const ProgramResult result = run_program({source + "/tests/control-plane/build.sh", what});
  if (result.code != 0) throw std::runtime_error("cannot build " + what + ":\n" + result.output);
  return last_line(result.output);
}

}  // namespace

Cluster::Cluster(const ClusterOptions& options)
    : source_(required_variable("QUAY_ROTATOR_SOURCE")),
      bin_(required_variable("QUAY_ROTATOR_BIN")) {
  std::string path = (std::filesystem::temp_directory_path() / "quay-rotator-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make " + path);
  directory_ = path;
  std::vector<std::string> command{program("environment"), "up",
                                   "--directory",          directory_ + "/environment",
                                   "--bin-directory",      built(source_, "control-plane"),
                                   "--quay-sim",           program("quay-sim"),
                                   "--until-stdin-closes"};
  if (options.node) command.emplace_back("--node");
  command.insert(command.end(), options.environment.begin(), options.environment.end());
  const std::string log = directory_ + "/environment.log";
  environment_ = std::make_unique<ChildProcess>(command, log);
  const std::string ready = directory_ + "/environment/environment.json";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  while (!std::filesystem::exists(ready)) {
    if (environment_->poll() || std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("the environment did not come up:\n" + read_file(log));
    }
    usleep(20'000);  // another process writes that file: there is nothing to wait on
  }
  values_ = json::parse(read_file(ready));
  control_ = std::make_unique<ControlSocket>(value("controlSocket"));
  quay_ = std::make_unique<ControlSocket>(value("quayControlSocket"));

  executor_ = base::make_system_executor();
  kube::ConfigurationOptions where;
  where.kubeconfig = value("adminKubeconfig");
  where.environment = [](std::string_view) { return std::nullopt; };
  auto configuration = kube::load_configuration(where, *executor_);
  if (!configuration) throw std::runtime_error(configuration.error().message);
  configuration_ = std::move(*configuration);
  transports_ = http::make_beast_transport_factory("quay-rotator-tests");
  auto transport = transports_->open(std::move(configuration_->endpoint));
  if (!transport) throw std::runtime_error(transport.error().message);
  transport_ = std::move(*transport);
  client_ = std::make_unique<kube::Client>(*transport_, *configuration_->credentials, *executor_,
                                           base::Log());
  install();
}

Cluster::~Cluster() {
  environment_->signal(SIGTERM);
  environment_->wait();
  std::filesystem::remove_all(directory_);
}

void Cluster::install() {
  kubectl_ok({"apply", "-f", source("crds")});
  kubectl_ok({"wait", "--for=condition=Established", "--timeout=30s", "-f", source("crds")});
  kubectl_ok({"create", "namespace", "quay-rotator"});
  kubectl_ok({"apply", "-f", "-"}, helm_template({"quay-rotator", source("charts/quay-rotator"),
                                                  "--namespace", "quay-rotator"}));
  operator_kubeconfig_ =
      control_
          ->post("/kubeconfig", {{"namespace", "quay-rotator"}, {"serviceAccount", "quay-rotator"}})
          .at("path");
}

ProgramResult Cluster::kubectl(std::vector<std::string> arguments, const std::string& input) {
  arguments.insert(arguments.begin(), {value("kubectl"), "--kubeconfig", value("adminKubeconfig")});
  return run_program(arguments, {}, input);
}

std::string Cluster::kubectl_ok(const std::vector<std::string>& arguments,
                                const std::string& input) {
  ProgramResult result = kubectl(arguments, input);
  EXPECT_EQ(result.code, 0) << "kubectl " << testing::PrintToString(arguments) << ":\n"
                            << result.output;
  return std::move(result.output);
}

ProgramResult Cluster::helm(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), built(source_, "helm") + "/helm");
  return run_program(arguments, {{"HELM_DEBUG", "false"}});
}

std::string Cluster::helm_template(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{"template"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  ProgramResult result = helm(command);
  EXPECT_EQ(result.code, 0) << result.output;
  return std::move(result.output);
}

json Cluster::get(const kube::Resource& resource, const kube::ObjectKey& key) {
  auto answer = client_->get(resource, key, {});
  if (answer) return std::move(*answer);
  if (answer.error().kind != kube::Error::Kind::not_found) ADD_FAILURE() << answer.error().message;
  return nullptr;
}

kube::Expected<json> Cluster::list(const kube::Resource& resource, const std::string& name_space,
                                   const kube::ListOptions& options) {
  json items = json::array();
  const auto page = client_->list(resource, name_space, options, {},
                                  [&items](const json& item) { items.push_back(item); });
  if (!page) return tl::unexpected(page.error());
  return json{{"metadata",
               {{"resourceVersion", page->resource_version}, {"continue", page->continue_token}}},
              {"items", std::move(items)}};
}

std::optional<json> Cluster::wait_for(const std::string& what, const kube::Resource& resource,
                                      const kube::ObjectKey& key,
                                      const std::function<bool(const json&)>& accept,
                                      std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  json last;
  while (std::chrono::steady_clock::now() < deadline) {
    kube::ListOptions one;
    one.field_selector = "metadata.name=" + key.name;
    const auto listed = list(resource, key.name_space, one);
    if (!listed) {  // the API server is down in some tests
      usleep(50'000);
      continue;
    }
    const json& items = listed->at("items");
    last = items.empty() ? json(nullptr) : items.front();
    if (accept(last)) return last;
    kube::WatchOptions watch;
    watch.field_selector = one.field_selector;
    watch.resource_version = listed->at("metadata").at("resourceVersion");
    const auto left =
        std::chrono::ceil<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
    watch.timeout = std::max(left, std::chrono::seconds(1));
    watch.idle_limit = watch.timeout + std::chrono::seconds(2);
    bool accepted = false;
    (void)client_->watch(resource, key.name_space, watch, {}, [&](std::string_view line) {
      const json event = json::parse(line);
      const std::string type = event.at("type");
      if (type == "ERROR") return false;
      if (type == "BOOKMARK") return true;
      last = type == "DELETED" ? json(nullptr) : event.at("object");
      accepted = accept(last);
      return !accepted;
    });
    if (accepted) return last;
  }
  if (last.is_object() && last.contains("metadata")) last["metadata"].erase("managedFields");
  if (last.is_object()) last.erase("data");
  ADD_FAILURE() << key.text() << " did not become what was expected within " << limit.count()
                << " s: " << what << "\nIt is " << last.dump(2);
  return std::nullopt;
}

std::string Cluster::make_namespace() {
  const std::string name = "test-" + std::to_string(++namespaces_);
  control_->post("/namespaces", {{"name", name}});
  return name;
}

namespace {

std::unique_ptr<Cluster> instance;

}  // namespace

Cluster& cluster() {
  return *instance;
}

void bring_up_cluster(const ClusterOptions& options) {
  instance = std::make_unique<Cluster>(options);
}

void take_down_cluster() {
  instance.reset();
}

}  // namespace quay_rotator::cluster
