#include "kube/cluster_identity.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::kube {

Expected<std::string> cluster_identity(Client& client, const std::string& name_space,
                                       const std::stop_token& stop) {
  const auto answer = client.get(namespaces, {"", name_space}, stop);
  if (!answer) return tl::unexpected(answer.error());
  const nlohmann::json* uid = base::find(*answer, "metadata.uid");
  if (uid != nullptr && uid->is_string() && !uid->get_ref<const std::string&>().empty()) {
    return uid->get<std::string>();
  }
  Error error;
  error.kind = Error::Kind::malformed;
  error.message = "get namespaces " + name_space + ": the answer has no metadata.uid";
  return tl::unexpected(std::move(error));
}

}  // namespace quay_rotator::kube
