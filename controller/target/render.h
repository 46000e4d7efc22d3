// A target as it is written: the .dockerconfigjson, and the Secret around it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/secret_string.h"
#include "target/decide.h"
#include "target/target.h"

namespace quay_rotator::target {

// {"auths":{"<registry>":{"username","password","auth"}}} with keys in sorted order, so that equal
// input gives equal bytes.
base::SecretString docker_config(std::vector<std::string> registries, std::string_view user,
                                 const base::SecretString& token);

// What an entry's `auth` holds: "user:token" in base64.
base::SecretString basic_credential(std::string_view user, const base::SecretString& token);

// The object that is applied, with the preconditions of `mode`. `owner`: with an owner reference
// where one is wanted.
base::SecretString secret_manifest(const DesiredSecret& desired, const WriteMode& mode,
                                   const base::SecretString& docker_config, bool owner = true);

}  // namespace quay_rotator::target
