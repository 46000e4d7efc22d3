// Which labels and annotations an administrator lets tenants set on targets:
// --allowed-target-metadata.
//
// The operator may write Secrets where a tenant may only write a RobotTokenRotation, and other
// controllers act on what a Secret wears: some copy it to other namespaces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/error.h"

namespace quay_rotator::target {

// Immutable: safe for any number of threads.
class AllowedMetadata {
 public:
  // Keys without a prefix, which Kubernetes leaves to users, and app.kubernetes.io/….
  AllowedMetadata() = default;
  // Those and what a pattern names: "example.com/team", "example.com/*" (all with that prefix),
  // "*".
  static base::Expected<AllowedMetadata> parse(const std::vector<std::string>& patterns);

  [[nodiscard]] bool allows(std::string_view key) const;
  // The keys of the rotation's targets that it does not allow; sorted, each once.
  [[nodiscard]] std::vector<std::string> refused(const api::RobotTokenRotation& rotation) const;

 private:
  std::vector<std::string> patterns_;
};

}  // namespace quay_rotator::target
