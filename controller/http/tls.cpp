#include "http/tls.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/time.h"
#include "http/address.h"
#include "http/freed.h"
#include "http/tls_sessions.h"

namespace quay_rotator::http {
namespace {

// Cannot exist: /dev/null is no directory.
constexpr const char* nowhere = "/dev/null/hidden";
constexpr std::string_view saved_prefix = "QUAY_ROTATOR_";

using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

// What a peer or a tenant may make us compute with, and how much of it.
constexpr int most_rsa_bits = 8192;
constexpr int most_exponent_bits = 64;
constexpr int most_curve_bits = 521;
constexpr int most_certificates = 10;
constexpr long most_certificate_bytes = 32L << 10U;
constexpr std::size_t most_authorities = 500;
// One group is a tenth of a millisecond; finite-field ones, and DHE, up to a second.
constexpr const char* ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128";
constexpr const char* groups = "X25519:P-256:P-384";

TrustStore make_store() {
  return {X509_STORE_new(), X509_STORE_free};
}

Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nothing when a block is malformed or there is none.
std::vector<Certificate> parse_certificates(std::string_view pem) {
  const Bio bio = reader(pem);
  std::vector<Certificate> certificates;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  // The end of the text shows as "no start line"; anything else is damage.
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) return {};
  return certificates;
}

// Whether to verify a signature by that certificate's key takes about a millisecond at most.
bool is_affordable(const X509* certificate) {
  EVP_PKEY* const key = X509_get0_pubkey(certificate);
  if (key == nullptr) return false;
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS: {
      BIGNUM* exponent = nullptr;
      const bool known = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1;
      const std::unique_ptr<BIGNUM, Freed<BN_free>> owner(exponent);
      return known && EVP_PKEY_get_bits(key) <= most_rsa_bits &&
             BN_num_bits(exponent) <= most_exponent_bits;
    }
    case EVP_PKEY_EC:
      return EVP_PKEY_get_bits(key) <= most_curve_bits;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return true;
    default:  // DSA, and what nobody uses
      return false;
  }
}

// Why what the server sent is not even looked at; empty: it is.
std::string excess(X509_STORE_CTX* chain) {
  const STACK_OF(X509)* const sent = X509_STORE_CTX_get0_untrusted(chain);
  const int count = sk_X509_num(sent);
  if (count > most_certificates) {
    return "the server sends a chain of more than " + std::to_string(most_certificates) +
           " certificates; it needs its own and those of the CAs between";
  }
  bool affordable = is_affordable(X509_STORE_CTX_get0_cert(chain));
  for (int i = 0; i < count; ++i) affordable = affordable && is_affordable(sk_X509_value(sent, i));
  ERR_clear_error();
  if (affordable) return "";
  return "a key in the server's certificates is too large or of an unusual kind; it must be RSA up "
         "to " +
         std::to_string(most_rsa_bits) + " bits, ECDSA or EdDSA";
}

// For how many hosts a certificate is. Their names are the server's words: they are not repeated.
int subject_count(X509* certificate) {
  using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  return names ? sk_GENERAL_NAME_num(names.get()) : 0;
}

// The host that the certificate must be for, as Settings::apply wrote it down.
std::string wanted_host(X509_VERIFY_PARAM* parameters) {
  if (const char* name = X509_VERIFY_PARAM_get0_host(parameters, 0)) return name;
  char* const address = X509_VERIFY_PARAM_get1_ip_asc(parameters);
  std::string result = address == nullptr ? "" : address;
  OPENSSL_free(address);
  return result;
}

