// The JSON of a Secret or ConfigMap as the API server answers it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/secret_string.h"

namespace quay_rotator::kube {

// Owns the document, which is wiped as all is that the program frees (app/wiping_allocator.cpp).
// Not synchronized.
class SecretDocument {
 public:
  explicit SecretDocument(nlohmann::json&& document);
  SecretDocument(const SecretDocument&) = delete;
  SecretDocument& operator=(const SecretDocument&) = delete;
  ~SecretDocument();

  [[nodiscard]] const nlohmann::json& json() const { return *document_; }
  // The value of a key of a Secret, from `data` (base64), or of a ConfigMap, from `data` or
  // `binaryData`. Nothing when there is no such key, or it is no base64.
  [[nodiscard]] std::optional<base::SecretString> secret_value(std::string_view key) const;
  [[nodiscard]] std::optional<base::SecretString> config_map_value(std::string_view key) const;

 private:
  // Of a member that is a map of texts.
  [[nodiscard]] const std::string* text(std::string_view map, std::string_view key) const;

  std::unique_ptr<nlohmann::json> document_;
};

}  // namespace quay_rotator::kube
