#include "http/transport.h"

#include <algorithm>
#include <charconv>
#include <strings.h>

namespace quay_rotator::http {

std::string_view method_name(Method method) {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::patch:
      return "PATCH";
    case Method::del:
      return "DELETE";
  }
  return "";
}

std::optional<std::string_view> Response::header(std::string_view name) const {
  const auto found = std::ranges::find_if(headers, [&](const Header& header) {
    return header.name.size() == name.size() &&
           strncasecmp(header.name.data(), name.data(), name.size()) == 0;
  });
  if (found == headers.end()) return std::nullopt;
  return found->value;
}

std::optional<std::chrono::seconds> Response::retry_after() const {
  const auto value = header("Retry-After");
  if (!value) return std::nullopt;
  // 32 bits: no server means more than a century, and sums with a deadline cannot overflow.
  std::uint32_t seconds = 0;
  const char* const end = value->data() + value->size();
  const auto [stopped, error] = std::from_chars(value->data(), end, seconds);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return std::chrono::seconds(seconds);
}

}  // namespace quay_rotator::http
