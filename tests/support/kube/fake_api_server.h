// An API server with Secrets, ConfigMaps and RobotTokenRotations, behind a FakeTransport: what
// server-side apply and merge patches with preconditions and dry runs do to them, as far as the
// operator can tell.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/executor.h"
#include "kube/client.h"
#include "support/fake_transport.h"

namespace quay_rotator::testing {

// Not synchronized: for a VirtualExecutor.
class FakeApiServer {
 public:
  explicit FakeApiServer(base::Executor& executor)
      : transport_(executor, [this](const auto& request) { return answer(request); }) {}

  http::Transport& transport() { return transport_; }
  // Answers in place of the server where it returns something.
  void set_fault(std::function<std::optional<FakeResult>(const SentRequest&)> fault) {
    fault_ = std::move(fault);
  }
  // As somebody else (`manager`) would: with a uid and a resourceVersion of the server's making.
  void put(nlohmann::json object, const std::string& manager = "kubectl-create");
  // The same object, changed: it keeps its uid.
  void edit(nlohmann::json object);
  void remove(const std::string& path) { objects_.erase(path); }
  // "secrets/team-a/quay-pull"; null when there is none.
  [[nodiscard]] nlohmann::json object(const std::string& path) const;

  // "GET team-a/quay-pull", "PATCH team-a/quay-pull dryRun force", … in the order they came.
  [[nodiscard]] std::vector<std::string> calls() const;
  [[nodiscard]] std::vector<SentRequest> requests() const { return transport_.requests(); }

 private:
  FakeResult answer(const SentRequest& request);
  Answer merge(const std::string& path, const nlohmann::json& patch);
  Answer apply(const std::string& path, const nlohmann::json& manifest,
               const std::map<std::string, std::string>& query);

  FakeTransport transport_;
  std::function<std::optional<FakeResult>(const SentRequest&)> fault_;
  std::map<std::string, nlohmann::json> objects_;
  int version_ = 100;
  int made_ = 0;
};

// A Status as the API server answers it.
Answer refusal(int code, const std::string& reason, const std::string& message);

// Credentials that never change.
class NoCredentials : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

}  // namespace quay_rotator::testing
