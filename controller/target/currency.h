// Is a target as it should be? Not a bool but a chain of findings: what is wrong with it, the most
// telling first. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/managed_secret.h"
#include "base/fingerprint.h"
#include "kube/object.h"
#include "target/target.h"

namespace quay_rotator::target {

struct Finding {
  // In the order in which they are looked for.
  enum class What : std::uint8_t {
    missing,  // nothing else is said then
    type,
    owner,            // its annotations name another, or another life of this one
    content,          // it holds no login of the shape that the operator writes
    login,            // … or one with another token, user or list of registries
    owner_reference,  // it lacks ours, has one that it should not have, or a former owner's
    label,
    annotation,
  };
  kube::ObjectKey secret;
  What what = What::missing;
  std::string key;  // of the label or annotation
  bool operator==(const Finding&) const = default;
};

// What is wrong with a Secret, by the cache (null: it is not there), when it should hold that
// token. Nothing: it is current.
std::vector<Finding> currency(const DesiredSecret& desired, const api::ManagedSecret* cached,
                              std::string_view user, base::Fingerprint token);

// "Secret quay-pull was missing", "Secret quay-pull was edited: its content".
std::string text(const Finding& finding);
// The first of them, and how many other Secrets there are; "" of none.
std::string summary(const std::vector<Finding>& findings);

}  // namespace quay_rotator::target