std::string refusal(X509_STORE_CTX* chain) {
  const int error = X509_STORE_CTX_get_error(chain);
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(chain);
  const bool own_ca = (X509_VERIFY_PARAM_get_flags(parameters) & X509_V_FLAG_PARTIAL_CHAIN) != 0;
  X509* const certificate = X509_STORE_CTX_get_current_cert(chain);
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      const int names = certificate != nullptr ? subject_count(certificate) : 0;
      const std::string host = wanted_host(parameters);
      return "the certificate is for another host than " + host +
             (names == 0 ? "; it names none in its subjectAltName"
                         : "; the names in its subjectAltName (" + std::to_string(names) +
                               ", openssl s_client shows them) are others");
    }
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the certificate has expired; renew it (or check this machine's clock)";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the certificate is not valid yet; check the clocks of both sides";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:  // a CA of the same name and another key
      return std::string("the certificate is not trusted by ") +
             (own_ca ? "the given CA; give the CA that signed it"
                     : "the system's certificates; give the CA that signed it");
    default:
      return std::string("the certificate is refused: ") + X509_verify_cert_error_string(error);
  }
}

class Settings final : public TlsSettings {
 public:
  void apply(SSL_CTX* context, HandshakeObserver& observer) const override;

  // False: something was not set, and a connection would check less than it must.
  [[nodiscard]] bool configure(SSL_CTX* context, HandshakeObserver& observer) const;

  const std::unique_ptr<TlsSessions> sessions = std::make_unique<TlsSessions>();
  std::string host;
  bool is_ip = false;
  bool own_ca = false;
  TrustStore trust;
  std::vector<Certificate> client_chain;  // the leaf first; empty: none
  Key client_key;
};

base::MonotonicTime now() {
  return std::chrono::steady_clock::now();
}

// Where an SSL_CTX keeps what its connections report to. Not its "application data": Asio's.
template <class T>
int place_of() try {
  // Memory may be short for a moment: what throws is tried again the next time.
  static const int place = [] {
    const int taken = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return taken >= 0 ? taken : throw std::bad_alloc();
  }();
  return place;
} catch (const std::bad_alloc&) {
  return -1;
}
template <class T>
T* get(const SSL* connection) {
  return static_cast<T*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), place_of<T>()));
}
template <class T>
bool set(SSL_CTX* context, T* object) {
  return place_of<T>() >= 0 && SSL_CTX_set_ex_data(context, place_of<T>(), object) == 1;
}

