// Trust for one endpoint, on OpenSSL: who is believed, which name must be in the certificate, and
// how we identify ourselves.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <openssl/types.h>

#include "base/error.h"
#include "http/transport.h"
#include "http/url.h"

namespace quay_rotator::http {

// A set of trusted certificates, parsed once and shared by every connection.
using TrustStore = std::shared_ptr<X509_STORE>;

// The system's certificates: what SSL_CERT_FILE and SSL_CERT_DIR said before
// hide_system_certificates, else OpenSSL's own places.
TrustStore load_system_trust();

// Points SSL_CERT_FILE and SSL_CERT_DIR at nothing, so that a library that loads the system's
// bundle for every connection finds none; load_system_trust still does. Changes the environment:
// call it while there is one thread.
void hide_system_certificates();

// The environment for a child process ("NAME=value"): ours without what hide_system_certificates
// did to it, or a child that speaks TLS would trust nobody.
std::vector<std::string> child_environment();

// What the handshake of one connection reports to; must outlive it. Called on any thread.
class HandshakeObserver {
 public:
  virtual ~HandshakeObserver() = default;
  // The server is who it should be, by its certificate or by a session that followed from one.
  // False: nothing may be sent.
  virtual bool verified() = 0;
  virtual void refused(std::string why) = 0;
  // Bytes of a TLS record arrived, before or after the handshake was over.
  virtual void received(std::size_t bytes, bool handshaking) = 0;
};

// What a server may send until its handshake is over; more is for the observer to end.
inline constexpr std::size_t most_handshake_bytes = 128U << 10U;

// Safe for any number of threads. Immutable, but for the sessions of the server, which it keeps for
// the next connection (tls_sessions.h).
class TlsSettings {
 public:
  virtual ~TlsSettings() = default;
  // Makes `context` demand TLS 1.2, exactly this trust and this host, and report to `observer`.
  // What a handshake may cost us is bounded too, for a server chooses it: ECDHE alone, three
  // groups, keys of RSA up to 8192 bits and of curves up to 521, 10 certificates, no renegotiation.
  // Its connections must end before these settings and the observer do.
  virtual void apply(SSL_CTX* context, HandshakeObserver& observer) const = 0;
};

// `system_trust` is asked only when the endpoint has no CA of its own. The error (kind tls) names
// the field that does not parse, or that would make handshakes too dear.
tl::expected<std::shared_ptr<const TlsSettings>, Error> make_tls_settings(
    const Url& origin, const Endpoint& endpoint, const std::function<TrustStore()>& system_trust);

}  // namespace quay_rotator::http
