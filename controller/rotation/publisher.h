// Writes target Secrets: the dry run of the preflight, the real write, what is left behind.
//
// Server-side apply with a field manager for each RobotTokenRotation, so that two of them, or a
// person, conflict instead of overwriting each other. A Secret is updated in place, never deleted
// and recreated (I4). One that this rotation did not write is taken over only when its annotation
// `quayrotator.dev/allow-take-over-by` names the rotation.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"
#include "quay/robots_api.h"
#include "runtime/store.h"

namespace quay_rotator::rotation {

// One Secret as it should be.
struct DesiredSecret {
  kube::ObjectKey key;
  std::vector<std::string> registries;  // never empty
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

// What a rotation wants of its targets; `default_registry` is the connection's host and port.
std::vector<DesiredSecret> desired_secrets(const api::RobotTokenRotation& rotation,
                                           const std::string& default_registry);

// Does the cache say that the Secret is as desired, with that token?
bool is_current(const DesiredSecret& desired, const api::RobotTokenRotation& rotation,
                const api::ManagedSecret* cached, std::string_view user, base::Fingerprint token);

// The field manager of a rotation: "quay-rotator/<name>", shortened by a digest where Kubernetes'
// limit of 128 characters demands it.
std::string field_manager(const api::RobotTokenRotation& rotation);

struct TargetProblem {
  std::string secret;
  std::string reason;  // NotOwned, WrongType, Immutable, QuotaExceeded, AdmissionDenied, Forbidden,
                       // NamespaceTerminating, NamespaceNotFound, Invalid, ApiServerUnavailable
  std::string message;    // what happened and what to do
  bool permanent = true;  // false: trying again at once may help
};

// Thread-safe. Targets are written in parallel, at most 16 at a time; in the calling thread when
// there is only one. What it wrote goes into the cache at once.
class Publisher {
 public:
  Publisher(kube::Client& client, runtime::Store<api::ManagedSecret>& cache,
            base::Executor& executor, base::Log log);

  // A server-side dry run of the very writes to come, with a placeholder of the token's size.
  std::vector<TargetProblem> dry_run(const api::RobotTokenRotation& rotation,
                                     const std::vector<DesiredSecret>& targets,
                                     std::string_view user, std::size_t token_size,
                                     const std::stop_token& stop);
  // Brings every target that is not current to `credential`. Transient failures are tried again a
  // few times within about a second; what is left is returned.
  std::vector<TargetProblem> publish(const api::RobotTokenRotation& rotation,
                                     const std::vector<DesiredSecret>& targets,
                                     const quay::RobotCredential& credential,
                                     const std::stop_token& stop);
  // Secrets of this rotation that are no longer among its targets: deleted with deletionPolicy
  // Delete (by uid), left alone with Retain.
  std::vector<TargetProblem> prune(const api::RobotTokenRotation& rotation,
                                   const std::vector<DesiredSecret>& targets,
                                   const std::stop_token& stop);

 private:
  kube::Client& client_;
  runtime::Store<api::ManagedSecret>& cache_;
  base::Executor& executor_;
  base::Log log_;
};

}  // namespace quay_rotator::rotation
