// Deletes the Secrets that a rotation no longer wants.
#pragma once

#include <stop_token>
#include <vector>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "base/log.h"
#include "kube/client.h"
#include "runtime/store.h"
#include "target/problem.h"
#include "target/target.h"

namespace quay_rotator::target {

// Thread-safe.
class Pruner {
 public:
  Pruner(kube::Client& client, runtime::Store<api::ManagedSecret>& cache, base::Log log);

  // Secrets of this rotation that are no longer among its targets: deleted with deletionPolicy
  // Delete (by uid), left alone with Retain. Only those that carry this rotation's own owner
  // reference: a copy that somebody made is theirs. Nothing is deleted while the API server holds
  // another spec than `rotation`. Walks through the whole cache.
  std::vector<Problem> prune(const api::RobotTokenRotation& rotation,
                             const std::vector<DesiredSecret>& targets,
                             const std::stop_token& stop);

 private:
  kube::Client& client_;
  runtime::Store<api::ManagedSecret>& cache_;
  base::Log log_;
};

}  // namespace quay_rotator::target
