#include "target/render.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "api/group.h"
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

  const auto auth = basic_credential(user, token);

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

base::SecretString basic_credential(std::string_view user, const base::SecretString& token) {
  auto pair = base::SecretString::copy_of(user);
  pair.append(":");
  pair.append(token.reveal());
  return base::base64_encode(pair.reveal());
}

std::vector<Datum> secret_data(const DesiredSecret& desired, std::string_view user,
                               const base::SecretString& token) {
  std::vector<Datum> data;
  switch (desired.shape) {
    case api::SecretShape::docker_config:
      data.push_back(
          {api::docker_config_key,
           base::base64_encode(docker_config(desired.registries, user, token).reveal())});
  }
  return data;
}

base::SecretString secret_manifest(const DesiredSecret& desired, const WriteMode& mode,
                                   const std::vector<Datum>& data, bool owner) {
  nlohmann::json metadata = {{"name", desired.key.name},
                             {"namespace", desired.key.name_space},
                             {"labels", desired.labels},
                             {"annotations", desired.annotations}};
  auto& annotations = metadata["annotations"];
  annotations[std::string(api::owner_annotation)] = desired.owner.key.text();
  annotations[std::string(api::owner_uid_annotation)] = desired.owner.uid;
  if (!mode.uid.empty()) metadata["uid"] = mode.uid;
  if (!mode.resource_version.empty()) metadata["resourceVersion"] = mode.resource_version;
  if (owner && desired.owned) {
    metadata["ownerReferences"] = {{{"apiVersion", api::rotations.api_version()},
                                    {"kind", api::rotations.kind},
                                    {"name", desired.owner.key.name},
                                    {"uid", desired.owner.uid},
                                    {"controller", true},
                                    {"blockOwnerDeletion", false}}};
  }
  const nlohmann::json open = {{"apiVersion", kube::secrets.api_version()},
                               {"kind", kube::secrets.kind},
                               {"metadata", std::move(metadata)},
                               {"type", api::type_of(desired.shape)}};
  // The content is added to the finished text, so that no JSON library gets to copy it.
  auto text = open.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.pop_back();
  base::SecretString manifest(std::move(text));
  std::string_view before = ",\"data\":{\"";
  for (const Datum& datum : data) {
    manifest.append(std::exchange(before, ",\""));
    manifest.append(datum.key);
    manifest.append("\":\"");
    manifest.append(datum.value.reveal());
    manifest.append("\"");
  }
  manifest.append("}}");
  return manifest;
}

}  // namespace quay_rotator::target
