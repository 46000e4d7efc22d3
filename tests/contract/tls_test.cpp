// Who is believed, and how it is said when somebody is not.
#include <fstream>

#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include "contract/child.h"
#include "contract/contract.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using std::chrono::seconds;
using testing::HasSubstr;

class TlsContract : public Contract {
 protected:
  static RawServer::Script hello() {
    return [](Connection& connection) {
      while (!connection.read_request().empty()) connection.write(answer(200, "hello"));
    };
  }
  static ServerOptions with(Identity identity) {
    ServerOptions options;
    options.identity = std::move(identity);
    return options;
  }

  const Identity authority_ = make_authority();
};
QUAY_ROTATOR_CONTRACT(TlsContract);

TEST_P(TlsContract, ATrustedHostAnswers) {
  RawServer server(hello(), with(issue(authority_, {"unused", "DNS:quay.test"})));
  const auto transport = open_tls(server, authority_);
  for (int i = 0; i < 5; ++i) {
    const auto response = transport->send(post("/", "{}"), within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body.reveal(), "hello");
  }
  EXPECT_EQ(server.accepted(), 1);
}

TEST_P(TlsContract, AWildcardIsForOneLabel) {
  RawServer server(hello(), with(issue(authority_, {"unused", "DNS:*.example.test"})));
  EXPECT_TRUE(open_tls(server, authority_, "a.example.test")->send(get(), within(seconds(10))));
  EXPECT_FALSE(open_tls(server, authority_, "b.a.example.test")->send(get(), within(seconds(10))));
}

struct Refused {
  std::string name;
  std::string host;
  CertificateRequest certificate;
  std::string reason;
};

// Row 6 and the reasons in words. Each is refused before a byte of the request is sent.
TEST_P(TlsContract, AWrongCertificateIsRefusedAndTheReasonIsNamed) {
  const std::vector<Refused> cases = {
      {"other host",
       "quay.test",
       {"unused", "DNS:other.test,DNS:more.test"},
       "another host than quay.test; the names in its subjectAltName (2, "},
      {"common name beside a SAN", "quay.test", {"quay.test", "DNS:other.test"}, "another host"},
      {"common name beside a SAN of another type",
       "quay.test",
       {"quay.test", "IP:127.0.0.1"},
       "another host"},
      {"common name beside an e-mail SAN",
       "quay.test",
       {"quay.test", "email:a@quay.test"},
       "another host"},
      {"common name alone", "quay.test", {"quay.test", ""}, "names none"},
      {"address in the common name",
       "127.0.0.1",
       {"127.0.0.1", "DNS:quay.test"},
       "another host than 127.0.0.1"},
      {"address as a DNS name", "127.0.0.1", {"unused", "DNS:127.0.0.1"}, "another host"},
      {"other address", "127.0.0.1", {"unused", "IP:127.0.0.2"}, "another host"},
      {"expired", "quay.test", {"unused", "DNS:quay.test", true}, "expired"},
  };
  for (const auto& [name, host, certificate, reason] : cases) {
    RawServer server(hello(), with(issue(authority_, certificate)));
    const auto response =
        open_tls(server, authority_, host)->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response) << name;
    EXPECT_EQ(response.error().kind, Error::Kind::tls) << name << ": " << response.error().message;
    EXPECT_THAT(response.error().message, HasSubstr(reason)) << name;
    EXPECT_FALSE(response.error().maybe_sent) << name;
    EXPECT_TRUE(server.requests().empty()) << name;
  }
}

