// Does a text quote a secret, in whole or in part? Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/secret_string.h"

namespace quay_rotator::rotation {

// The texts in which a robot's token goes over the wire: itself, and base64 of it however what is
// before it shifts the bits; `written` is what else holds it (an `auth`, a Secret's data).
std::vector<base::SecretString> written_forms(const base::SecretString& token,
                                              std::vector<base::SecretString> written);

// Eight characters in a row of any of them, in either case and either alphabet of base64, are a
// quotation: what is cut short at both ends too.
bool quotes(std::string_view text, const std::vector<base::SecretString>& forms);

}  // namespace quay_rotator::rotation
