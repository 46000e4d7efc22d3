// A Secret that this operator wrote, as much of it as may be kept: digests, never the data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "base/fingerprint.h"
#include "kube/object.h"
#include "kube/packing.h"

namespace quay_rotator::api {

// Marks what we wrote; the watch selects by this label.
inline constexpr std::string_view managed_by_label = "app.kubernetes.io/managed-by";
inline constexpr std::string_view managed_by_value = "quay-rotator";
// Which RobotTokenRotation owns the Secret: "namespace/name", and the uid of that one.
inline constexpr std::string_view owner_annotation = "quayrotator.dev/rotation";
inline constexpr std::string_view owner_uid_annotation = "quayrotator.dev/rotation-uid";
// Set by the owner of a foreign Secret: the name of the rotation that may take it over.
inline constexpr std::string_view take_over_annotation = "quayrotator.dev/allow-take-over-by";
inline constexpr std::string_view docker_config_key = ".dockerconfigjson";

// How a Secret holds a login.
enum class SecretShape : std::uint8_t { docker_config };
std::string_view type_of(SecretShape shape);  // the Secret's `type`
// Nothing: it is none that is written.
std::optional<SecretShape> shape_of(std::string_view type);

struct ManagedSecret {
  kube::ObjectMeta meta;
  kube::ObjectKey owner;        // owner_named() by it; without a name: nobody
  std::uint64_t owner_uid = 0;  // owner_mark of owner_uid_annotation's value; 0: it has none
  std::optional<SecretShape> shape;
  bool immutable = false;
  bool controlled = false;           // by another controller than a RobotTokenRotation
  int rotations = 0;                 // owner references to a RobotTokenRotation, whichever
  std::uint64_t content = 0;         // credentials_digest of what it holds; 0: not what we write
  std::vector<std::uint64_t> marks;  // sorted digests of "label key=value", "annotation key=value"
                                     // (but the owner's two), "owner uid"
  bool operator==(const ManagedSecret&) const = default;

  static base::Expected<ManagedSecret> from_json(const nlohmann::json& object);
  void pack(kube::Packer& packer) const;
  void unpack(kube::Unpacker& unpacker);
};

// Of an owner reference: is its owner a RobotTokenRotation? And is the owner in charge?
bool names_rotation(const nlohmann::json& owner_reference);
bool names_controller(const nlohmann::json& owner_reference);

// Whom owner_annotation's value on a Secret of that namespace names: "namespace/name", or a bare
// name of that namespace. Without a name: nobody, it is no such value.
kube::ObjectKey owner_named(std::string_view value, std::string_view name_space);

std::uint64_t label_mark(std::string_view key, std::string_view value);
std::uint64_t annotation_mark(std::string_view key, std::string_view value);
std::uint64_t owner_mark(std::string_view uid);

// The digest of a .dockerconfigjson that gives `user` with a token of that fingerprint for exactly
// these registries (any order).
std::uint64_t credentials_digest(std::vector<std::string> registries, std::string_view user,
                                 base::Fingerprint token);

}  // namespace quay_rotator::api
