#include "quay/jwt.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"

namespace quay_rotator::quay {

namespace {

constexpr std::size_t most_claims = 16U << 10U;
constexpr base::WallTime::duration longest_life = std::chrono::hours(24);
// The years 1970 to 9999.
constexpr double most_seconds = 253'402'300'799;

std::optional<base::WallTime> time_of(const nlohmann::json& claims, const char* name) {
  const nlohmann::json* value = base::find(claims, name);
  if (value == nullptr) return std::nullopt;
  const auto seconds = base::number_of(*value);
  if (!seconds || !(*seconds >= 0) || *seconds > most_seconds) return std::nullopt;
  return base::WallTime(std::chrono::seconds(static_cast<std::int64_t>(std::floor(*seconds))));
}

}  // namespace

std::optional<Claims> read_claims(std::string_view jwt) {
  const std::size_t first = jwt.find('.');
  const std::size_t second = jwt.find('.', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || jwt.find('.', second + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  std::string middle(jwt.substr(first + 1, second - first - 1));
  if (middle.empty() || middle.size() > most_claims) return std::nullopt;
  std::ranges::replace(middle, '-', '+');
  std::ranges::replace(middle, '_', '/');
  while (middle.size() % 4 != 0) middle += '=';
  const auto text = base::base64_decode(middle);
  if (!text) return std::nullopt;
  const auto json = base::parse_json(text->reveal());
  if (!json || !json->is_object()) return std::nullopt;
  Claims claims;
  claims.issuer = base::string_or(*json, "iss", "").value_or("");
  claims.subject = base::string_or(*json, "sub", "").value_or("");
  claims.issued = time_of(*json, "iat");
  claims.expires = time_of(*json, "exp");
  return claims;
}

std::optional<base::WallTime> end_of(const Claims& claims, base::WallTime asked) {
  if (!claims.expires) return std::nullopt;
  base::WallTime end = *claims.expires;
  if (claims.issued) end = asked + (*claims.expires - *claims.issued);
  end = std::chrono::floor<std::chrono::seconds>(std::min(end, asked + longest_life));
  if (end <= asked) return std::nullopt;
  return end;
}

}  // namespace quay_rotator::quay
