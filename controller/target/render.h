// A target as it is written: what it holds, by its shape, and the Secret around it. Pure.
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

// A key of a Secret with its value in base64.
struct Datum {
  std::string_view key;
  base::SecretString value;
};
// All that a Secret of that shape holds.
std::vector<Datum> secret_data(const DesiredSecret& desired, std::string_view user,
                               const base::SecretString& token);

// The object that is applied, with the preconditions of `mode`. `owner`: with an owner reference
// where one is wanted.
base::SecretString secret_manifest(const DesiredSecret& desired, const WriteMode& mode,
                                   const std::vector<Datum>& data, bool owner = true);

}  // namespace quay_rotator::target
