// A URL in the first line, NO_PROXY in the second.
#include <algorithm>
#include <string>

#include "fuzz/target.h"
#include "http/proxy.h"
#include "http/url.h"

namespace quay_rotator::fuzz {
namespace {

void check_proxy(const http::Url& url, std::string_view exceptions) {
  const auto proxy_with = [&](std::string_view no_proxy) {
    return http::proxy_for(url, [&](std::string_view name) -> std::optional<std::string> {
      if (name == "NO_PROXY") return std::string(no_proxy);
      if (name == "HTTP_PROXY" || name == "HTTPS_PROXY") return "proxy:3128";
      return std::nullopt;
    });
  };
  const auto proxy = proxy_with(exceptions);
  expect(!proxy || *proxy == "http://proxy:3128", "there is one proxy");
  expect(!proxy || proxy_with(""), "an exception never makes a proxy");
  expect(!proxy_with(std::string(exceptions) + ",*"), "* excepts every host");
  expect(!proxy_with(url.host), "a host's own name excepts it");
}

void check_encoding(std::string_view text) {
  const std::string encoded = http::percent_encode(text);
  expect(std::ranges::all_of(encoded, [](char c) { return c > ' ' && c < '\x7f'; }) &&
             encoded.find_first_of("/?#&=+:@") == std::string::npos,
         "an encoded text cannot leave its place in a URL");
}

}  // namespace

void run(std::string_view text) {
  check_encoding(text);
  std::string_view rest = text;
  const std::string_view spelling = take_line(rest);
  const auto url = http::parse_url(spelling);
  if (!url) {
    const std::string& message = url.error().message;
    expect(!message.empty() && message.size() < 1024, "what is quoted of a URL is short");
    const std::size_t secret = spelling.find(marker);
    const bool has_user = spelling.find('@', std::min(secret, spelling.size())) != spelling.npos;
    expect(!has_user || message.find(marker) == std::string::npos, "a password is never quoted");
    return;
  }
  expect(url->scheme == "http" || url->scheme == "https", "http and https only");
  expect(!url->host.empty() && url->port != 0, "a URL has a host and a port");
  expect(url->target.starts_with('/'), "a target is a path");
  for (const std::string* part : {&url->host, &url->target}) {
    expect(std::ranges::all_of(*part, [](char c) { return c > ' ' && c < '\x7f'; }),
           "nothing in a URL can end a header");
  }
  const auto again = http::parse_url(url->origin() + url->target);
  expect(again && again->scheme == url->scheme && again->host == url->host &&
             again->port == url->port && again->target == url->target,
         "a URL comes back as it was written");
  expect(again->origin() == url->origin(), "an origin has one spelling");
  check_proxy(*url, rest);
}

}  // namespace quay_rotator::fuzz
