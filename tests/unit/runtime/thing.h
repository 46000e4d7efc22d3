// The smallest projection: what the tests of the store and the reflector keep.
#pragma once

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "kube/object.h"
#include "runtime/store.h"

namespace quay_rotator::runtime::testing {

struct Thing {
  kube::ObjectMeta meta;
  std::string value;

  static base::Expected<Thing> from_json(const nlohmann::json& object) {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    auto value = base::required_string(object, "spec.value");
    if (!value) return tl::unexpected(std::move(value.error()));
    return Thing{std::move(*meta), std::move(*value)};
  }
  void pack(kube::Packer& packer) const {
    packer(meta);
    packer(value);
  }
  void unpack(kube::Unpacker& unpacker) {
    unpacker(meta);
    unpacker(value);
  }
};

inline nlohmann::json thing(const std::string& name, int version, const std::string& value = "v",
                            const std::string& name_space = "team-a", const std::string& uid = "") {
  return {{"metadata",
           {{"name", name},
            {"namespace", name_space},
            {"uid", uid.empty() ? "uid-" + name : uid},
            {"resourceVersion", std::to_string(version)}}},
          {"spec", {{"value", value}}}};
}

// One whose value is no string.
inline nlohmann::json broken_thing(const std::string& name, int version) {
  auto object = thing(name, version);
  object["spec"]["value"] = 5;
  return object;
}

}  // namespace quay_rotator::runtime::testing
