// A checked Endpoint, and what every transport does alike with it: it refuses requests that would
// forge others, finds the addresses that may be connected to, and says what went wrong.
//
// Safe for any number of threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/secret_string.h"
#include "base/time.h"
#include "http/address.h"
#include "http/tls.h"
#include "http/transport.h"
#include "http/url.h"

namespace quay_rotator::http {

struct Origin {
  Url url;
  std::optional<Url> proxy;
  base::SecretString proxy_authorization;
  Reach reach = Reach::everywhere;
  std::shared_ptr<const TlsSettings> tls;  // https only
  std::string user_agent;

  [[nodiscard]] const Url& connects_to() const { return proxy ? *proxy : url; }
};

// How long the caller of a transport waits in all.
struct Patience {
  Patience(base::Duration limit, std::stop_token stop);
  base::Duration limit;
  base::MonotonicTime deadline;
  std::stop_token stop;
};

// The errors of TransportFactory::open. `system_trust` as in make_tls_settings.
tl::expected<std::shared_ptr<const Origin>, Error> check_endpoint(
    const Endpoint& endpoint, const std::string& user_agent,
    const std::function<TrustStore()>& system_trust);

// Nothing, or why this request must not go out.
std::optional<Error> refuse(const Origin& origin, const Request& request);

// Where to connect to, of what the name leads to; never empty. Decided on the very addresses that
// are then connected to: there is no second look-up that could answer otherwise.
tl::expected<std::vector<Address>, Error> permitted_addresses(const Origin& origin,
                                                              const Patience& patience);

Error invalid(std::string message);
Error cancelled(const Origin& origin, bool maybe_sent);
Error timed_out(const Origin& origin, base::Duration waited, bool maybe_sent);
Error too_large(const Origin& origin, std::size_t limit);
Error cannot_connect(const Origin& origin);
Error connection_lost(const Origin& origin);
Error not_http(const Origin& origin);
Error not_final(const Origin& origin, int status);
// The handshake failed: why we refused the server, else OpenSSL's words, else neither.
Error no_tls(const Origin& origin, const std::string& refusal, const std::string& reason);
inline constexpr const char* endless_handshake =
    "the server does not come to the end of its handshake";
// The server ended TLS after the handshake: OpenSSL's words for its alert.
Error tls_alert(const Origin& origin, const std::string& alert);

}  // namespace quay_rotator::http
