// What a JWT says of itself (RFC 7519). Nothing here is verified: whoever takes it for a login does
// that. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace quay_rotator::quay {

struct Claims {
  std::string issuer;
  std::string subject;
  std::optional<base::WallTime> issued;
  std::optional<base::WallTime> expires;
};

// Nothing: it is no JWT, or its claims are more than 16 KiB. A claim of another type than it should
// have is as if absent.
std::optional<Claims> read_claims(std::string_view jwt);

// When a credential ends that was asked for at `asked`, by the clock that says so: its issuer's may
// be another, and then its life counts. Nothing: it does not tell, or has ended already. At most a
// day later: what another party says of years is not believed.
std::optional<base::WallTime> end_of(const Claims& claims, base::WallTime asked);

}  // namespace quay_rotator::quay
