// Addresses and --allowed-quay-hosts: a URL in the first line, a pattern in each of the others.
#include <string>
#include <vector>

#include "fuzz/target.h"
#include "http/address.h"
#include "http/allowed_hosts.h"
#include "http/url.h"

namespace quay_rotator::fuzz {
namespace {

void check_address(std::string_view text) {
  const auto numeric = http::parse_numeric_host(text);
  const auto address = http::parse_address(text);
  expect(!address || numeric == address, "an address is a numeric host");
  if (!numeric) return;
  expect(http::parse_address(http::address_text(*numeric)) == numeric,
         "an address comes back as it was written");
  if (http::is_loopback(*numeric)) {
    expect(!http::permits(http::Reach::network, *numeric), "the network is not this machine");
  }
  for (const char* closed :
       {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "fe80::/10", "ff00::/8"}) {
    expect(!http::in_network(*numeric, closed) || !http::permits(http::Reach::network, *numeric),
           "what is closed to tenants is closed");
  }
  expect(!http::permits(http::Reach::network, *numeric) ||
             http::permits(http::Reach::network_and_loopback, *numeric),
         "more reach permits no less");
}

}  // namespace

void run(std::string_view text) {
  const std::string_view spelling = take_line(text);
  check_address(spelling);
  const auto url = http::parse_url(spelling);
  if (url) check_address(url->host);
  std::vector<std::string> patterns;
  while (!text.empty()) patterns.emplace_back(take_line(text));
  const auto allowed = http::AllowedHosts::parse(patterns);
  if (!allowed) return expect(!allowed.error().message.empty(), "an error has a message");
  if (!url) return;
  const auto reach = allowed->reach(*url);
  if (!reach) return expect(!reach.error().message.empty(), "an error has a message");
  expect(*reach != http::Reach::everywhere, "no pattern opens everything");
  expect(*reach != http::Reach::network_and_loopback || allowed->names(*url),
         "loopback is for a host that is named");
  const auto everybody = http::AllowedHosts().reach(*url);
  expect(!everybody || *everybody == http::Reach::network, "without a pattern nothing is local");
  if (const auto address = http::parse_numeric_host(url->host)) {
    expect(http::permits(*reach, *address), "an address that is allowed may be connected to");
  }
}

}  // namespace quay_rotator::fuzz
