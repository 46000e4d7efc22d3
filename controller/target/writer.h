// Writes target Secrets: the dry run of the preflight, and the real write.
//
// Server-side apply with a field manager for each RobotTokenRotation, so that two of them, or a
// person, conflict instead of overwriting each other. A Secret is updated in place, never deleted
// and recreated (I4). One that this rotation did not write is taken over only when its annotation
// `quayrotator.dev/allow-take-over-by` names the rotation, no other controller is in charge of it,
// and it holds no login but for the target's registries.
#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"
#include "quay/robots_api.h"
#include "runtime/store.h"
#include "target/decide.h"
#include "target/problem.h"
#include "target/target.h"

namespace quay_rotator::target {

// Thread-safe. Targets are written in parallel, at most 16 at a time; in the calling thread when
// there is only one. What it wrote goes into the cache at once.
class Writer {
 public:
  Writer(kube::Client& client, runtime::Store<api::ManagedSecret>& cache, base::Executor& executor,
         base::Log log);

  // A server-side dry run of the very writes to come, with a placeholder of the token's size.
  std::vector<Problem> dry_run(const api::RobotTokenRotation& rotation,
                               const std::vector<DesiredSecret>& targets, std::string_view user,
                               std::size_t token_size, const std::stop_token& stop);
  // Brings every target that is not current to `credential`. Transient failures are tried again a
  // few times within about a second; what is left is returned. Of a resource that is being deleted
  // only Secrets that are still there and its own are written: none comes back.
  std::vector<Problem> publish(const api::RobotTokenRotation& rotation,
                               const std::vector<DesiredSecret>& targets,
                               const quay::RobotCredential& credential,
                               const std::stop_token& stop);

 private:
  struct Order;  // what to write, and whether only to try
  // One result for each target.
  std::vector<std::optional<Problem>> write_all(const Order& order,
                                                const std::vector<const DesiredSecret*>& targets,
                                                const std::stop_token& stop);
  std::optional<Problem> write(const Order& order, const DesiredSecret& desired,
                               const std::stop_token& stop);
  kube::Expected<std::string> release(const ExistingSecret& existing, const DesiredSecret& desired,
                                      nlohmann::json owners, const std::stop_token& stop);
  std::vector<std::string> managers(const DesiredSecret& desired, const std::stop_token& stop);

  kube::Client& client_;
  runtime::Store<api::ManagedSecret>& cache_;
  base::Executor& executor_;
  base::Log log_;
};

}  // namespace quay_rotator::target
