#include "target/prune.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "base/json.h"

namespace quay_rotator::target {

Pruner::Pruner(kube::Client& client, runtime::Store<api::ManagedSecret>& cache, base::Log log)
    : client_(client), cache_(cache), log_(std::move(log)) {}

std::vector<Problem> Pruner::prune(const api::RobotTokenRotation& rotation,
                                   const std::vector<DesiredSecret>& targets,
                                   const std::stop_token& stop) {
  if (rotation.spec.deletion_policy == api::DeletionPolicy::retain) return {};
  const auto& key = rotation.meta.key;
  std::vector<kube::ObjectMeta> former;
  const auto look = [&](const api::ManagedSecret& secret) {
    if (secret.owner != key) return;
    const bool ours = std::binary_search(secret.marks.begin(), secret.marks.end(),
                                         api::owner_mark(rotation.meta.uid));
    const bool wanted = std::any_of(targets.begin(), targets.end(), [&](const auto& target) {
      return target.key == secret.meta.key;
    });
    if (ours && !wanted) former.push_back(secret.meta);
  };
  cache_.each(look, key.name_space);
  if (former.empty()) return {};

  // The caches of Secrets and of rotations are not of one age: what looks like a former target may
  // be a new one that another replica has just written.
  const auto live = client_.get(api::rotations, key, stop);
  if (!live) {
    // Where the rotation is gone, Kubernetes collects what it owned.
    if (live.error().kind == kube::Error::Kind::not_found) return {};
    return {problem_of(former.front().key, live.error())};
  }
  const auto uid = base::string_or(*live, "metadata.uid", "");
  const auto generation = base::integer_or(*live, "metadata.generation", 0);
  if (uid.value_or("") != rotation.meta.uid || generation.value_or(0) != rotation.generation) {
    return {};  // it has changed; the watch brings it back to us
  }

  std::vector<Problem> problems;
  for (const auto& secret : former) {
    const auto removed = client_.remove(kube::secrets, secret.key, {secret.uid, ""}, stop);
    if (removed) {
      log_.info("deleted a Secret that is no longer a target",
                {{"resource", key.text()}, {"secret", secret.key.text()}});
      cache_.erase(secret.key);
    } else if (removed.error().kind != kube::Error::Kind::conflict) {
      // A conflict: that Secret is gone and this one is somebody else's.
      problems.push_back(problem_of(secret.key, removed.error()));
    }
  }
  return problems;
}

}  // namespace quay_rotator::target
