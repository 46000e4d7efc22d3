// Names of Kubernetes things.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"

namespace quay_rotator::kube {

// A kind of object as the API addresses it. Values live as constants; see resources below.
struct Resource {
  std::string_view group;  // "" for core
  std::string_view version;
  std::string_view plural;
  std::string_view kind;
  bool namespaced = true;
  // What to do where the API server does not know it; may be empty.
  std::string_view when_unknown{};

  // "v1" or "group/version".
  [[nodiscard]] std::string api_version() const;
};

inline constexpr Resource secrets{"", "v1", "secrets", "Secret"};
inline constexpr Resource config_maps{"", "v1", "configmaps", "ConfigMap"};
inline constexpr Resource namespaces{"", "v1", "namespaces", "Namespace", false};
inline constexpr Resource service_accounts{"", "v1", "serviceaccounts", "ServiceAccount"};
inline constexpr Resource events{"events.k8s.io", "v1", "events", "Event"};
inline constexpr Resource leases{"coordination.k8s.io", "v1", "leases", "Lease"};

struct ObjectKey {
  std::string name_space;  // "" for cluster-scoped objects
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
  // "namespace/name", or "name".
  [[nodiscard]] std::string text() const;
};

// What every projection of an object keeps.
struct ObjectMeta {
  ObjectKey key;
  std::string uid;
  std::string resource_version;
  bool operator==(const ObjectMeta&) const = default;
};

// -1, 0, 1 as `a` is older than, the same as or newer than `b`. Resource versions of one kind are
// integers that grow (Kubernetes 1.35 guarantees it, etcd-backed servers always did); where one
// is no integer only equality is known and anything else counts as newer.
int compare_resource_versions(std::string_view a, std::string_view b);

// The proof that the API server's storage was put back to an older state: an object whose version
// was known to be `known` is at `read` when it is asked for after that. It needs a read that went
// to the storage, as a GET or the answer of a write does. A version that is no integer proves
// nothing.
bool proves_lost_history(std::string_view known, std::string_view read);

// Parses what the API server sent and leaves out every metadata.managedFields while at it: they are
// most of a small object, and nobody here reads them. Errors as base::parse_json.
base::Expected<nlohmann::json> parse_object(std::string_view text);

}  // namespace quay_rotator::kube

template <>
struct std::hash<quay_rotator::kube::ObjectKey> {
  std::size_t operator()(const quay_rotator::kube::ObjectKey& key) const noexcept {
    const std::hash<std::string> of_text;
    return of_text(key.name_space) * 31U + of_text(key.name);
  }
};
