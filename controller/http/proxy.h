// HTTPS_PROXY, HTTP_PROXY and NO_PROXY, which cpprestsdk ignores. Used for Quay and registries; the
// API server is always reached directly.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret_string.h"
#include "http/url.h"

namespace quay_rotator::http {

using Environment = std::function<std::optional<std::string>(std::string_view name)>;

// The proxy for `url` by the rules of Go's net/http (upper and lower case names; NO_PROXY: "*",
// hosts, ".suffix", host:port, IP and CIDR; loopback is never proxied). Nothing: direct.
std::optional<std::string> proxy_for(const Url& url, const Environment& environment);

// A proxy's url, taken apart.
struct ProxyAddress {
  std::string url;                   // without user and password
  base::SecretString authorization;  // "Basic …" for the proxy; empty: no user
};

// User and password may be percent-encoded. An error quotes neither.
base::Expected<ProxyAddress> read_proxy(std::string_view url);

}  // namespace quay_rotator::http
