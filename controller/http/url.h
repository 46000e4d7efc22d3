// URLs as this program meets them: origins of servers, a realm, path segments and query values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace quay_rotator::http {

struct Url {
  std::string scheme;      // "http" or "https", lower case
  std::string host;        // lower case; IPv6 without brackets
  std::uint16_t port = 0;  // the scheme's default when the text has none
  std::string target;      // path and query as they stand, at least "/"

  // "https://host:port", the port only when it is not the default, IPv6 in brackets: two spellings
  // of one server give the same text.
  [[nodiscard]] std::string origin() const;
  // "host" or "host:port" in the same manner: the key that image references use.
  [[nodiscard]] std::string authority() const;
};

// http and https only; user info, fragments, spaces and control characters are refused, each with
// its own message.
base::Expected<Url> parse_url(std::string_view text);

// Percent-encodes everything but unreserved characters ("+" becomes "%2B", "/" "%2F").
std::string percent_encode(std::string_view text);

}  // namespace quay_rotator::http
