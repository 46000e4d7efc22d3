#include "http/proxy.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

#include "base/base64.h"
#include "http/address.h"

namespace quay_rotator::http {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// One lower-case entry of NO_PROXY.
bool matches(const Url& url, const std::optional<Address>& address, std::string_view entry) {
  if (entry == "*") return true;
  if (address && in_network(*address, entry)) return true;

  std::string_view host = entry;
  std::string_view port;
  if (entry.starts_with('[')) {
    const std::size_t close = entry.find(']');
    if (close == std::string_view::npos) return false;
    host = entry.substr(1, close - 1);
    if (entry.substr(close + 1).starts_with(':')) port = entry.substr(close + 2);
  } else if (const std::size_t colon = entry.find(':');
             colon != std::string_view::npos && colon == entry.rfind(':')) {
    host = entry.substr(0, colon);
    port = entry.substr(colon + 1);
  }
  if (host.empty() || (!port.empty() && port != std::to_string(url.port))) return false;
  if (const auto literal = parse_address(host)) return address == literal;

  if (host.starts_with("*.")) host.remove_prefix(1);
  if (host.starts_with('.')) return url.host.ends_with(host);
  return url.host == host || url.host.ends_with("." + std::string(host));
}

std::string lowered(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::string first_of(const Environment& environment, std::string_view upper,
                     std::string_view lower) {
  if (auto value = environment(upper); value && !value->empty()) return *value;
  return environment(lower).value_or("");
}

base::Expected<base::SecretString> percent_decoded(std::string_view text) {
  base::SecretString all;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      all.append(text.substr(at, 1));
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(at + 1, 2);
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, byte, 16);
    if (digits.size() != 2 || error != std::errc() || rest != end) {
      return tl::unexpected(base::Error{"has a % that no two hexadecimal digits follow"});
    }
    const char character = static_cast<char>(byte);
    all.append({&character, 1});
    at += 2;
  }
  return all;
}

}  // namespace

std::optional<std::string> proxy_for(const Url& url, const Environment& environment) {
  std::string proxy = url.scheme == "https" ? first_of(environment, "HTTPS_PROXY", "https_proxy")
                                            : first_of(environment, "HTTP_PROXY", "http_proxy");
  const auto address = parse_address(url.host);
  if (proxy.empty() || url.host == "localhost" || (address && is_loopback(*address))) {
    return std::nullopt;
  }

  const std::string exceptions = lowered(first_of(environment, "NO_PROXY", "no_proxy"));
  std::string_view left = exceptions;
  while (!left.empty()) {
    const std::size_t comma = left.find(',');
    const std::string_view entry = trimmed(left.substr(0, comma));
    if (!entry.empty() && matches(url, address, entry)) return std::nullopt;
    left = comma == std::string_view::npos ? std::string_view{} : left.substr(comma + 1);
  }
  return proxy.find("://") == std::string::npos ? "http://" + proxy : proxy;
}

base::Expected<ProxyAddress> read_proxy(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t host = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::size_t at = url.substr(0, url.find_first_of("/?#", host)).rfind('@');
  ProxyAddress result;
  if (at == std::string_view::npos || at < host) {
    result.url = url;
    return result;
  }
  auto pair = percent_decoded(url.substr(host, at - host));
  if (!pair) return tl::unexpected(std::move(pair.error()));
  if (pair->reveal().find(':') == std::string_view::npos) pair->append(":");
  result.authorization.append("Basic ");
  result.authorization.append(base::base64_encode(pair->reveal()).reveal());
  result.url = std::string(url.substr(0, host)) + std::string(url.substr(at + 1));
  return result;
}

}  // namespace quay_rotator::http
