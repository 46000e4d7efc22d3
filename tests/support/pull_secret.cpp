#include "support/pull_secret.h"

#include "base/base64.h"

namespace quay_rotator::testing {

using nlohmann::json;

namespace {

std::string in_first_entry(const json& secret, const char* member) {
  const auto data = secret.find("data");
  if (data == secret.end() || !data->is_object()) return "";
  const auto text = base::base64_decode(data->value(".dockerconfigjson", ""));
  if (!text) return "";
  const json config = json::parse(text->reveal(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("auths") || config.at("auths").empty()) return "";
  return config.at("auths").begin()->value(member, "");
}

}  // namespace

std::string token_in(const json& secret) {
  return in_first_entry(secret, "password");
}

std::string user_in(const json& secret) {
  return in_first_entry(secret, "username");
}

}  // namespace quay_rotator::testing
