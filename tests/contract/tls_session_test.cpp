// The second connection is cheaper, and no less sure of whom it talks to.
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "contract/allocation.h"
#include "contract/contract.h"
#include "http/freed.h"
#include "http/tls.h"
#include "http/tls_sessions.h"
#include "http/url.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using std::chrono::seconds;
using testing::HasSubstr;

class TlsSessionContract : public Contract {
 protected:
  // Every connection ends with its answer, as Quay's nginx does it.
  void serve(Connection& connection) {
    if (!connection.start_tls(connection.index() == 0 ? first_ : later_)) return;
    if (connection.read_request().empty()) return;
    connection.write(answer(200, connection.resumed() ? "resumed" : "from the beginning",
                            "Connection: close\r\n"));
  }
  RawServer::Script script() {
    return [this](Connection& connection) { serve(connection); };
  }
  static std::string say(http::Transport& transport) {
    const auto response = transport.send(post("/", "{}"), within(seconds(10)));
    return response ? std::string(response->body.reveal()) : response.error().message;
  }

  const Identity authority_ = make_authority();
  const Identity good_ = issue(authority_, {"unused", "DNS:quay.test,DNS:other.test"});
  Identity first_ = good_;  // of the first connection
  Identity later_ = good_;
};
QUAY_ROTATOR_CONTRACT(TlsSessionContract);

TEST_P(TlsSessionContract, ALaterConnectionResumes) {
  for (const int version : {0, TLS1_2_VERSION}) {
    ServerOptions options;
    options.max_tls_version = version;
    RawServer server(script(), options);
    const auto transport = open_tls(server, authority_);
    EXPECT_EQ(say(*transport), "from the beginning");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(say(*transport), "resumed") << version;
    EXPECT_EQ(server.accepted(), 4);
  }
}

TEST_P(TlsSessionContract, AServerThatKnowsNoSuchSessionIsVerifiedAnew) {
  later_ = issue(authority_, {"unused", "DNS:quay.test"});
  RawServer server(script());
  const auto transport = open_tls(server, authority_);
  EXPECT_EQ(say(*transport), "from the beginning");
  EXPECT_EQ(say(*transport), "from the beginning");
  EXPECT_EQ(say(*transport), "resumed");
}

TEST_P(TlsSessionContract, ACertificateThatBecameWrongIsRefused) {
  const std::map<std::string, Identity> wrong = {
      {"another host", issue(authority_, {"quay.test", "DNS:else.test"})},
      {"not trusted", issue(make_authority(), {"unused", "DNS:quay.test"})},
      {"expired", issue(authority_, {"unused", "DNS:quay.test", true})}};
  for (const auto& [reason, identity] : wrong) {
    later_ = identity;
    RawServer server(script());
    const auto transport = open_tls(server, authority_);
    EXPECT_EQ(say(*transport), "from the beginning");
    const auto response = transport->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response) << reason;
    EXPECT_EQ(response.error().kind, Error::Kind::tls);
    EXPECT_THAT(response.error().message, HasSubstr(reason));
    EXPECT_FALSE(response.error().maybe_sent);
    EXPECT_EQ(server.requests().size(), 1U);
  }
}

// A transport for the same server that trusts something else, or means another of its hosts.
TEST_P(TlsSessionContract, SessionsStayWithTheirTransport) {
  RawServer server(script());
  const auto transport = open_tls(server, authority_);
  EXPECT_EQ(say(*transport), "from the beginning");
  EXPECT_EQ(say(*transport), "resumed");
  EXPECT_THAT(say(*open_tls(server, make_authority())), HasSubstr("not trusted"));
  EXPECT_EQ(say(*open_tls(server, authority_, "other.test")), "from the beginning");
  EXPECT_EQ(say(*open_tls(server, authority_)), "from the beginning");
}

// --- Handshakes in memory, where time is ours.

using http::Freed;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freed<SSL_free>>;

struct Observer final : http::HandshakeObserver {
  bool verified() override {
    ++verifications;
    return go_on;
  }
  void refused(std::string) override {}
  void received(std::size_t, bool) override {}

  bool go_on = true;
  int verifications = 0;
};

