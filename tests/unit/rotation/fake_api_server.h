// An API server with Secrets, ConfigMaps and RobotTokenRotations, behind a FakeTransport: what
// server-side apply and merge patches with preconditions and dry runs do to them, as far as the
// code in controller/rotation can tell.
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

namespace quay_rotator::rotation::testing {

// Not synchronized: for a VirtualExecutor.
class FakeApiServer {
 public:
  explicit FakeApiServer(base::Executor& executor)
      : transport_(executor, [this](const auto& request) { return answer(request); }) {}

  http::Transport& transport() { return transport_; }
  // Answers in place of the server where it returns something.
  void set_fault(std::function<std::optional<quay_rotator::testing::FakeResult>(
                     const quay_rotator::testing::SentRequest&)>
                     fault) {
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
  [[nodiscard]] std::vector<quay_rotator::testing::SentRequest> requests() const {
    return transport_.requests();
  }

 private:
  quay_rotator::testing::FakeResult answer(const quay_rotator::testing::SentRequest& request);
  quay_rotator::testing::Answer merge(const std::string& path, const nlohmann::json& patch);
  quay_rotator::testing::Answer apply(const std::string& path, const nlohmann::json& manifest,
                                      const std::map<std::string, std::string>& query);

  quay_rotator::testing::FakeTransport transport_;
  std::function<std::optional<quay_rotator::testing::FakeResult>(
      const quay_rotator::testing::SentRequest&)>
      fault_;
  std::map<std::string, nlohmann::json> objects_;
  int version_ = 100;
  int made_ = 0;
};

// A Status as the API server answers it.
quay_rotator::testing::Answer refusal(int code, const std::string& reason,
                                      const std::string& message);

// Credentials that never change.
class NoCredentials : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

}  // namespace quay_rotator::rotation::testing
