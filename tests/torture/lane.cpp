#include "torture/lane.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <unistd.h>
#include <utility>

#include <sys/wait.h>

#include "api/group.h"
#include "support/pull_secret.h"

namespace quay_rotator::torture {

using cluster::cluster;
using cluster::OperatorOptions;
using cluster::OperatorProcess;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds patience{240};
constexpr const char* rotate_now = "quayrotator.dev/rotate-requested-at";
constexpr std::chrono::microseconds shortest_poll{20'000};
constexpr std::chrono::microseconds longest_poll{500'000};

std::uint16_t port_of(const std::string& url) {
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

json manifest(const char* kind, const std::string& name, json spec) {
  return {{"apiVersion", "quayrotator.dev/v1alpha1"},
          {"kind", kind},
          {"metadata", {{"name", name}}},
          {"spec", std::move(spec)}};
}

bool is_ready(const json& status) {
  for (const json& condition : status.value("conditions", json::array())) {
    if (condition.at("type") == "Ready") return condition.at("status") == "True";
  }
  return false;
}

// False when it takes too long. Who waits for long asks less often: polls of many lanes would be
// most of what the API server does.
bool wait_until(const std::function<bool()>& done) {
  const auto start = steady_clock::now();
  while (!done()) {
    const auto waited = steady_clock::now() - start;
    if (waited > patience) return false;
    const auto poll = std::chrono::duration_cast<std::chrono::microseconds>(waited / 20);
    // Other programs are waited for: nothing tells.
    usleep(static_cast<useconds_t>(std::clamp(poll, shortest_poll, longest_poll).count()));
  }
  return true;
}

}  // namespace

Lane::Lane(std::string name_space, std::size_t resources)
    : name_space_(std::move(name_space)),
      api_proxy_(std::make_unique<TcpProxy>(port_of(cluster().value("apiServer")))),
      quay_proxy_(std::make_unique<TcpProxy>(port_of(cluster().quay_url()))) {
  for (std::size_t i = 0; i < resources; ++i) {
    names_.push_back("r" + std::to_string(i));
    requests_.push_back(0);
    expected_.push_back(0);
    done_.push_back(0);
    counted_.push_back(0);
    for (const char* target : {"-one", "-two"}) targets_.push_back({i, names_[i] + target, ""});
  }
  std::string kubeconfig = cluster::read_file(cluster().operator_kubeconfig());
  const std::string port = std::to_string(port_of(cluster().value("apiServer")));
  for (std::size_t at = kubeconfig.find(":" + port); at != std::string::npos;
       at = kubeconfig.find(":" + port, at + 1)) {
    kubeconfig.replace(at + 1, port.size(), std::to_string(api_proxy_->port()));
  }
  kubeconfig_ = cluster().directory() + "/" + name_space_ + ".kubeconfig";
  cluster::write_file(kubeconfig_, kubeconfig);
  create();
}

std::string Lane::robot(std::size_t resource) const {
  return "acme+" + name_space_ + "-" + names_[resource];
}

void Lane::create() {
  json objects = json::array();
  objects.push_back(
      {{"apiVersion", "v1"},
       {"kind", "Secret"},
       {"metadata", {{"name", "quay-api"}}},
       {"stringData", {{"token", cluster().quay().get("/tokens/automation").at("token")}}}});
  objects.push_back({{"apiVersion", "v1"},
                     {"kind", "ConfigMap"},
                     {"metadata", {{"name", "quay-ca"}}},
                     {"data", {{"ca.crt", cluster::read_file(cluster().value("quayCAFile"))}}}});
  // The chart allows this in the operator's own namespace; here each lane has an operator.
  objects.push_back({{"apiVersion", "rbac.authorization.k8s.io/v1"},
                     {"kind", "Role"},
                     {"metadata", {{"name", "lease"}}},
                     {"rules",
                      {{{"apiGroups", {"coordination.k8s.io"}},
                        {"resources", {"leases"}},
                        {"verbs", {"create", "get", "update"}}},
                       {{"apiGroups", {""}}, {"resources", {"namespaces"}}, {"verbs", {"get"}}}}}});
  objects.push_back(
      {{"apiVersion", "rbac.authorization.k8s.io/v1"},
       {"kind", "RoleBinding"},
       {"metadata", {{"name", "lease"}}},
       {"roleRef",
        {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Role"}, {"name", "lease"}}},
       {"subjects",
        {{{"kind", "ServiceAccount"}, {"name", "quay-rotator"}, {"namespace", "quay-rotator"}}}}});
  objects.push_back(manifest("QuayConnection", "quay",
                             {{"url", "https://localhost:" + std::to_string(quay_proxy_->port())},
                              {"credentialsSecretRef", {{"name", "quay-api"}}},
                              {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}},
                              {"rateLimit", {{"requestsPerSecond", 1000}, {"burst", 1000}}}}));
  for (std::size_t i = 0; i < names_.size(); ++i) {
    cluster().quay().put("/robots/" + robot(i), json::object());
    json targets = json::array();
    for (const Target& target : targets_) {
      if (target.resource == i) targets.push_back({{"secret", {{"name", target.name}}}});
    }
    objects.push_back(
        manifest("RobotTokenRotation", names_[i],
                 {{"connectionRef", {{"name", "quay"}}},
                  {"robot", {{"organization", "acme"}, {"name", name_space_ + "-" + names_[i]}}},
                  {"schedule", {{"interval", "720h"}}},
                  {"targets", std::move(targets)}}));
  }
  cluster().kubectl_ok({"-n", name_space_, "apply", "-f", "-"},
                       json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}}.dump());
  start_leading();
  start_recovering();
  const Damage adopted = settle();
  if (!adopted.complaints.empty()) {
    throw std::runtime_error(name_space_ + " does not settle: " + adopted.complaints.front());
  }
  (void)stale_secrets(true);
}

void Lane::linger(std::chrono::milliseconds most) {
  usleep(static_cast<useconds_t>(1000 * draw(static_cast<std::size_t>(most.count()) + 1)));
}

void Lane::start(std::size_t number, OperatorOptions changes) {
  if (replicas_.size() <= number) replicas_.resize(number + 1);
  kill(number);
  changes.arguments.push_back("--namespace=" + name_space_);
  changes.pod = "quay-rotator-" + std::to_string(number);
  changes.kubeconfig = kubeconfig_;
  changes.lease_namespace = name_space_;
  changes.wait_until_ready = false;
  replicas_[number] = std::make_unique<OperatorProcess>(std::move(changes));
  logs_.push_back(replicas_[number]->log_file());
}

void Lane::start_leading(const std::vector<std::string>& arguments,
                         const std::string& quay_timeout) {
  if (std::exchange(spoiled_, false)) kill_all();
  const bool running = !replicas_.empty() && replicas_[0] && !replicas_[0]->poll();
  if (running && arguments == options_.arguments && quay_timeout == options_.quay_timeout) return;
  options_.arguments = arguments;
  options_.quay_timeout = quay_timeout;
  start(0, options_);
  if (replicas_[0]->wait_for_log("caches are complete").is_null()) complain("no operator leads");
}

void Lane::kill(std::size_t number) {
  if (number >= replicas_.size() || !replicas_[number]) return;
  if (!replicas_[number]->poll()) replicas_[number]->kill9();
  replicas_[number].reset();
}

void Lane::kill_all() {
  for (std::size_t i = 0; i < replicas_.size(); ++i) kill(i);
}

void Lane::wait_for_another_leader(std::size_t number) {
  const std::string name = "quay-rotator-" + std::to_string(number);
  const auto another = [&] {
    const auto lease = cluster().api().get(kube::leases, {name_space_, "quay-rotator"}, {});
    return lease && lease->at("spec").value("holderIdentity", name) != name;
  };
  if (!wait_until(another)) complain("nobody else leads");
}

bool Lane::wait_for_end(std::size_t number) {
  return wait_until([&] { return replicas_.at(number)->poll().has_value(); });
}

bool Lane::wait_for_stop(std::size_t number) {
  return wait_until([pid = replicas_.at(number)->pid()] {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid == pid;
  });
}

double Lane::count_lists() const {
  std::istringstream text(replicas_.at(0)->metrics());
  double count = 0;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("quay_rotator_kube_requests_total") &&
        line.find("verb=\"list\"") != std::string::npos &&
        line.find("resource=\"secrets\"") != std::string::npos) {
      count += std::stod(line.substr(line.rfind(' ')));
    }
  }
  return count;
}

