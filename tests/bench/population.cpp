#include "bench/population.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "api/group.h"
#include "bench/tenants.h"
#include "cluster/cluster.h"
#include "support/pull_secret.h"

namespace quay_rotator::bench {

using cluster::cluster;
using nlohmann::json;

namespace {

void merge(const kube::Resource& resource, const kube::ObjectKey& key, const json& patch) {
  const auto written = cluster().api().merge_patch(resource, key, "", patch, "person", {});
  if (!written) throw std::runtime_error(written.error().message);
}

std::string organization(std::size_t resource) {
  const std::size_t n = resource / Population::namespaces % Population::organizations_each;
  return "org-" + std::to_string(resource % Population::namespaces) + "-" + std::to_string(n);
}

std::string robot_name(std::size_t resource) {
  return "puller-" + std::to_string(resource);
}

void make_world(std::size_t robots) {
  json world{{"users", {{{"name", "admin"}}}},
             {"organizations", json::array()},
             {"robots", json::array()},
             {"repositories", json::array()},
             {"tokens", {{{"name", "automation"}, {"user", "admin"}, {"scopes", {"org:admin"}}}}}};
  for (std::size_t k = 0; k < Population::namespaces; ++k) {
    for (std::size_t j = 0; j < Population::organizations_each; ++j) {
      world["organizations"].push_back(
          {{"name", "org-" + std::to_string(k) + "-" + std::to_string(j)}, {"admins", {"admin"}}});
    }
  }
  for (std::size_t i = 0; i < robots; ++i) {
    world["robots"].push_back({{"name", Population::robot(i)}});
  }
  cluster().quay().post("/world", world);
}

}  // namespace

Population::Population(std::size_t most) {
  cluster().quay().put("/switches", {{"registry", ""}});
  make_world(most);
  const std::string token = cluster().quay().get("/tokens/automation").at("token");
  const std::string ca = cluster::read_file(cluster().value("quayCAFile"));
  for (std::size_t k = 0; k < namespaces; ++k) {
    cluster().control().post("/namespaces", {{"name", name_space(k)}});
    json secret = manifest("v1", "Secret", "quay-api");
    secret["stringData"] = {{"token", token}};
    create(kube::secrets, name_space(k), secret);
    json config_map = manifest("v1", "ConfigMap", "quay-ca");
    config_map["data"] = {{"ca.crt", ca}};
    create(kube::config_maps, name_space(k), config_map);
    json connection = manifest("quayrotator.dev/v1alpha1", "QuayConnection", "quay");
    connection["spec"] = {{"url", cluster().quay_url()},
                          {"credentialsSecretRef", {{"name", "quay-api"}}},
                          {"ca", {{"configMapRef", {{"name", "quay-ca"}}}}}};
    create(api::connections, name_space(k), connection);
  }
}

void Population::create_up_to(std::size_t size) {
  const std::size_t first = size_;
  in_parallel(size - first, [first](std::size_t n) {
    const std::size_t i = first + n;
    json rotation = manifest("quayrotator.dev/v1alpha1", "RobotTokenRotation", key(i).name);
    json targets = json::array();
    for (const kube::ObjectKey& secret : secrets(i)) {
      targets.push_back({{"secret", {{"name", secret.name}}}});
    }
    rotation["spec"] = {{"connectionRef", {{"name", "quay"}}},
                        {"robot", {{"organization", organization(i)}, {"name", robot_name(i)}}},
                        {"schedule", {{"interval", "720h"}}},
                        {"targets", targets}};
    create(api::rotations, name_space(i), rotation);
  });
  size_ = size;
}

std::string Population::name_space(std::size_t resource) {
  return "bench-" + std::to_string(resource % namespaces);
}

kube::ObjectKey Population::key(std::size_t resource) {
  return {name_space(resource), robot_name(resource)};
}

std::string Population::robot(std::size_t resource) {
  return organization(resource) + "+" + robot_name(resource);
}

std::vector<kube::ObjectKey> Population::secrets(std::size_t resource) {
  const kube::ObjectKey rotation = key(resource);
  return {{rotation.name_space, rotation.name + "-one"},
          {rotation.name_space, rotation.name + "-two"}};
}

std::size_t Population::organizations() const {
  return std::min(size_, namespaces * organizations_each);
}

void Population::request(std::size_t resource) {
  request(std::vector<std::size_t>{resource});
}

void Population::request(const std::vector<std::size_t>& resources) {
  const std::string value = std::to_string(++requests_);
  in_parallel(resources.size(), [&](std::size_t n) {
    merge(api::rotations, key(resources[n]),
          {{"metadata", {{"annotations", {{"quayrotator.dev/rotate-requested-at", value}}}}}});
  });
}

std::vector<std::size_t> Population::next(std::size_t count) {
  std::vector<std::size_t> chosen;
  while (chosen.size() < std::min(count, size_)) chosen.push_back(next_++ % size_);
  return chosen;
}

void Population::limit_rate(std::size_t name_space_number, const json& limit) {
  merge(api::connections, {name_space(name_space_number), "quay"},
        {{"spec", {{"rateLimit", limit}}}});
}

std::size_t Population::wrong_secrets() const {
  std::map<std::string, std::string> held;  // by "namespace/name"
  for (std::size_t k = 0; k < namespaces; ++k) {
    kube::ListOptions page;
    page.label_selector = "app.kubernetes.io/managed-by=quay-rotator";
    do {
      const auto listed = cluster().list(kube::secrets, name_space(k), page);
      if (!listed) throw std::runtime_error(listed.error().message);
      for (const json& secret : listed->at("items")) {
        held[name_space(k) + "/" + secret.at("metadata").at("name").get<std::string>()] =
            testing::token_in(secret);
      }
      page.continue_token = listed->at("metadata").value("continue", "");
    } while (!page.continue_token.empty());
  }
  std::map<std::string, std::string> tokens;  // by robot
  const json world = cluster().quay().get("/world");
  for (const json& robot : world.at("robots")) tokens[robot.at("name")] = robot.at("token");
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    for (const kube::ObjectKey& secret : secrets(i)) {
      if (held[secret.text()] != tokens.at(robot(i))) ++wrong;
    }
  }
  return wrong;
}

void in_parallel(std::size_t count, const std::function<void(std::size_t)>& act) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < std::min<std::size_t>(count, 8); ++t) {
    threads.emplace_back([&] {
      try {
        for (std::size_t i = next++; i < count; i = next++) act(i);
      } catch (...) {
        next = count;
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  threads.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace quay_rotator::bench
