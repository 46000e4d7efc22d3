#include "http/origin.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "http/name_lookup.h"

namespace quay_rotator::http {
namespace {

constexpr base::Duration longest_wait = std::chrono::hours(24 * 365);

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_alphanumeric(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_reserved_header(std::string name) {
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name == "host" || name == "authorization" || name == "proxy-authorization" ||
         name == "connection" || name == "transfer-encoding" || name == "user-agent" ||
         name.starts_with("content-");
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// A path and perhaps a query, encoded (RFC 3986).
bool is_target(std::string_view target) {
  if (!target.starts_with('/') || target.starts_with("//")) return false;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    if (c == '%') {
      if (i + 2 >= target.size() || !is_hex(target[i + 1]) || !is_hex(target[i + 2])) return false;
    } else if (!is_alphanumeric(c) &&
               std::string_view("-._~!$&'()*+,;=:@/?").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

}  // namespace

Patience::Patience(base::Duration limit_, std::stop_token stop_)
    : limit(std::min(limit_, longest_wait)),
      deadline(std::chrono::steady_clock::now() + limit),
      stop(std::move(stop_)) {}

tl::expected<std::shared_ptr<const Origin>, Error> check_endpoint(
    const Endpoint& endpoint, const std::string& user_agent,
    const std::function<TrustStore()>& system_trust) {
  const auto url = parse_url(endpoint.origin);
  if (!url) return tl::unexpected(invalid("the origin is not usable: " + url.error().message));
  if (url->target != "/") {
    return tl::unexpected(invalid("the origin " + url->origin() + " must not have a path"));
  }
  if (url->scheme == "http" && !endpoint.allow_insecure) {
    return tl::unexpected(invalid("the origin " + url->origin() +
                                  " is not encrypted; use https, or allow it explicitly"));
  }
  if (endpoint.server_name && url->scheme == "http") {
    return tl::unexpected(invalid("a server name for " + url->origin() +
                                  " has no meaning without TLS; remove it, or use https"));
  }
  if (has_control(endpoint.proxy_authorization.reveal())) {
    return tl::unexpected(invalid("the credential for the proxy of " + url->origin() +
                                  " has a line break or another control character in it"));
  }
  auto origin = std::make_shared<Origin>();
  origin->url = *url;
  origin->reach = endpoint.reach;
  origin->user_agent = user_agent;
  if (endpoint.proxy) {
    const auto proxy = parse_url(*endpoint.proxy);
    if (!proxy) return tl::unexpected(invalid("the proxy is not usable: " + proxy.error().message));
    if (proxy->scheme != "http" || proxy->target != "/") {
      return tl::unexpected(
          invalid("the proxy " + proxy->origin() + " is not supported; expected http://host:port"));
    }
    origin->proxy = *proxy;
    origin->proxy_authorization = endpoint.proxy_authorization.clone();
  }
  if (url->scheme == "https") {
    auto tls = make_tls_settings(*url, endpoint, system_trust);
    if (!tls) return tl::unexpected(std::move(tls.error()));
    origin->tls = std::move(*tls);
  }
  return origin;
}

std::optional<Error> refuse(const Origin& origin, const Request& request) {
  const std::string server = origin.url.origin();
  for (const Header& header : request.headers) {
    if (!is_header_name(header.name) || is_reserved_header(header.name)) {
      return invalid("a header of the request to " + server + " has a name that is not allowed");
    }
    if (has_control(header.value)) {
      return invalid("the header " + header.name + " of the request to " + server +
                     " has control characters in its value");
    }
  }
  if (has_control(request.authorization.reveal())) {
    return invalid("the credential for " + server +
                   " has a line break or another control character in it; store it without");
  }
  if (has_control(request.content_type)) {
    return invalid("the content type of the request to " + server + " has control characters");
  }
  if (!is_target(request.target)) {
    return invalid("the target of the request to " + server + " is not an encoded path and query");
  }
  return std::nullopt;
}

tl::expected<std::vector<Address>, Error> permitted_addresses(const Origin& origin,
                                                              const Patience& patience) {
  const std::string& host = origin.connects_to().host;
  NameLookup found = look_up(host, patience.deadline, patience.stop);
  if (found.end == NameLookup::End::stopped) return tl::unexpected(cancelled(origin, false));
  if (found.end == NameLookup::End::timeout) {
    return tl::unexpected(Error{Error::Kind::timeout,
                                "the host " + host + " was not resolved within " +
                                    base::format_duration(patience.limit) + "; check the DNS",
                                false});
  }
  if (found.addresses.empty()) {
    return tl::unexpected(Error{
        Error::Kind::name_not_found,
        (origin.proxy ? "the proxy " + host + " for " + origin.url.origin() : "the host " + host) +
            " does not resolve; check the name and the DNS",
        false});
  }
  const Address first = found.addresses.front();
  std::erase_if(found.addresses,
                [&](const Address& address) { return !permits(origin.reach, address); });
  if (found.addresses.empty()) {
    return tl::unexpected(Error{
        Error::Kind::not_allowed,
        host + " leads to " + address_text(first) + ", which is never called: it is " +
            (is_loopback(first) ? "this operator's own machine, unless an administrator names "
                                  "the host in --allowed-quay-hosts"
                                : "a link-local, metadata, multicast or reserved address"),
        false});
  }
  return std::move(found.addresses);
}

Error invalid(std::string message) {
  return {Error::Kind::invalid_request, std::move(message), false};
}

Error cancelled(const Origin& origin, bool maybe_sent) {
  return {Error::Kind::cancelled, "the request to " + origin.url.origin() + " was cancelled",
          maybe_sent};
}

Error timed_out(const Origin& origin, base::Duration waited, bool maybe_sent) {
  const std::string within = " within " + base::format_duration(waited);
  return {Error::Kind::timeout,
          maybe_sent ? origin.url.origin() + " sent nothing or not all" + within
                     : "no connection to " + origin.url.origin() + within +
                           "; check the address, DNS and network policies",
          maybe_sent};
}

Error too_large(const Origin& origin, std::size_t limit) {
  return {Error::Kind::too_large,
          "the answer of " + origin.url.origin() + " is larger than " + std::to_string(limit) +
              " bytes",
          true};
}

Error cannot_connect(const Origin& origin) {
  const std::string server = origin.url.origin();
  return {Error::Kind::unreachable,
          origin.proxy ? "cannot connect to the proxy " + origin.proxy->origin() + " for " +
                             server + "; check the proxy's address and whether it runs"
                       : "cannot connect to " + server +
                             "; check the address, the port and network policies",
          false};
}

Error connection_lost(const Origin& origin) {
  return {Error::Kind::connection_lost,
          "the connection to " + origin.url.origin() + " was closed before the answer was whole",
          true};
}

Error not_http(const Origin& origin) {
  return {Error::Kind::malformed, origin.url.origin() + " answered something that is not HTTP",
          true};
}

Error not_final(const Origin& origin, int status) {
  return {Error::Kind::malformed,
          origin.url.origin() + " answered with status " + std::to_string(status) +
              " where a final answer was expected",
          true};
}

Error no_tls(const Origin& origin, const std::string& refusal, const std::string& reason) {
  std::string why = refusal;
  if (why.empty() && reason.empty()) {
    why = "the server closed the connection during the handshake; is this a TLS port?";
  } else if (why.empty()) {
    why = "the handshake failed (" + reason + ")";
    if (reason.find("handshake failure") != std::string::npos) {
      why +=
          "; it must offer TLS 1.3, or TLS 1.2 with ECDHE (DHE and RSA key exchange are not "
          "spoken), and may want a client certificate";
    }
  }
  return {Error::Kind::tls, "no TLS with " + origin.url.origin() + ": " + why, false};
}

Error tls_alert(const Origin& origin, const std::string& alert) {
  return {Error::Kind::tls,
          origin.url.origin() + " ended TLS: " + alert + "; does it want a client certificate?",
          true};
}

}  // namespace quay_rotator::http