class TlsSessionsTest : public testing::Test {
 protected:
  TlsSessionsTest() {
    const Identity identity = issue(authority_, {"unused", "DNS:quay.test"});
    const Bio certificate(BIO_new_mem_buf(identity.certificate.data(), -1));
    const Bio key(BIO_new_mem_buf(identity.key.data(), -1));
    X509* const leaf = PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr);
    EVP_PKEY* const secret = PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(server_.get(), leaf);
    SSL_CTX_use_PrivateKey(server_.get(), secret);
    X509_free(leaf);
    EVP_PKEY_free(secret);
  }

  struct Connected {
    Ssl server;
    Ssl client;
  };

  // The client has read a byte, and before it the sessions that the server gave.
  Connected connect(
      SSL_CTX* context, const std::function<void(SSL*)>& prepare = [](SSL*) {}) {
    Ssl server(SSL_new(server_.get()));
    Ssl client(SSL_new(context));
    prepare(client.get());
    BIO* near = nullptr;
    BIO* far = nullptr;
    BIO_new_bio_pair(&near, 0, &far, 0);
    SSL_set_bio(client.get(), near, near);
    SSL_set_bio(server.get(), far, far);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
    for (int i = 0; i < 4; ++i) {
      SSL_do_handshake(client.get());
      SSL_do_handshake(server.get());
    }
    char byte = 0;
    SSL_write(server.get(), "x", 1);
    SSL_read(client.get(), &byte, 1);
    return {std::move(server), std::move(client)};
  }

  const Identity authority_ = make_authority();
  const Context server_{SSL_CTX_new(TLS_server_method())};
};

TEST_F(TlsSessionsTest, RenewingASessionDoesNotProlongTheTrust) {
  struct State {
    http::TlsSessions sessions;
    base::MonotonicTime now{std::chrono::hours(1)};
  } state;
  const Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_app_data(context.get(), &state);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(context.get(), [](SSL* client, SSL_SESSION* session) {
    auto& at = *static_cast<State*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(client)));
    at.sessions.keep(session, at.now);
    return 0;
  });
  const auto resumes = [&] {
    const auto [server, client] =
        connect(context.get(), [&](SSL* ssl) { state.sessions.offer(ssl, state.now); });
    return SSL_session_reused(client.get()) == 1;
  };
  EXPECT_FALSE(resumes());
  state.now += http::TlsSessions::longest_trust / 2;
  EXPECT_TRUE(resumes());
  state.now += http::TlsSessions::longest_trust / 2 - seconds(1);
  EXPECT_TRUE(resumes());
  state.now += seconds(1);
  EXPECT_FALSE(resumes());
  EXPECT_TRUE(resumes());
}

TEST_F(TlsSessionsTest, ACallerWhoHasLeftSendsNothingOnAResumedConnectionEither) {
  http::Endpoint endpoint;
  endpoint.ca_certificates = authority_.certificate;
  const auto settings =
      http::make_tls_settings(*http::parse_url("https://quay.test"), endpoint, {});
  ASSERT_TRUE(settings);
  Observer observer;
  const auto write = [&] {
    const Context context(SSL_CTX_new(TLS_client_method()));
    (*settings)->apply(context.get(), observer);
    const auto [server, client] = connect(context.get());
    return std::pair(SSL_session_reused(client.get()) == 1, SSL_write(client.get(), "x", 1) == 1);
  };
  EXPECT_EQ(write(), std::pair(false, true));
  EXPECT_EQ(write(), std::pair(true, true));
  observer.go_on = false;
  EXPECT_EQ(write(), std::pair(true, false));
  EXPECT_EQ(observer.verifications, 3);
}

// Wherever there is no memory, less may work but not less is checked.
TEST_F(TlsSessionsTest, WhereSettingUpFailsNobodyIsBelieved) {
  for (const auto& [host, right] : {std::pair("https://quay.test", true),
                                    {"https://a.test", false},
                                    {"https://127.0.0.1", false}}) {
    int places = 0;
    int believed = 0;
    for (bool failed = true; failed; ++places) {
      http::Endpoint endpoint;
      endpoint.ca_certificates = authority_.certificate;
      const auto settings = http::make_tls_settings(*http::parse_url(host), endpoint, {});
      ASSERT_TRUE(settings);
      Observer observer;
      const Context context(SSL_CTX_new(TLS_client_method()));
      {
        const FailingAllocation failing(places);
        (*settings)->apply(context.get(), observer);
        failed = failing.happened();
      }
      const auto [server, client] = connect(context.get());
      const bool finished = SSL_is_init_finished(client.get()) == 1;
      EXPECT_TRUE(right || !finished) << host << " " << places;
      EXPECT_EQ(observer.verifications, finished ? 1 : 0);
      if (finished) ++believed;
    }
    EXPECT_GT(places, 5);
    EXPECT_EQ(believed > 0, right);
  }
}

}  // namespace
}  // namespace quay_rotator::contract
