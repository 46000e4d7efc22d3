// What a pull Secret of the API server holds.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace quay_rotator::testing {

// The password in its first entry; "" when there is none.
std::string token_in(const nlohmann::json& secret);

// … and its user.
std::string user_in(const nlohmann::json& secret);

}  // namespace quay_rotator::testing
