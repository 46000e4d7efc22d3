// QuayConnection: how to reach one Quay.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "api/condition.h"
#include "api/group.h"
#include "base/error.h"
#include "kube/object.h"
#include "kube/packing.h"

namespace quay_rotator::api {

// A key of a Secret or ConfigMap in the connection's namespace.
struct KeyReference {
  enum class Kind { secret, config_map };
  Kind kind = Kind::secret;
  std::string name;
  std::string key;
  bool operator==(const KeyReference&) const = default;
};

struct QuayConnectionSpec {
  std::string url;
  bool allow_insecure = false;
  KeyReference credentials;               // key defaults to "token"
  std::optional<KeyReference> ca_secret;  // at most one of these two; key defaults to "ca.crt"
  std::optional<KeyReference> ca_config_map;
  std::string proxy_url;           // "": from the environment
  double requests_per_second = 0;  // 0: no limit
  int burst = 10;
  bool operator==(const QuayConnectionSpec&) const = default;

  // Where the only CA is that is trusted; null: the system's are.
  [[nodiscard]] const KeyReference* ca() const {
    if (ca_secret) return &*ca_secret;
    return ca_config_map ? &*ca_config_map : nullptr;
  }
};

struct QuayConnectionStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions;
  bool operator==(const QuayConnectionStatus&) const = default;
};

struct QuayConnection {
  kube::ObjectMeta meta;
  std::int64_t generation = 0;
  bool deleting = false;
  QuayConnectionSpec spec;
  QuayConnectionStatus status;
  bool operator==(const QuayConnection&) const = default;

  // The error names the field, what was expected and what came.
  static base::Expected<QuayConnection> from_json(const nlohmann::json& object);
  // "spec.url: string", …: for the check against the CRD.
  static std::set<std::string> described();
  void pack(kube::Packer& packer) const;
  void unpack(kube::Unpacker& unpacker);
};

nlohmann::json to_json(const QuayConnectionStatus& status);
// See api/status_patch.h.
nlohmann::json status_patch(const QuayConnectionStatus& before, const QuayConnectionStatus& after);

}  // namespace quay_rotator::api
