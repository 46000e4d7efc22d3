#include "target/docker_config.h"

#include <algorithm>

#include "base/base64.h"

namespace quay_rotator::target {

namespace {

// Appends `text` as a JSON string. By hand, because a JSON library would keep copies of the token
// in memory that nobody wipes. Bytes above 0x7f go through: the text is UTF-8.
void append_string(base::SecretString& json, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  json.append("\"");
  std::size_t plain = 0;  // where what needs no escape began
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    json.append(text.substr(plain, at - plain));
    plain = at + 1;
    if (byte == '"') {
      json.append("\\\"");
    } else if (byte == '\\') {
      json.append("\\\\");
    } else {
      json.append("\\u00");
      json.append(digits.substr(byte >> 4U, 1));
      json.append(digits.substr(byte & 0xFU, 1));
    }
  }
  json.append(text.substr(plain));
  json.append("\"");
}

}  // namespace

base::SecretString docker_config(std::vector<std::string> registries, std::string_view user,
                                 const base::SecretString& token) {
  std::sort(registries.begin(), registries.end());
  registries.erase(std::unique(registries.begin(), registries.end()), registries.end());

  auto pair = base::SecretString::copy_of(user);
  pair.append(":");
  pair.append(token.reveal());
  const auto auth = base::base64_encode(pair.reveal());

  auto json = base::SecretString::copy_of("{\"auths\":{");
  std::string_view separator;
  for (const auto& registry : registries) {
    json.append(separator);
    separator = ",";
    append_string(json, registry);
    json.append(":{\"username\":");
    append_string(json, user);
    json.append(",\"password\":");
    append_string(json, token.reveal());
    json.append(",\"auth\":");
    append_string(json, auth.reveal());
    json.append("}");
  }
  json.append("}}");
  return json;
}

}  // namespace quay_rotator::target
