#include "runtime/store.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::runtime {

base::Expected<kube::ObjectMeta> read_meta(const nlohmann::json& object) {
  auto name = base::required_string(object, "metadata.name");
  if (!name) return tl::unexpected(std::move(name.error()));
  auto name_space = base::string_or(object, "metadata.namespace", "");
  if (!name_space) return tl::unexpected(std::move(name_space.error()));
  auto uid = base::string_or(object, "metadata.uid", "");
  if (!uid) return tl::unexpected(std::move(uid.error()));
  auto version = base::required_string(object, "metadata.resourceVersion");
  if (!version) return tl::unexpected(std::move(version.error()));
  return kube::ObjectMeta{
      {std::move(*name_space), std::move(*name)}, std::move(*uid), std::move(*version)};
}

}  // namespace quay_rotator::runtime
