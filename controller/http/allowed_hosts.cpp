#include "http/allowed_hosts.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace quay_rotator::http {
namespace {

bool is_local(std::string_view host) {
  const auto address = parse_address(host);
  return host == "localhost" || host.ends_with(".localhost") || (address && is_loopback(*address));
}

}  // namespace

base::Expected<AllowedHosts> AllowedHosts::parse(const std::vector<std::string>& patterns) {
  AllowedHosts hosts;
  for (const std::string& text : patterns) {
    Pattern pattern;
    std::string_view host = text;
    if (host == "*" || host.starts_with("*.")) {
      host.remove_prefix(1);
      pattern.below = true;
    }
    if (host.empty()) {
      if (pattern.below) {
        hosts.patterns_.push_back(std::move(pattern));
        continue;
      }
    }
    // A URL's rules for host and port; "x" stands for what the "*" stands for.
    const auto url =
        parse_url("https://" + std::string(pattern.below ? "x" : "") + std::string(host));
    if (!url || url->target != "/" || text.find('/') != std::string::npos ||
        host.find("..") != std::string_view::npos || host == ".") {
      return tl::unexpected(base::Error{"\"" + text +
                                        "\" is no pattern of hosts: expected quay.example.com, "
                                        "quay.example.com:8443, *.example.com or *"});
    }
    pattern.host = url->host.substr(pattern.below ? 1 : 0);
    const std::size_t bracket = host.rfind(']');
    const bool has_port =
        host.find(':', bracket == std::string_view::npos ? 0 : bracket) != std::string_view::npos;
    if (has_port) pattern.port = url->port;
    hosts.patterns_.push_back(std::move(pattern));
  }
  return hosts;
}

bool AllowedHosts::Pattern::matches(const Url& url) const {
  if (port != 0 && port != url.port) return false;
  return below ? url.host.size() > host.size() && url.host.ends_with(host) : url.host == host;
}

base::Expected<Reach> AllowedHosts::reach(const Url& url) const {
  const bool allowed =
      patterns_.empty() ||
      std::ranges::any_of(patterns_, [&](const auto& pattern) { return pattern.matches(url); });
  if (!allowed) {
    return tl::unexpected(
        base::Error{url.authority() +
                    " is none of the hosts that an administrator lets quay-rotator call "
                    "(--allowed-quay-hosts): use one of them, or ask for this one"});
  }
  const bool local = is_local(url.host) && names(url);
  const Reach reach = local ? Reach::network_and_loopback : Reach::network;
  const auto address = parse_numeric_host(url.host);
  if (address && !permits(reach, *address)) {
    return tl::unexpected(
        base::Error{url.host + " is never called: it is " +
                    (permits(Reach::network_and_loopback, *address)
                         ? "the operator's own machine, unless an administrator names it in "
                           "--allowed-quay-hosts"
                         : "a link-local, metadata, multicast or reserved address")});
  }
  return reach;
}

bool AllowedHosts::names(const Url& url) const {
  return std::ranges::any_of(patterns_, [&](const auto& pattern) {
    return !pattern.host.empty() && pattern.matches(url);
  });
}

}  // namespace quay_rotator::http
