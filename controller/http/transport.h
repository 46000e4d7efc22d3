// One blocking HTTP/1.1 exchange with one server: the seam between the program and the network.
//
// A Transport talks to one Endpoint (origin, trust, proxy) and keeps its connections. It never
// follows a redirect, never sends a request twice, never sends to another origin, and bounds the
// time and the size of everything. Production: beast/ for the API server, cpprest_transport.cpp
// for Quay and registries. The simulation and unit tests implement the same interface.
//
// Every member is safe for any number of threads. Who makes a Transport owns it; destroying it
// while a call is under way is an error of the caller.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "base/secret_string.h"
#include "base/time.h"
#include "http/address.h"

namespace quay_rotator::http {

// Where, whom to trust, and how to get there.
struct Endpoint {
  std::string origin;  // "https://quay.example.com", "https://[::1]:6443"; no path, no user
  // PEM. When set only these are trusted; else the system's certificates.
  std::optional<std::string> ca_certificates;
  // PEM, both or neither.
  std::optional<std::string> client_certificate;
  std::optional<base::SecretString> client_key;
  // The name (or address) that the certificate must be for and that is sent as SNI, in place of
  // origin's host: a kubeconfig's tls-server-name. The Host header stays origin's.
  std::optional<std::string> server_name;
  std::optional<std::string>
      proxy;  // "http://proxy:3128"; nothing: direct, whatever the environment
  // Proxy-Authorization's whole value, e.g. "Basic …"; empty: none. For the proxy alone, never for
  // the origin. A secret: no message holds it.
  base::SecretString proxy_authorization;
  bool allow_insecure = false;  // lets origin be http://
  // Of the server that is connected to: the proxy, where there is one.
  Reach reach = Reach::everywhere;
};

enum class Method { get, post, put, patch, del };
std::string_view method_name(Method method);

struct Header {
  std::string name;
  std::string value;
};

struct Request {
  Method method = Method::get;
  std::string target;                // path and query, encoded: "/api/v1/…?limit=1"
  std::vector<Header> headers;       // no secrets; Host, Authorization, Content-* are not allowed
  base::SecretString authorization;  // the header's whole value, e.g. "Bearer …"; empty: none
  std::string content_type;          // with a body
  base::SecretString body;           // may hold a token
};

struct Response {
  int status = 0;
  std::vector<Header> headers;
  base::SecretString body;  // may hold a token

  // The first header of that name (case-insensitive), or nothing.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  // Retry-After in seconds; an HTTP date or nonsense is nothing.
  [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const;
};

struct Error {
  enum class Kind {
    invalid_request,  // a header or token with control characters, a bad target; nothing was sent
    name_not_found,   // the host does not resolve
    not_allowed,      // it resolves to nothing that Endpoint::reach permits; nothing was sent
    unreachable,      // refused, no route, proxy refused
    tls,              // certificate not trusted, wrong host, expired; handshake failed
    timeout,          // the total deadline passed
    connection_lost,  // closed or reset before the answer was whole
    too_large,        // more than max_body
    malformed,        // not HTTP, or an interim answer in place of one
    cancelled,        // the stop token
  };
  Kind kind = Kind::unreachable;
  // A sentence with the origin and what to do; no secrets, no body.
  std::string message;
  // False only when it is certain that not one byte of the request left this process on a
  // connection that reached the server's HTTP layer (name, connect and TLS failures).
  bool maybe_sent = true;
};

struct CallOptions {
  base::Duration deadline = std::chrono::seconds(10);  // total: name, connect, TLS, send, body
  std::size_t max_body = 1U << 20U;
  std::stop_token stop;
  // Of any status but 2xx: the body is cut off there, and so is the connection. Its status and what
  // it says first are what matters.
  std::size_t max_error_body = 64U << 10U;
};

struct StreamOptions {
  base::Duration open_deadline = std::chrono::seconds(10);  // until the status and headers
  base::Duration idle_limit = std::chrono::seconds(150);    // silence after that: timeout
  std::optional<base::Duration> deadline = std::nullopt;    // of the whole, where it has an end
  // Received and not yet consumed: the server is held back, or it is too_large. A chunk (of chunked
  // encoding) that is larger is too_large.
  std::size_t max_buffered = 8U << 20U;
  std::size_t max_error_body = 64U << 10U;  // as in CallOptions
  std::stop_token stop;
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual tl::expected<Response, Error> send(const Request& request,
                                             const CallOptions& options) = 0;

  // A 2xx: hands the body over in pieces as it comes, from the calling thread, until it ends or
  // `on_data` returns false (which closes the connection); then returns the response without a
  // body. Any other status: returns the response with its body, as much as is wanted.
  virtual tl::expected<Response, Error> stream(
      const Request& request, const StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) = 0;
};

// Makes transports; tests have their own. Thread-safe.
class TransportFactory {
 public:
  virtual ~TransportFactory() = default;
  // Checks the endpoint: an error of kind invalid_request or tls names the bad field (origin, CA,
  // certificate, proxy), also where this kind of transport does not support it. Connects to
  // nothing.
  virtual tl::expected<std::unique_ptr<Transport>, Error> open(Endpoint endpoint) = 0;
};

}  // namespace quay_rotator::http
