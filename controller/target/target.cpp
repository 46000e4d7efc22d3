#include "target/target.h"

#include <algorithm>
#include <utility>

#include "base/fingerprint.h"

namespace quay_rotator::target {

namespace {

// The digest of the labels' and annotations' names that were applied. The cache knows what a Secret
// has, not what of it is ours; without this a label that is taken out of the spec would stay on the
// Secret until its next rotation.
constexpr std::string_view applied_annotation = "quayrotator.dev/applied-metadata";

std::string digest_of_names(const DesiredSecret& desired) {
  std::string names;
  for (const auto& [key, value] : desired.labels) names += key + "\n";
  names += "\n";
  for (const auto& [key, value] : desired.annotations) names += key + "\n";
  return base::digest_text(names);
}

}  // namespace

std::vector<DesiredSecret> desired_secrets(const api::RobotTokenRotation& rotation,
                                           const std::string& default_registry,
                                           const AllowedMetadata& allowed) {
  std::vector<DesiredSecret> all;
  for (const auto& target : rotation.spec.targets) {
    DesiredSecret desired{{rotation.meta.key.name_space, target.name},
                          target.registries,
                          target.labels,
                          target.annotations,
                          Owner::of(rotation),
                          rotation.spec.deletion_policy == api::DeletionPolicy::delete_};
    const auto refused = [&](const auto& entry) { return !allowed.allows(entry.first); };
    std::erase_if(desired.labels, refused);
    std::erase_if(desired.annotations, refused);
    auto& registries = desired.registries;
    if (registries.empty()) registries.push_back(default_registry);
    std::sort(registries.begin(), registries.end());
    registries.erase(std::unique(registries.begin(), registries.end()), registries.end());

    const std::string names = digest_of_names(desired);
    desired.labels.insert_or_assign(std::string(api::managed_by_label),
                                    std::string(api::managed_by_value));
    desired.annotations.erase(std::string(api::owner_annotation));
    desired.annotations.erase(std::string(api::owner_uid_annotation));
    desired.annotations.insert_or_assign(std::string(applied_annotation), names);
    all.push_back(std::move(desired));
  }
  return all;
}

}  // namespace quay_rotator::target
