#include "simulation/promises/one_cluster.h"

#include "api/robot_token_rotation.h"

namespace quay_rotator::simulation {

namespace {

std::string mark_in(const nlohmann::json& rotation) {
  const auto annotations = rotation["metadata"].value("annotations", nlohmann::json::object());
  return annotations.value(std::string(api::cluster_annotation), "");
}

}  // namespace

void OneCluster::on_copied(const Change& change) {
  if (change.plural != api::rotations.plural) return;
  rotations_[change.key] = change.after;
  if (change.caller == nullptr || !change.after || !change.before) return;
  const std::string before = mark_in(*change.before);
  if (!before.empty() && before != mark_in(*change.after)) {
    violate("I9 a cluster took the mark of " + before + " from " + change.key.text());
  }
}

void OneCluster::on_copys_post(const std::string& robot) {
  ++posts_;
  bool ours = false;
  for (const auto& [key, rotation] : rotations_) {
    const bool names = rotation && (robot_of(*rotation) == robot || standby_of(*rotation) == robot);
    ours = ours || (names && mark_in(*rotation) == copy_);
  }
  if (!ours) violate("I9 a copy of the cluster regenerated " + robot);
}

}  // namespace quay_rotator::simulation
