// The smallest merge patch (RFC 7386) from one value to another. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace quay_rotator::api {

// Turns `before` into `after`, an object; an empty object when they are equal.
nlohmann::json status_patch(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace quay_rotator::api