bool Lane::wait_for_new_list() {
  return wait_until([this] { return count_lists() > lists_; });
}

void Lane::request() {
  for (std::size_t i = 0; i < names_.size(); ++i) request(i);
}

void Lane::request_of_idle() {
  const auto rotations = cluster().list(api::rotations, name_space_);
  if (!rotations) return;  // there may be no API server now
  for (const json& rotation : rotations->at("items")) {
    if (has_complaints()) return;  // each that cannot be written takes all our patience
    const auto resource = static_cast<std::size_t>(
        std::find(names_.begin(), names_.end(), rotation.at("metadata").at("name")) -
        names_.begin());
    if (problem(rotation, resource).empty()) request(resource);
  }
}

void Lane::request(std::size_t resource) {
  const std::string request = std::to_string(++requests_[resource]);
  ++expected_[resource];
  const json patch{{"metadata", {{"annotations", {{rotate_now, request}}}}}};
  const auto write = [&] {
    return cluster()
        .api()
        .merge_patch(api::rotations, {name_space_, names_[resource]}, "", patch, "person", {})
        .has_value();
  };
  if (!wait_until(write)) complain("the request for " + names_[resource] + " was not written");
}

int Lane::add_fault(json fault) {
  fault["match"] = {{"endpoint", "regenerate"}, {"robot", robot(draw(names_.size()))}};
  faults_.push_back(cluster().quay().post("/faults", fault).at("id").get<int>());
  return faults_.back();
}

