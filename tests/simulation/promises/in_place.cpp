#include "simulation/promises/in_place.h"

#include <algorithm>

#include "api/group.h"

namespace quay_rotator::simulation {

void InPlace::on_request(const Message& message, const Address& address,
                         const base::Executor& caller) {
  if (message.method != http::Method::get || address.plural != api::rotations.plural ||
      address.key.name.empty()) {
    return;
  }
  const auto rotation = known().api.find(api::rotations, address.key);
  read_[{&caller, address.key}] = rotation ? targets_of(*rotation) : std::vector<kube::ObjectKey>{};
}

void InPlace::on_secret(const Change& change) {
  if (change.caller == nullptr) return;
  if (change.after) {
    if (change.before &&
        text_at(*change.before, "/metadata/uid") != text_at(*change.after, "/metadata/uid")) {
      violate("I4 another UID for " + change.key.text());
    }
    return;
  }
  const auto has = [&](const std::vector<kube::ObjectKey>& keys) {
    return std::ranges::find(keys, change.key) != keys.end();
  };
  for (const auto& [key, rotation] : known().rotations()) {
    if (!has(targets_of(*rotation.object))) continue;
    const auto read = read_.find({change.caller, key});
    if (read == read_.end() || has(read->second)) {
      violate("I4 the operator deleted the target " + change.key.text());
    }
  }
}

}  // namespace quay_rotator::simulation
