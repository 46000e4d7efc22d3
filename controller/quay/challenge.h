// The WWW-Authenticate header of a registry (RFC 7235).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quay_rotator::quay {

struct BearerChallenge {
  std::string realm;
  std::string service;  // may be empty
};

// The first Bearer challenge with a realm in the header's value, which may hold others before it
// ("Basic realm=…, Bearer realm=…"); nothing when there is none or the header is malformed.
std::optional<BearerChallenge> parse_bearer_challenge(std::string_view header);

}  // namespace quay_rotator::quay
