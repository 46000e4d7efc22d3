#include "cluster/pull_secret.h"

#include "base/base64.h"

namespace quay_rotator::cluster {

using nlohmann::json;

std::string token_in(const json& secret) {
  const auto data =
      base::base64_decode(secret.at("data").value(".dockerconfigjson", std::string()));
  if (!data) return "";
  const json config = json::parse(data->reveal(), nullptr, false);
  if (!config.is_object() || !config.contains("auths") || config.at("auths").empty()) return "";
  return config.at("auths").begin()->value("password", "");
}

}  // namespace quay_rotator::cluster
