#include "simulation/promises/one_owner.h"

#include <algorithm>

#include "api/managed_secret.h"
#include "simulation/process.h"

namespace quay_rotator::simulation {

using nlohmann::json;

bool OneOwner::owns(const Rotation& rotation) const {
  const auto owner = known().owner(rotation.robot);
  return owner && owner->key == rotation.key;
}

void OneOwner::on_rotation(const Change& change) {
  if (!begins_ledger(change) || owns(*known().rotation(change.key))) return;
  violate("I7 a ledger in " + change.key.text() + ", which does not own its robot");
}

void OneOwner::on_secret(const Change& change) {
  if (change.caller == nullptr || !change.after) return;
  const json& annotations = (*change.after)["metadata"]["annotations"];
  const std::string owner = annotations.value(std::string(api::owner_annotation), "");
  const Rotation* rotation = known().rotation(api::owner_named(owner, change.key.name_space));
  if (rotation == nullptr) return;
  // Written for a resource of the same name that was deleted while the request was on its way?
  if (!is_owned_by(*change.after, rotation->uid())) return;
  // Until somebody has proven a claim everybody may read the robot and write what was read; so may
  // whoever was at it when somebody did, and one of several leaders that slept through it.
  const auto first = known().owner(rotation->robot);
  if (!first || first->key == rotation->key) return;
  const auto& writer = dynamic_cast<const Process&>(*change.caller);
  const base::MonotonicTime could_know = std::max(first->proven_at, writer.awake_since());
  if (known().world.now() - could_know <= Calm::after) return;
  violate("I7 " + rotation->key.text() + " wrote " + change.key.text() + " and " +
          first->key.text() + " owns the robot");
}

void OneOwner::add_unsettled(std::vector<std::string>& problems) const {
  for (const auto& [key, rotation] : known().rotations()) {
    if (rotation.robot.host.empty()) continue;  // no Quay of this world
    const bool conflict = condition_is_true(*rotation.object, "Conflict");
    if (conflict == !owns(rotation)) continue;
    problems.push_back(conflict ? "I7 the owner " + key.text() + " says Conflict"
                                : "I7 no Conflict in " + key.text());
  }
}

}  // namespace quay_rotator::simulation