TEST_P(TlsContract, OnlyTheGivenAuthorityIsTrusted) {
  const Identity other = make_authority();
  RawServer server(hello(), with(issue(other, {"unused", "DNS:quay.test"})));
  const auto own = open_tls(server, authority_)->send(get(), within(seconds(10)));
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().kind, Error::Kind::tls);
  EXPECT_THAT(own.error().message, HasSubstr("not trusted by the given CA"));
  EXPECT_FALSE(own.error().maybe_sent);

  http::Endpoint endpoint;
  endpoint.origin = server.tls_origin("quay.test");
  const auto system = open(std::move(endpoint))->send(get(), within(seconds(10)));
  ASSERT_FALSE(system);
  EXPECT_THAT(system.error().message, HasSubstr("not trusted by the system's certificates"));
}

TEST_P(TlsContract, SeveralAuthoritiesMayBeGiven) {
  Identity both = make_authority();
  both.certificate += authority_.certificate;
  RawServer server(hello(), with(issue(authority_, {"unused", "DNS:quay.test"})));
  EXPECT_TRUE(open_tls(server, both)->send(get(), within(seconds(10))));
}

TEST_P(TlsContract, TheServersOwnCertificateMayBeTheTrustedOne) {
  const Identity leaf = issue(authority_, {"unused", "DNS:quay.test"});
  RawServer server(hello(), with(leaf));
  const auto response = open_tls(server, leaf)->send(get(), within(seconds(10)));
  EXPECT_TRUE(response) << response.error().message;
}

// Rows 16 and 18.
TEST_P(TlsContract, AnAddressIsVerifiedAndGetsNoServerName) {
  std::vector<std::string> addresses{"127.0.0.1"};
  if (has_ipv6()) addresses.emplace_back("::1");
  for (const std::string& address : addresses) {
    std::optional<std::string> server_name;
    auto options = with(issue(authority_, {"unused", "IP:" + address}));
    options.address = address;
    RawServer server(
        [&](Connection& connection) {
          server_name = connection.server_name();
          hello()(connection);
        },
        options);
    const std::string host = address == "::1" ? "[::1]" : address;
    const auto response = open_tls(server, authority_, host)->send(get(), within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(server_name, std::nullopt);
  }
}

TEST_P(TlsContract, AHostGetsItsServerName) {
  std::optional<std::string> server_name;
  RawServer server(
      [&](Connection& connection) {
        server_name = connection.server_name();
        hello()(connection);
      },
      with(issue(authority_, {"unused", "DNS:quay.test"})));
  ASSERT_TRUE(open_tls(server, authority_)->send(get(), within(seconds(10))));
  EXPECT_EQ(server_name, "quay.test");
}

// A kubeconfig's tls-server-name.
TEST_P(TlsContract, AnotherServerNameIsVerifiedAndSentInPlaceOfTheHost) {
  std::optional<std::string> server_name;
  RawServer server(
      [&](Connection& connection) {
        server_name = connection.server_name();
        hello()(connection);
      },
      with(issue(authority_, {"unused", "DNS:kubernetes.test,IP:127.0.0.9"})));
  http::Endpoint endpoint;
  endpoint.origin = server.tls_origin("127.0.0.1");
  endpoint.ca_certificates = authority_.certificate;
  const auto call = [&](std::optional<std::string> name) {
    http::Endpoint named;
    named.origin = endpoint.origin;
    named.ca_certificates = endpoint.ca_certificates;
    named.server_name = std::move(name);
    return open(std::move(named))->send(get(), within(seconds(10)));
  };
  ASSERT_TRUE(call("kubernetes.test"));
  EXPECT_EQ(server_name, "kubernetes.test");
  EXPECT_EQ(header_of(server.requests().at(0), "Host"), endpoint.origin.substr(8));
  ASSERT_TRUE(call("127.0.0.9"));
  EXPECT_EQ(server_name, std::nullopt);
  for (const auto& wrong :
       {std::optional<std::string>("other.test"), std::optional<std::string>()}) {
    const auto response = call(wrong);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::tls);
    EXPECT_THAT(response.error().message,
                HasSubstr("another host than " + wrong.value_or("127.0.0.1")));
    EXPECT_FALSE(response.error().maybe_sent);
  }
}

