#include "kube/secret_document.h"

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"

namespace quay_rotator::kube {

SecretDocument::SecretDocument(nlohmann::json&& document)
    : document_(std::make_unique<nlohmann::json>(std::move(document))) {}

SecretDocument::~SecretDocument() = default;

const std::string* SecretDocument::text(std::string_view map, std::string_view key) const {
  const auto* values = base::find(json(), map);
  if (values == nullptr || !values->is_object()) return nullptr;
  const auto found = values->find(key);
  return found == values->end() ? nullptr : found->get_ptr<const std::string*>();
}

std::optional<base::SecretString> SecretDocument::secret_value(std::string_view key) const {
  const auto* encoded = text("data", key);
  return encoded == nullptr ? std::nullopt : base::base64_decode(*encoded);
}

std::optional<base::SecretString> SecretDocument::config_map_value(std::string_view key) const {
  if (const auto* plain = text("data", key)) return base::SecretString::copy_of(*plain);
  const auto* encoded = text("binaryData", key);
  return encoded == nullptr ? std::nullopt : base::base64_decode(*encoded);
}

}  // namespace quay_rotator::kube