bool Lane::wait_for_fault(int fault) {
  return wait_until([&] {
    return cluster().quay().get("/faults/" + std::to_string(fault)).at("struck").get<int>() > 0;
  });
}

void Lane::remove_faults() {
  for (const int fault : std::exchange(faults_, {})) {
    cluster().quay().remove("/faults/" + std::to_string(fault));
  }
}

void Lane::damage_secrets() {
  Target& gone = targets_[draw(targets_.size())];
  (void)cluster().api().remove(kube::secrets, {name_space_, gone.name}, {}, {});
  gone.uid.clear();
  const Target& damaged = targets_[draw(targets_.size())];
  (void)cluster().api().merge_patch(kube::secrets, {name_space_, damaged.name}, "",
                                    {{"data", {{".dockerconfigjson", "e30="}}}}, "person", {});
}

void Lane::restart_ended() {
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    if (replicas_[i] && replicas_[i]->poll()) start(i, options_);
  }
}

std::vector<std::string> Lane::stale_secrets(bool note_uids) {
  std::vector<std::string> stale;
  const auto secrets = cluster().list(kube::secrets, name_space_);
  if (!secrets) return {secrets.error().message};
  std::map<std::string, const json*> by_name;
  for (const json& secret : secrets->at("items")) {
    by_name[secret.at("metadata").at("name")] = &secret;
  }
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::string token = cluster().quay().get("/robots/" + robot(i)).at("token");
    for (Target& target : targets_) {
      if (target.resource != i) continue;
      const auto found = by_name.find(target.name);
      if (found == by_name.end()) {
        stale.push_back("the Secret " + target.name + " is missing");
        continue;
      }
      if (testing::token_in(*found->second) != token) {
        stale.push_back("the Secret " + target.name + " does not hold the token that Quay holds");
      }
      const std::string uid = found->second->at("metadata").at("uid");
      if (note_uids || target.uid.empty()) {
        if (note_uids) target.uid = uid;
      } else if (uid != target.uid) {
        complain("the Secret " + target.name + " was made anew (I4)");
        target.uid = uid;
      }
    }
  }
  return stale;
}

std::string Lane::problem(const json& rotation, std::size_t resource) const {
  const json status = rotation.value("status", json::object());
  const int requested = requests_[resource];
  if (requested != 0 &&
      status.value("lastHandledRotateRequest", std::string()) != std::to_string(requested)) {
    return names_[resource] + " has not rotated: " + status.value("conditions", json()).dump();
  }
  if (status.contains("rotation")) return names_[resource] + " still has its ledger";
  if (is_ready(status)) return "";
  return names_[resource] + " is not Ready: " + status.value("conditions", json()).dump();
}

std::vector<std::string> Lane::problems() {
  const auto rotations = cluster().list(api::rotations, name_space_);
  if (!rotations) return {rotations.error().message};
  std::vector<std::string> found;
  for (const json& rotation : rotations->at("items")) {
    const auto resource = static_cast<std::size_t>(
        std::find(names_.begin(), names_.end(), rotation.at("metadata").at("name")) -
        names_.begin());
    if (std::string what = problem(rotation, resource); !what.empty()) {
      found.push_back(std::move(what));
    }
  }
  if (!found.empty()) return found;
  return stale_secrets(false);
}

bool Lane::await_right() {
  return wait_until([this] { return problems().empty(); });
}

void Lane::read_journal() {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    std::string name = robot(i);
    name.replace(name.find('+'), 1, "%2B");
    const json entries =
        cluster().quay().get("/journal?endpoint=regenerate&committed=true&robot=" + name +
                             "&after=" + std::to_string(counted_[i]));
    for (const json& entry : entries) {
      counted_[i] = std::max(counted_[i], entry.at("sequence").get<long>());
    }
    done_[i] += static_cast<int>(entries.size());
  }
}

Damage Lane::settle() {
  Damage damage;
  const auto right = [this] {
    restart_ended();
    return problems().empty();
  };
  if (!wait_until(right)) {
    for (const std::string& what : problems()) complain(what);
    damage.lost = static_cast<int>(stale_secrets(false).size());
  }
  damage.recovery = steady_clock::now() - recovering_since_;
  remove_faults();
  read_journal();
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const int done = std::exchange(done_[i], 0);
    const int expected = std::exchange(expected_[i], 0);
    damage.rotations += done;
    damage.extra += std::max(0, done - expected);
    if (done < expected) complain(names_[i] + " says that it rotated, Quay's journal does not");
  }
  for (Target& target : targets_) {
    if (target.uid.empty()) {
      (void)stale_secrets(true);
      break;
    }
  }
  damage.complaints = std::exchange(complaints_, {});
  return damage;
}

void Lane::forget_logs() {
  const auto kept = [this](const std::string& file) {
    return std::any_of(replicas_.begin(), replicas_.end(),
                       [&](const auto& replica) { return replica && replica->log_file() == file; });
  };
  std::erase_if(logs_, [&](const std::string& file) {
    if (kept(file)) return false;
    std::filesystem::remove(file);
    return true;
  });
}

}  // namespace quay_rotator::torture
