#include "api/status_patch.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::api {

using nlohmann::json;

json status_patch(const json& before, const json& after) {
  json patch = json::object();
  const bool any_before = before.is_object();
  if (any_before) {
    for (const auto& [key, value] : before.items()) {
      if (!after.contains(key)) patch[key] = nullptr;
    }
  }
  for (const auto& [key, value] : after.items()) {
    const json* old = any_before ? base::find(before, key) : nullptr;
    if (old != nullptr && *old == value) continue;
    const bool merges = old != nullptr && old->is_object() && value.is_object();
    patch[key] = merges ? status_patch(*old, value) : value;
  }
  return patch;
}

}  // namespace quay_rotator::api