TEST_P(TlsContract, TheClientsCertificateIsShown) {
  const Identity client = issue(authority_, {"the operator", ""});
  std::string client_name;
  auto options = with(issue(authority_, {"unused", "DNS:quay.test"}));
  options.client_authority = authority_;
  RawServer server(
      [&](Connection& connection) {
        client_name = connection.client_name();
        hello()(connection);
      },
      options);
  http::Endpoint endpoint;
  endpoint.origin = server.tls_origin("quay.test");
  endpoint.ca_certificates = authority_.certificate;
  endpoint.client_certificate = client.certificate;
  endpoint.client_key = base::SecretString(std::string(client.key));
  const auto response = open(std::move(endpoint))->send(get(), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(client_name, "the operator");

  const auto without = open_tls(server, authority_)->send(get(), within(seconds(10)));
  ASSERT_FALSE(without);
  // With TLS 1.3 the refusal comes after the request; it races with the connection's end.
  EXPECT_TRUE(without.error().kind == Error::Kind::tls ||
              without.error().kind == Error::Kind::connection_lost)
      << without.error().message;
}

TEST_P(TlsContract, OldProtocolsAreRefused) {
  auto options = with(issue(authority_, {"unused", "DNS:quay.test"}));
  options.max_tls_version = TLS1_1_VERSION;
  RawServer server(hello(), options);
  const auto response = open_tls(server, authority_)->send(get(), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
  EXPECT_FALSE(response.error().maybe_sent);
}

// What a handshake costs us is the server's to choose, within these bounds.
TEST_P(TlsContract, OnlyEllipticCurvesAgreeOnKeys) {
  for (const char* ciphers : {"kDHE", "kRSA"}) {
    auto options = with(issue(authority_, {"unused", "DNS:quay.test", false, "RSA"}));
    options.max_tls_version = TLS1_2_VERSION;
    options.ciphers = ciphers;
    RawServer server(hello(), options);
    const auto response = open_tls(server, authority_)->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response) << ciphers;
    EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
    EXPECT_THAT(response.error().message, HasSubstr("TLS 1.2 with ECDHE"));
    EXPECT_FALSE(response.error().maybe_sent);
    options.ciphers = "kECDHE";
    RawServer modern(hello(), options);
    EXPECT_TRUE(open_tls(modern, authority_)->send(get(), within(seconds(10))));
  }
}

TEST_P(TlsContract, ACertificateWithADearKeyIsRefusedUnseen) {
  for (const std::string& dear : {certificate_with_key(16384, 17), certificate_with_key(8200, 17),
                                  certificate_with_key(2048, 2000), certificate_with_dsa_key()}) {
    Identity identity = issue(authority_, {"unused", "DNS:quay.test"});
    identity.certificate += dear;
    RawServer server(hello(), with(identity));
    const auto response = open_tls(server, authority_)->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
    EXPECT_THAT(response.error().message, HasSubstr("too large or of an unusual kind"));
    EXPECT_FALSE(response.error().maybe_sent);
  }
  Identity identity = issue(authority_, {"unused", "DNS:quay.test", false, "P-521"});
  identity.certificate += certificate_with_key(8192, 17);
  RawServer server(hello(), with(identity));
  const auto response = open_tls(server, authority_)->send(get(), within(seconds(10)));
  EXPECT_TRUE(response) << response.error().message;
}

TEST_P(TlsContract, AChainThatIsTooLongIsRefusedUnseen) {
  for (const int more : {9, 10, 200}) {
    Identity identity = issue(authority_, {"unused", "DNS:quay.test"});
    for (int i = 0; i < more; ++i) identity.certificate += authority_.certificate;
    RawServer server(hello(), with(identity));
    const auto response = open_tls(server, authority_)->send(post("/", "{}"), within(seconds(10)));
    if (more == 9) {
      EXPECT_TRUE(response) << response.error().message;
      continue;
    }
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
    // OpenSSL itself stops reading at 32 KiB.
    EXPECT_THAT(response.error().message,
                HasSubstr(more == 10 ? "more than 10 certificates" : "excessive message size"));
    EXPECT_FALSE(response.error().maybe_sent);
  }
}

// Messages that a client has to skip, as many as it reads.
TEST_P(TlsContract, AHandshakeThatNeverEndsIsCutOff) {
  const std::string hello_requests =
      std::string("\x16\x03\x03\x40\x00", 5) + std::string(16U << 10U, '\0');
  std::atomic<std::size_t> written = 0;
  RawServer server([&](Connection& connection) {
    while (connection.write(hello_requests)) written += hello_requests.size();
  });
  auto options = within(seconds(20));
  options.max_body = 64U << 20U;
  const auto response = open_tls(server, authority_)->send(post("/", "{}"), options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
  EXPECT_THAT(response.error().message, HasSubstr("end of its handshake"));
  EXPECT_FALSE(response.error().maybe_sent);
  server.await_ended(1);
  EXPECT_LT(written, 32U << 20U);
}

TEST_P(TlsContract, APlainPortIsNotTls) {
  RawServer server([](Connection& connection) {
    connection.write(answer(400, "speak HTTP"));
    connection.wait_closed();
  });
  const auto response = open_tls(server, authority_)->send(get(), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
  EXPECT_FALSE(response.error().maybe_sent);
}

TEST_P(TlsContract, AConnectionThatEndsInTheHandshakeSentNothing) {
  RawServer server([](Connection&) {});
  const auto response = open_tls(server, authority_)->send(post("/", "{}"), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls) << response.error().message;
  EXPECT_FALSE(response.error().maybe_sent);
}

TEST_P(TlsContract, ADeadlineInTheHandshakeSentNothing) {
  RawServer server([](Connection& connection) { connection.read_request(); });
  const auto response =
      open_tls(server, authority_)->send(post("/", "{}"), within(std::chrono::milliseconds(100)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
  EXPECT_FALSE(response.error().maybe_sent);
}

// Row 2 over TLS.
TEST_P(TlsContract, AWriteOnAReusedConnectionIsNeverSentAgain) {
  for (const char* body : {"{}", ""}) {
    RawServer server(
        [](Connection& connection) {
          connection.read_request();
          connection.write(answer(200, "first"));
          connection.read_request();
        },
        with(issue(authority_, {"unused", "DNS:quay.test"})));
    const auto transport = open_tls(server, authority_);
    ASSERT_TRUE(transport->send(get(), within(seconds(10))));
    const auto response = transport->send(post("/second", body), within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::connection_lost) << response.error().message;
    EXPECT_TRUE(response.error().maybe_sent);
    EXPECT_EQ(server.accepted(), 1);
  }
}

// Row 3 over TLS.
TEST_P(TlsContract, AStaleConnectionIsNoticedBeforeAnythingIsSent) {
  RawServer server(
      [](Connection& connection) {
        connection.read_request();
        connection.write(answer(200, std::to_string(connection.index())));
      },
      with(issue(authority_, {"unused", "DNS:quay.test"})));
  const auto transport = open_tls(server, authority_);
  ASSERT_TRUE(transport->send(get(), within(seconds(10))));
  server.await_ended(1);
  const auto response = transport->send(post("/", ""), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.reveal(), "1");
}

// Rows 13 and 24: over TLS even what the library would collect without limit is bounded.
TEST_P(TlsContract, EndlessHeadersAndChunksAreCutOff) {
  const std::string block(16U << 10U, 'x');
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\nX-Filler: ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"}) {
    std::atomic<std::size_t> written = 0;
    RawServer server(
        [&](Connection& connection) {
          connection.read_request();
          connection.write(head);
          while (connection.write(block)) written += block.size();
        },
        with(issue(authority_, {"unused", "DNS:quay.test"})));
    auto options = within(seconds(20));
    options.max_body = 100'000;
    const auto response = open_tls(server, authority_)->send(get(), options);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::too_large) << response.error().message;
    server.await_ended(1);
    EXPECT_LT(written, 32U << 20U);
  }
}

// Row 7: the system's certificates are read once and by us, wherever SSL_CERT_FILE pointed.
TEST_P(TlsContract, TheSystemsCertificatesAreReadOnce) {
  RawServer server(
      [](Connection& connection) {
        connection.read_request();
        connection.write(answer(200, "hello", "Connection: close\r\n"));
      },
      with(issue(authority_, {"unused", "DNS:quay.test"})));
  const std::string file = testing::TempDir() + "/ca-" + std::to_string(server.port()) + ".pem";
  std::ofstream(file) << authority_.certificate;
  const auto child = run_as_child("trust", {GetParam().name, server.tls_origin("quay.test"), file},
                                  {"SSL_CERT_FILE=" + file, "SSL_CERT_DIR=/nonexistent"});
  ASSERT_TRUE(child.exited) << child.status;
  EXPECT_EQ(child.status, 0);
  EXPECT_EQ(server.accepted(), 2);
  // What the library sees, and what a child process of the operator gets.
  EXPECT_EQ(child.output,
            "/dev/null/hidden\nSSL_CERT_FILE=" + file + "\nSSL_CERT_DIR=/nonexistent\n");
}

// Proxies: plain for http, CONNECT for https.

class ProxyContract : public TlsContract {
 protected:
  std::unique_ptr<http::Transport> open_through(const RawServer& proxy, const std::string& origin) {
    http::Endpoint endpoint;
    endpoint.origin = origin;
    endpoint.ca_certificates = authority_.certificate;
    endpoint.allow_insecure = true;
    endpoint.proxy = proxy.plain_origin();
    return open(std::move(endpoint));
  }
};
QUAY_ROTATOR_CONTRACT(ProxyContract);

TEST_P(ProxyContract, HttpsGoesThroughATunnel) {
  const Identity identity = issue(authority_, {"unused", "DNS:quay.test"});
  RawServer proxy([&](Connection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (!connection.start_tls(identity)) return;
    while (!connection.read_request().empty()) connection.write(answer(200, "hello"));
  });
  const auto transport = open_through(proxy, "https://quay.test");
  auto request = post("/path?x=1", "{}");
  request.authorization = base::SecretString("Bearer abc");
  for (int i = 0; i < 2; ++i) {
    const auto response = transport->send(request, within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body.reveal(), "hello");
  }
  auto requests = proxy.requests();
  ASSERT_EQ(requests.size(), limited() ? 4U : 3U);  // a tunnel is kept, or is not
  EXPECT_THAT(requests[0], testing::StartsWith("CONNECT quay.test:443 HTTP/1.1\r\n"));
  EXPECT_EQ(header_of(requests[0], "Authorization"), std::nullopt);
  EXPECT_THAT(requests[1], testing::StartsWith("POST /path?x=1 HTTP/1.1\r\n"));
  EXPECT_EQ(header_of(requests[1], "Host"), "quay.test");
}

// A server that was sent a token can put it into a certificate.
TEST_P(TlsContract, NoMessageRepeatsACertificate) {
  RawServer server(
      [](Connection&) {},
      with(issue(authority_, {"marked.subject", "DNS:marked.test,DNS:a.marked.test"})));
  const auto response = open_tls(server, authority_)->send(get(), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls);
  EXPECT_THAT(response.error().message, testing::Not(HasSubstr("marked")));
}

// The library checks the host of a tunnel before there is TLS, that is never; we still do.
TEST_P(ProxyContract, TheHostBehindATunnelIsVerified) {
  const Identity identity = issue(authority_, {"quay.test", "DNS:other.test"});
  RawServer proxy([&](Connection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (connection.start_tls(identity)) connection.read_request();
  });
  const auto response =
      open_through(proxy, "https://quay.test")->send(post("/", "{}"), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::tls);
  EXPECT_THAT(response.error().message,
              HasSubstr("the certificate is for another host than quay.test"));
  EXPECT_FALSE(response.error().maybe_sent);
}

TEST_P(ProxyContract, HttpNamesTheWholeTarget) {
  RawServer proxy([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(200, "proxied"));
  });
  const auto response =
      open_through(proxy, "http://quay.test:8080")->send(get("/path?x=1"), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_THAT(proxy.requests().at(0),
              testing::StartsWith("GET http://quay.test:8080/path?x=1 HTTP/1.1\r\n"));
}

// A proxy-url of a kubeconfig, or HTTPS_PROXY, with a user and a password.
TEST_P(ProxyContract, TheProxyGetsItsCredentialAndTheServerDoesNot) {
  const Identity identity = issue(authority_, {"unused", "DNS:quay.test,IP:::1"});
  for (const std::string origin : {"https://quay.test", "https://[::1]:6443", "http://quay.test"}) {
    RawServer proxy([&](Connection& connection) {
      if (origin.starts_with("https")) {
        connection.read_request();
        connection.write("HTTP/1.1 200 Connection established\r\n\r\n");
        if (!connection.start_tls(identity)) return;
      }
      while (!connection.read_request().empty()) connection.write(answer(200, "hello"));
    });
    http::Endpoint endpoint;
    endpoint.origin = origin;
    endpoint.ca_certificates = authority_.certificate;
    endpoint.allow_insecure = true;
    endpoint.proxy = proxy.plain_origin();
    endpoint.proxy_authorization = base::SecretString("Basic dXNlcjpodW50ZXIy");
    const auto transport = factory().open(std::move(endpoint));
    if (limited() && origin.ends_with("6443")) {
      ASSERT_FALSE(transport);
      EXPECT_THAT(transport.error().message, HasSubstr("IPv6"));
      continue;
    }
    const auto response = (*transport)->send(get(), within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    const auto requests = proxy.requests();
    EXPECT_EQ(header_of(requests.at(0), "Proxy-Authorization"), "Basic dXNlcjpodW50ZXIy");
    if (origin.starts_with("https")) {
      EXPECT_EQ(header_of(requests.at(1), "Proxy-Authorization"), std::nullopt);
    }
    if (origin.ends_with("6443")) {
      EXPECT_THAT(requests.at(0), testing::StartsWith("CONNECT [::1]:6443 HTTP/1.1\r\n"));
    }
  }
}

TEST_P(ProxyContract, AnEndlessAnswerToConnectIsCutOff) {
  const std::string block(16U << 10U, 'x');
  std::atomic<std::size_t> written = 0;
  RawServer proxy([&](Connection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 Connection established\r\nX-Filler: ");
    while (connection.write(block)) written += block.size();
  });
  auto options = within(seconds(20));
  options.max_body = 100'000;
  const auto response = open_through(proxy, "https://quay.test")->send(get(), options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::too_large) << response.error().message;
  proxy.await_ended(1);
  EXPECT_LT(written, 32U << 20U);
}

TEST_P(ProxyContract, AProxyThatRefusesIsUnreachable) {
  for (const std::string reply : {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                                  "HTTP/1.1 502 Bad Gateway\r\n\r\n", "gibberish\r\n\r\n", ""}) {
    RawServer proxy([&](Connection& connection) {
      connection.read_request();
      connection.write(reply);
    });
    const auto response =
        open_through(proxy, "https://quay.test")->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::unreachable) << response.error().message;
    EXPECT_THAT(response.error().message, HasSubstr(proxy.plain_origin()));
    EXPECT_FALSE(response.error().maybe_sent);
  }
}

}  // namespace
}  // namespace quay_rotator::contract
