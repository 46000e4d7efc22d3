// The content of a kubernetes.io/dockerconfigjson Secret. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/secret_string.h"

namespace quay_rotator::target {

// {"auths":{"<registry>":{"username","password","auth"}}} with keys in sorted order, so that equal
// input gives equal bytes.
base::SecretString docker_config(std::vector<std::string> registries, std::string_view user,
                                 const base::SecretString& token);

}  // namespace quay_rotator::target
