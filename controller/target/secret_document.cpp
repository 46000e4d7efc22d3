#include "target/secret_document.h"

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"

namespace quay_rotator::target {

namespace {

void wipe_strings(nlohmann::json& value) {
  if (auto* text = value.get_ptr<std::string*>()) {
    base::wipe(*text);
  } else if (value.is_structured()) {
    for (auto& member : value) wipe_strings(member);
  }
}

}  // namespace

SecretDocument::SecretDocument(nlohmann::json&& document)
    : document_(std::make_unique<nlohmann::json>(std::move(document))) {}

SecretDocument::~SecretDocument() {
  wipe_strings(*document_);
}

std::optional<base::SecretString> SecretDocument::value(api::KeyReference::Kind kind,
                                                        std::string_view key) const {
  const bool config_map = kind == api::KeyReference::Kind::config_map;
  const auto member = [&](std::string_view map) -> const std::string* {
    const auto* data = base::find(json(), map);
    if (data == nullptr || !data->is_object()) return nullptr;
    const auto found = data->find(key);
    return found == data->end() ? nullptr : found->get_ptr<const std::string*>();
  };
  if (config_map) {
    if (const auto* text = member("data")) return base::SecretString::copy_of(*text);
  }
  const auto* encoded = member(config_map ? "binaryData" : "data");
  return encoded == nullptr ? std::nullopt : base::base64_decode(*encoded);
}

}  // namespace quay_rotator::target
