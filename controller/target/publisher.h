// Writes target Secrets: the dry run of the preflight, the real write, what is left behind.
//
// Server-side apply with a field manager for each RobotTokenRotation, so that two of them, or a
// person, conflict instead of overwriting each other. A Secret is updated in place, never deleted
// and recreated (I4). One that this rotation did not write is taken over only when its annotation
// `quayrotator.dev/allow-take-over-by` names the rotation, no other controller is in charge of it,
// and it holds no login but for the target's registries.
#pragma once

#include <cstddef>
#include <map>
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
#include "target/allowed_metadata.h"
#include "target/decide.h"

namespace quay_rotator::target {

// What a rotation wants of its targets; `default_registry` is the connection's host and port. The
// operator's own marks are among the labels and annotations and win over what the spec says there;
// what is not `allowed` is left out.
std::vector<DesiredSecret> desired_secrets(const api::RobotTokenRotation& rotation,
                                           const std::string& default_registry,
                                           const AllowedMetadata& allowed = {});

// Does the cache say that the Secret is as desired, with that token?
bool is_current(const DesiredSecret& desired, const api::RobotTokenRotation& rotation,
                const api::ManagedSecret* cached, std::string_view user, base::Fingerprint token);

// The field manager of a rotation: "quay-rotator/<name>", shortened by a digest where Kubernetes'
// limit of 128 characters demands it.
std::string field_manager(const api::RobotTokenRotation& rotation);

// The object that is applied, with the preconditions of `mode`. `owner`: with an owner reference
// where the rotation's deletionPolicy wants one.
base::SecretString secret_manifest(const DesiredSecret& desired,
                                   const api::RobotTokenRotation& rotation, const WriteMode& mode,
                                   const base::SecretString& docker_config, bool owner = true);

// Thread-safe. Targets are written in parallel, at most 16 at a time; in the calling thread when
// there is only one. What it wrote goes into the cache at once.
class Publisher {
 public:
  Publisher(kube::Client& client, runtime::Store<api::ManagedSecret>& cache,
            base::Executor& executor, base::Log log);

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
  // Secrets of this rotation that are no longer among its targets: deleted with deletionPolicy
  // Delete (by uid), left alone with Retain. Only those that carry this rotation's own owner
  // reference: a copy that somebody made is theirs. Nothing is deleted while the API server holds
  // another spec than `rotation`. Walks through the whole cache.
  std::vector<Problem> prune(const api::RobotTokenRotation& rotation,
                             const std::vector<DesiredSecret>& targets,
                             const std::stop_token& stop);

 private:
  struct Order;  // what to write, and whether only to try
  // One result for each target.
  std::vector<std::optional<Problem>> write_all(const Order& order,
                                                const std::vector<const DesiredSecret*>& targets,
                                                const std::stop_token& stop);
  std::optional<Problem> write(const Order& order, const DesiredSecret& desired,
                               const std::stop_token& stop);
  kube::Expected<std::string> release(const api::RobotTokenRotation& rotation,
                                      const ExistingSecret& existing, const kube::ObjectKey& key,
                                      nlohmann::json owners, const std::stop_token& stop);
  std::vector<std::string> managers(const Order& order, const DesiredSecret& desired,
                                    const std::stop_token& stop);

  kube::Client& client_;
  runtime::Store<api::ManagedSecret>& cache_;
  base::Executor& executor_;
  base::Log log_;
};

}  // namespace quay_rotator::target