int verify_nobody(X509_STORE_CTX* chain, void* argument) {
  static_cast<HandshakeObserver*>(argument)->refused("TLS could not be prepared on this side");
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int verify(X509_STORE_CTX* chain, void* argument) {
  auto& observer = *static_cast<HandshakeObserver*>(argument);
  if (std::string why = excess(chain); !why.empty()) {
    observer.refused(std::move(why));
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  if (X509_verify_cert(chain) != 1) {
    observer.refused(refusal(chain));
    return 0;
  }
  if (observer.verified()) return 1;
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

void count_record(int written, int, int content_type, const void* data, size_t size,
                  SSL* connection, void* argument) {
  constexpr std::size_t header_size = 5;
  if (written != 0 || content_type != SSL3_RT_HEADER || size < header_size) return;
  const auto* header = static_cast<const unsigned char*>(data);
  const std::size_t bytes = header_size + (std::size_t{header[3]} << 8U) + header[4];
  static_cast<HandshakeObserver*>(argument)->received(bytes, SSL_in_init(connection) == 1);
}

int as_verified(int verified, X509_STORE_CTX* /*chain*/) {
  return verified;
}

// The library connects to an address and takes the Host header for the server's name, port and all:
// name the server here, and leave it no check of its own (which would fall back to the CN).
void begin_handshake(SSL* connection) {
  SSL_set_verify(connection, SSL_VERIFY_PEER, as_verified);
  if (const char* name = X509_VERIFY_PARAM_get0_host(SSL_get0_param(connection), 0)) {
    SSL_set_tlsext_host_name(connection, name);
  }
  auto* const sessions = get<TlsSessions>(connection);
  const bool first = SSL_get_session(connection) == nullptr;
  if (sessions != nullptr && first) sessions->offer(connection, now());
}

// A resumed connection shows no certificate: that it knows the session's key says who it is.
void end_handshake(SSL* connection) {
  if (SSL_session_reused(connection) == 0 || get<HandshakeObserver>(connection)->verified()) return;
  // The handshake cannot be refused any more; that anything is written can.
  SSL_set_shutdown(connection, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void note_handshake(const SSL* connection, int where, int /*value*/) {
  if (where == SSL_CB_HANDSHAKE_START) begin_handshake(const_cast<SSL*>(connection));
  if (where == SSL_CB_HANDSHAKE_DONE) end_handshake(const_cast<SSL*>(connection));
}

// When there was no memory for more.
void verify_only(const SSL* connection, int where, int /*value*/) {
  if (where == SSL_CB_HANDSHAKE_START) {
    SSL_set_verify(const_cast<SSL*>(connection), SSL_VERIFY_PEER, as_verified);
  }
}

int keep_session(SSL* connection, SSL_SESSION* session) {
  get<TlsSessions>(connection)->keep(session, now());
  return 0;  // it is still OpenSSL's
}

bool Settings::configure(SSL_CTX* context, HandshakeObserver& observer) const {
  X509_VERIFY_PARAM* const parameters = SSL_CTX_get0_param(context);
  SSL_CTX_set1_cert_store(context, trust.get());
  bool done = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(context, ciphers) == 1 &&
              SSL_CTX_set1_groups_list(context, groups) == 1;
  SSL_CTX_set_max_cert_list(context, most_certificate_bytes);
  X509_VERIFY_PARAM_set_depth(parameters, most_certificates);
  // The second: OpenSSL wipes what it decrypted once it was read.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
  X509_VERIFY_PARAM_set_hostflags(
      parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  done = done && (is_ip ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str())
                        : X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size())) == 1;
  // Whoever names one certificate to trust means that one, also when it is an intermediate.
  if (own_ca) {
    done = done && X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN) == 1;
  }

  if (!client_chain.empty()) {
    done = done && SSL_CTX_use_certificate(context, client_chain.front().get()) == 1 &&
           SSL_CTX_clear_chain_certs(context) == 1;
    for (std::size_t i = 1; i < client_chain.size(); ++i) {
      done = done && SSL_CTX_add1_chain_cert(context, client_chain[i].get()) == 1;
    }
    done = done && SSL_CTX_use_PrivateKey(context, client_key.get()) == 1;
  }
  done = done && set(context, &observer);
  // Who shows a certificate shows it to each connection: a session would stand for the old one.
  if (done && client_chain.empty() && set(context, sessions.get())) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
  }
  ERR_clear_error();
  return done;
}

void Settings::apply(SSL_CTX* context, HandshakeObserver& observer) const {
  // Whoever cannot check everything believes nobody. None of these can fail.
  const bool done = configure(context, observer);
  SSL_CTX_set_cert_verify_callback(context, done ? verify : verify_nobody, &observer);
  SSL_CTX_set_info_callback(context, done ? note_handshake : verify_only);
  SSL_CTX_set_msg_callback(context, count_record);
  SSL_CTX_set_msg_callback_arg(context, &observer);
}

std::optional<std::string> variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

std::string place(const char* name, const char* fallback) {
  if (auto saved = variable(std::string(saved_prefix) + name)) return *saved;
  const auto value = variable(name);
  return value && *value != nowhere ? *value : fallback;
}

// What can stand in a certificate and in SNI: OpenSSL cuts names at a NUL, and takes a leading dot
// for "everything below".
bool is_server_name(std::string_view name) {
  if (parse_address(name)) return true;
  return !name.empty() && name.size() <= 253 && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '-' || c == '_';
         });
}

tl::unexpected<Error> bad(std::string message) {
  return tl::unexpected(Error{Error::Kind::tls, std::move(message), false});
}

}  // namespace

