// Which hosts an administrator lets tenants have called: --allowed-quay-hosts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "http/address.h"
#include "http/url.h"

namespace quay_rotator::http {

// Immutable: safe for any number of threads.
class AllowedHosts {
 public:
  // Every host, with Reach::network.
  AllowedHosts() = default;
  // Patterns: "quay.example.com" (any port), "quay.example.com:8443", "*.example.com" (everything
  // below example.com), "*" (every host), "[2001:db8::1]:443". None: every host.
  static base::Expected<AllowedHosts> parse(const std::vector<std::string>& patterns);

  // May this server be called for a tenant, and how far may its name lead? To loopback only where a
  // pattern names this very host and that is "localhost", "*.localhost" or a loopback address. The
  // error says what is wrong with the host; it ends a sentence and does not name the field.
  [[nodiscard]] base::Expected<Reach> reach(const Url& url) const;
  // Does a pattern other than "*" name it?
  [[nodiscard]] bool names(const Url& url) const;

 private:
  struct Pattern {
    std::string host;  // lower case, without brackets; with `below`: the suffix ".example.com"
    std::uint16_t port = 0;  // 0: any
    bool below = false;
    [[nodiscard]] bool matches(const Url& url) const;
  };
  std::vector<Pattern> patterns_;
};

}  // namespace quay_rotator::http
