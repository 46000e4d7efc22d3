// The JSON of a Secret or ConfigMap as the API server answers it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "api/quay_connection.h"
#include "base/secret_string.h"

namespace quay_rotator::target {

// Owns the document and wipes every string in it when it is destroyed: what `kubectl apply` keeps
// in an annotation may hold a token as well as the data does. Not synchronized.
class SecretDocument {
 public:
  explicit SecretDocument(nlohmann::json&& document);
  SecretDocument(const SecretDocument&) = delete;
  SecretDocument& operator=(const SecretDocument&) = delete;
  ~SecretDocument();

  [[nodiscard]] const nlohmann::json& json() const { return *document_; }
  // The value of a key: in `data` (base64) of a Secret, in `data` or `binaryData` of a ConfigMap.
  // Nothing when there is no such key, or it is no base64.
  [[nodiscard]] std::optional<base::SecretString> value(api::KeyReference::Kind kind,
                                                        std::string_view key) const;

 private:
  std::unique_ptr<nlohmann::json> document_;
};

}  // namespace quay_rotator::target