TrustStore load_system_trust() {
  TrustStore store = make_store();
  if (store == nullptr) return store;
  X509_STORE_load_file(
      store.get(), place(X509_get_default_cert_file_env(), X509_get_default_cert_file()).c_str());
  X509_STORE_load_path(store.get(),
                       place(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()).c_str());
  ERR_clear_error();  // a place that does not exist holds no certificates
  return store;
}

void hide_system_certificates() {
  for (const char* name : {X509_get_default_cert_file_env(), X509_get_default_cert_dir_env()}) {
    const auto value = variable(name);
    if (value == nowhere) continue;
    if (value) setenv((std::string(saved_prefix) + name).c_str(), value->c_str(), 1);
    setenv(name, nowhere, 1);
  }
}

std::vector<std::string> child_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    bool ours = false;
    for (const char* name : {X509_get_default_cert_file_env(), X509_get_default_cert_dir_env()}) {
      ours = ours || text == std::string(name) + "=" + nowhere;
      if (text.starts_with(std::string(saved_prefix) + name + "=")) {
        text.remove_prefix(saved_prefix.size());
      }
    }
    if (!ours) result.emplace_back(text);
  }
  return result;
}

tl::expected<std::shared_ptr<const TlsSettings>, Error> make_tls_settings(
    const Url& origin, const Endpoint& endpoint, const std::function<TrustStore()>& system_trust) {
  auto settings = std::make_shared<Settings>();
  settings->host = endpoint.server_name.value_or(origin.host);
  if (!is_server_name(settings->host)) {
    return bad("the server name for " + origin.origin() + " is neither a DNS name nor an address");
  }
  settings->is_ip = parse_address(settings->host).has_value();

  if (endpoint.ca_certificates) {
    const auto authorities = parse_certificates(*endpoint.ca_certificates);
    if (authorities.empty()) {
      return bad("the CA for " + origin.origin() + " holds no readable PEM certificate");
    }
    if (authorities.size() > most_authorities) {
      return bad("the CA for " + origin.origin() + " holds more than " +
                 std::to_string(most_authorities) + " certificates; give those that are needed");
    }
    settings->own_ca = true;
    settings->trust = make_store();
    for (const auto& authority : authorities) {
      if (!is_affordable(authority.get())) {
        return bad("the CA for " + origin.origin() +
                   " has a key that is too large or of an unusual kind; it must be RSA up to " +
                   std::to_string(most_rsa_bits) + " bits, ECDSA or EdDSA");
      }
      if (settings->trust == nullptr ||
          X509_STORE_add_cert(settings->trust.get(), authority.get()) != 1) {
        ERR_clear_error();
        return bad("the CA for " + origin.origin() + " cannot be used");
      }
    }
  } else {
    settings->trust = system_trust();
    if (settings->trust == nullptr) return bad("the system's certificates cannot be loaded");
  }

  if (endpoint.client_certificate.has_value() != endpoint.client_key.has_value()) {
    return bad("the client certificate for " + origin.origin() + " needs its key, and the key it");
  }
  if (endpoint.client_certificate) {
    settings->client_chain = parse_certificates(*endpoint.client_certificate);
    if (settings->client_chain.empty()) {
      return bad("the client certificate for " + origin.origin() + " is not readable PEM");
    }
    // No pass phrase: never ask the terminal for one.
    const auto no_phrase = [](char*, int, int, void*) { return 0; };
    settings->client_key.reset(PEM_read_bio_PrivateKey(reader(endpoint.client_key->reveal()).get(),
                                                       nullptr, no_phrase, nullptr));
    ERR_clear_error();
    if (!settings->client_key) {
      return bad("the client key for " + origin.origin() +
                 " is not a readable PEM key without a pass phrase");
    }
    const bool match = X509_check_private_key(settings->client_chain.front().get(),
                                              settings->client_key.get()) == 1;
    ERR_clear_error();
    if (!match) {
      return bad("the client key for " + origin.origin() +
                 " does not belong to the client certificate");
    }
  }
  return settings;
}

}  // namespace quay_rotator::http
