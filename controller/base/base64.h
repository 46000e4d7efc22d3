// Standard base64 (RFC 4648, padded), over OpenSSL.
#pragma once

#include <optional>
#include <string_view>

#include "base/secret_string.h"

namespace quay_rotator::base {

SecretString base64_encode(std::string_view bytes);
// Nothing when the text is not base64; line breaks are not accepted.
std::optional<SecretString> base64_decode(std::string_view text);

}  // namespace quay_rotator::base
