#include "http/url.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>

#include <arpa/inet.h>

namespace quay_rotator::http {
namespace {

constexpr std::uint16_t http_port = 80;
constexpr std::uint16_t https_port = 443;

// ASCII only: locales have no say in URLs.
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

// The canonical spelling of an IPv6 literal, or nothing.
std::optional<std::string> canonical_ipv6(std::string_view text) {
  in6_addr address{};
  if (inet_pton(AF_INET6, std::string(text).c_str(), &address) != 1) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(AF_INET6, &address, buffer.data(), buffer.size());
  return std::string(buffer.data());
}

bool is_host_name(std::string_view host) {
  constexpr std::size_t most = 253;  // of DNS
  return !host.empty() && host.size() <= most && std::ranges::all_of(host, [](char c) {
    return is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
  });
}

tl::unexpected<base::Error> refused(std::string_view text, std::string_view why) {
  constexpr std::size_t most = 256;  // enough to recognize it
  std::string quoted = "the URL \"" + std::string(text.substr(0, most));
  quoted += text.size() > most ? "…\" " : "\" ";
  // With an "@" anywhere it may be a misspelt "user:password@host".
  if (text.find('@') != std::string_view::npos) quoted = "a URL (not shown: it has an \"@\") ";
  return tl::unexpected(base::Error{quoted + std::string(why)});
}

}  // namespace

std::string Url::authority() const {
  std::string result = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (scheme == "http" ? http_port : https_port)) result += ":" + std::to_string(port);
  return result;
}

std::string Url::origin() const {
  return scheme + "://" + authority();
}

base::Expected<Url> parse_url(std::string_view text) {
  // Before anything is quoted: user info may be a password, control characters garble a terminal.
  if (!std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; })) {
    return tl::unexpected(
        base::Error{"a URL has spaces, control characters or characters outside ASCII in it; "
                    "percent-encode or remove them"});
  }
  const std::size_t authority_begin = text.find("://");
  const std::size_t rest_begin = authority_begin == std::string_view::npos
                                     ? text.find_first_of("/?#")
                                     : text.find_first_of("/?#", authority_begin + 3);
  if (text.substr(0, rest_begin).find('@') != std::string_view::npos) {
    return tl::unexpected(base::Error{
        "a URL has a user or password in it (before the \"@\"); give credentials another way"});
  }
  if (authority_begin == std::string_view::npos) {
    return refused(text, "has no scheme; expected https://host or http://host");
  }

  Url url;
  url.scheme = lowered(text.substr(0, authority_begin));
  if (url.scheme != "http" && url.scheme != "https") {
    return refused(text, "has an unknown scheme; expected https:// or http://");
  }
  if (text.find('#') != std::string_view::npos) {
    return refused(text, "has a fragment (\"#\"), which no server ever sees; remove it");
  }

  std::string_view authority = text.substr(0, rest_begin).substr(authority_begin + 3);
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    const auto host = close == std::string_view::npos
                          ? std::nullopt
                          : canonical_ipv6(authority.substr(1, close - 1));
    if (!host) return refused(text, "has a malformed IPv6 address; expected [address]");
    url.host = *host;
    authority.remove_prefix(close + 1);
    has_port = authority.starts_with(':');
    if (!has_port && !authority.empty()) return refused(text, "has text after the IPv6 address");
    if (has_port) port = authority.substr(1);
  } else {
    const std::size_t colon = authority.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    url.host = lowered(authority.substr(0, colon));
    if (url.host.empty()) return refused(text, "has no host");
    if (!is_host_name(url.host)) return refused(text, "has a malformed host");
  }

  url.port = url.scheme == "http" ? http_port : https_port;
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc{} || end != port.data() + port.size() || url.port == 0) {
      return refused(text, "has a malformed port; expected 1 to 65535");
    }
  }

  url.target = rest_begin == std::string_view::npos ? "/" : std::string(text.substr(rest_begin));
  if (url.target.starts_with('?')) url.target.insert(0, "/");
  return url;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += {'%', digits[byte >> 4U], digits[byte & 15U]};
    }
  }
  return result;
}

}  // namespace quay_rotator::http
