// What goes out, how often, and what an answer may be.
#include <thread>

#include <gmock/gmock.h>

#include "contract/contract.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using http::Method;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class RequestContract : public Contract {};
QUAY_ROTATOR_CONTRACT(RequestContract);

// Answers every request of a connection with the same.
RawServer::Script always(std::string reply) {
  return [reply = std::move(reply)](Connection& connection) {
    while (!connection.read_request().empty() && connection.write(reply)) {
    }
  };
}

TEST_P(RequestContract, ARequestIsOnTheWireAsItWasGiven) {
  RawServer server(always(answer(201, "made", "X-Answer: 1\r\n")));
  const auto transport = open_plain(server);
  auto request = post("/api/v1/x%2By/?watch=1&a=b%2Fc", "{\"a\":1}");
  request.headers = {{"Accept", "application/json"}, {"X-Empty", ""}};
  request.authorization = base::SecretString("Bearer abc");
  const auto response = transport->send(request, within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(response->body.reveal(), "made");
  EXPECT_EQ(response->header("x-answer"), "1");
  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_THAT(requests[0], testing::StartsWith("POST /api/v1/x%2By/?watch=1&a=b%2Fc HTTP/1.1\r\n"));
  EXPECT_EQ(header_of(requests[0], "Authorization"), "Bearer abc");
  EXPECT_EQ(header_of(requests[0], "Accept"), "application/json");
  EXPECT_EQ(header_of(requests[0], "User-Agent"), "quay-rotator/test");
  EXPECT_EQ(header_of(requests[0], "Content-Type"), "application/json");
  EXPECT_EQ(header_of(requests[0], "Content-Length"), "7");
  EXPECT_THAT(requests[0], testing::EndsWith("\r\n\r\n{\"a\":1}"));
}

TEST_P(RequestContract, SequentialCallsShareAConnection) {
  RawServer server(always(answer(200, "ok")));
  const auto transport = open_plain(server);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(transport->send(i % 2 == 0 ? get() : post("/", "{}"), within(seconds(10))));
  }
  EXPECT_EQ(server.accepted(), 1);
}

TEST_P(RequestContract, ConcurrentCallsGetTheirOwnAnswers) {
  RawServer server([](Connection& connection) {
    while (true) {
      const std::string request = connection.read_request();
      if (request.empty()) return;
      const auto begin = request.find('/');
      connection.write(answer(200, request.substr(begin, request.find(' ', begin) - begin)));
    }
  });
  const auto transport = open_plain(server);
  std::vector<std::jthread> callers;
  std::atomic<int> right = 0;
  for (int caller = 0; caller < 12; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 20; ++i) {
        const std::string target = "/" + std::to_string(caller) + "-" + std::to_string(i);
        const auto response = transport->send(get(target), within(seconds(20)));
        if (response && response->body.reveal() == target) ++right;
      }
    });
  }
  callers.clear();
  EXPECT_EQ(right, 12 * 20);
  EXPECT_LE(server.accepted(), 12);
}

// Row 1.
TEST_P(RequestContract, RedirectsAreNotFollowedAndAuthorizationGoesNowhere) {
  for (const int status : {301, 302, 303, 307, 308}) {
    RawServer other(always(answer(200, "stolen")));
    RawServer server(
        always(answer(status, "", "Location: " + other.plain_origin() + "/elsewhere\r\n")));
    const auto transport = open_plain(server);
    auto request = get();
    request.authorization = base::SecretString("Bearer abc");
    const auto response = transport->send(request, within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, status);
    EXPECT_EQ(response->header("Location"), other.plain_origin() + "/elsewhere");
    EXPECT_EQ(other.accepted(), 0);
    EXPECT_THAT(server.requests(), SizeIs(1));
  }
}

struct Write {
  Method method;
  std::string body;
};

// Row 2: the server reads the second request of a connection and dies before its status line.
TEST_P(RequestContract, AWriteOnAReusedConnectionIsNeverSentAgain) {
  for (const Write& write :
       {Write{Method::post, "{}"}, Write{Method::post, ""}, Write{Method::put, "{}"},
        Write{Method::patch, "{}"}, Write{Method::del, ""}, Write{Method::del, "{}"}}) {
    RawServer server([](Connection& connection) {
      if (connection.read_request().empty()) return;
      connection.write(answer(200, "first"));
      connection.read_request();
    });
    const auto transport = open_plain(server);
    ASSERT_TRUE(transport->send(get(), within(seconds(10))));
    auto request = post("/second", write.body);
    request.method = write.method;
    const auto response = transport->send(request, within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::connection_lost) << response.error().message;
    EXPECT_TRUE(response.error().maybe_sent);
    // A second attempt would come on a second connection.
    EXPECT_EQ(server.accepted(), 1) << http::method_name(write.method) << " " << write.body;
    EXPECT_THAT(server.requests(), SizeIs(2));
  }
}

TEST_P(RequestContract, AWriteOnAFreshConnectionIsNeverSentAgain) {
  RawServer server([](Connection& connection) { connection.read_request(); });
  const auto transport = open_plain(server);
  const auto response = transport->send(post("/", "{}"), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::connection_lost);
  EXPECT_TRUE(response.error().maybe_sent);
  EXPECT_EQ(server.accepted(), 1);
}

// Row 3: the pooled connection is closed (or reset) while idle. Nothing was sent on it, so every
// method goes out on another one, once.
TEST_P(RequestContract, AStaleConnectionIsNoticedBeforeAnythingIsSent) {
  for (const bool reset : {false, true}) {
    for (const Write& write :
         {Write{Method::get, ""}, Write{Method::post, "{}"}, Write{Method::del, ""}}) {
      RawServer server([reset](Connection& connection) {
        connection.read_request();
        connection.write(answer(200, std::to_string(connection.index())));
        if (reset && connection.index() == 0) connection.reset();
      });
      const auto transport = open_plain(server);
      ASSERT_TRUE(transport->send(get(), within(seconds(10))));
      server.await_ended(1);
      auto request = post("/second", write.body);
      request.method = write.method;
      const auto response = transport->send(request, within(seconds(10)));
      ASSERT_TRUE(response) << response.error().message;
      EXPECT_EQ(response->body.reveal(), "1");
      EXPECT_EQ(server.accepted(), 2);
      EXPECT_THAT(server.requests(), SizeIs(2));
    }
  }
}

// A server that says something unasked (nginx and a 408) must not have it taken for an answer.
TEST_P(RequestContract, AnUnaskedAnswerOnAnIdleConnectionIsNotTheNextAnswer) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(answer(200, "asked"));
    if (connection.index() == 0) connection.write(answer(408, "unasked"));
  });
  const auto transport = open_plain(server);
  ASSERT_TRUE(transport->send(get(), within(seconds(10))));
  server.await_ended(1);
  const auto response = transport->send(post("/", "{}"), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.reveal(), "asked");
}

// Row 4.
TEST_P(RequestContract, AnInterimAnswerIsAnErrorAndItsConnectionIsGone) {
  for (const char* interim :
       {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"}) {
    RawServer server([interim](Connection& connection) {
      connection.read_request();
      if (connection.index() == 0) connection.write(interim);
      connection.write(answer(200, std::to_string(connection.index())));
      connection.wait_closed();
    });
    const auto transport = open_plain(server);
    const auto first = transport->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().kind, Error::Kind::malformed) << first.error().message;
    EXPECT_TRUE(first.error().maybe_sent);
    const auto second = transport->send(get(), within(seconds(10)));
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_EQ(second->body.reveal(), "1");
    server.await_ended(1);
  }
}

// Row 5.
TEST_P(RequestContract, TheCredentialIsExactlyTheGivenHeader) {
  RawServer server(always(answer(401, "", "WWW-Authenticate: Basic realm=\"x\"\r\n")));
  const auto transport = open_plain(server);
  auto request = get();
  request.authorization = base::SecretString("Basic YTpi");
  ASSERT_EQ(transport->send(request, within(seconds(10)))->status, 401);
  ASSERT_EQ(transport->send(get(), within(seconds(10)))->status, 401);
  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(header_of(requests[0], "Authorization"), "Basic YTpi");
  EXPECT_EQ(header_of(requests[1], "Authorization"), std::nullopt);
}

// Row 16.
TEST_P(RequestContract, AnIpv6AddressIsReached) {
  if (!has_ipv6()) GTEST_SKIP() << "left out: this machine has no IPv6 loopback address";
  RawServer server(always(answer(200, "ok")), {{}, {}, 0, "", "::1"});
  const auto transport = open_plain(server);
  const auto response = transport->send(get(), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.reveal(), "ok");
}

// Rows 17 and 19.
TEST_P(RequestContract, WhatWouldForgeARequestIsRefusedBeforeAnythingIsSent) {
  RawServer server(always(answer(200, "ok")));
  const auto transport = open_plain(server);
  std::vector<http::Request> forged;
  for (const std::string& value : {std::string("a\r\nX-Forged: 1"), std::string("a\nb"),
                                   std::string("a\0b", 3), std::string("a\x7f")}) {
    forged.push_back(get());
    forged.back().headers = {{"X-Value", value}};
    forged.push_back(get());
    forged.back().authorization = base::SecretString("Bearer " + value);
    forged.push_back(post("/", "{}"));
    forged.back().content_type = value;
  }
  for (const char* name : {"", "X Y", "X:", "X\r\nY", "Host", "authorization", "Content-Length",
                           "Transfer-Encoding", "Connection"}) {
    forged.push_back(get());
    forged.back().headers = {{name, "1"}};
  }
  for (const char* target : {"", "x", "//evil.test/", "/a b", "/a\r\nX: y", "/a#b", "/\xc3\xa4",
                             "http://evil.test/", "/%zz?[", "/a\\b"}) {
    forged.push_back(get(target));
  }
  for (const auto& request : forged) {
    const auto response = transport->send(request, within(seconds(10)));
    if (response) {
      // What is not refused went out as it stands.
      EXPECT_THAT(server.requests().back(), HasSubstr(" " + request.target + " "));
      ADD_FAILURE() << "not refused: " << request.target;
      continue;
    }
    EXPECT_EQ(response.error().kind, Error::Kind::invalid_request) << response.error().message;
    EXPECT_FALSE(response.error().maybe_sent);
  }
  EXPECT_EQ(server.accepted(), 0);
}

// Row 22.
TEST_P(RequestContract, TheEnvironmentChoosesNoProxy) {
  RawServer proxy(always(answer(502, "proxied")));
  RawServer server(always(answer(200, "direct")));
  setenv("HTTP_PROXY", proxy.plain_origin().c_str(), 1);
  setenv("http_proxy", proxy.plain_origin().c_str(), 1);
  const auto response = open_plain(server)->send(get(), within(seconds(10)));
  unsetenv("HTTP_PROXY");
  unsetenv("http_proxy");
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.reveal(), "direct");
  EXPECT_EQ(proxy.accepted(), 0);
}

TEST_P(RequestContract, AnEndpointThatCannotWorkIsNotOpened) {
  struct Case {
    http::Endpoint endpoint;
    std::string reason;
  };
  std::vector<Case> cases(16);
  cases[0] = {{}, "scheme"};
  cases[1].endpoint.origin = "http://quay.test";
  cases[1].reason = "not encrypted";
  cases[2].endpoint.origin = "https://quay.test/path";
  cases[2].reason = "must not have a path";
  cases[3].endpoint.origin = "https://quay.test";
  cases[3].endpoint.proxy = "https://proxy.test:3128";
  cases[3].reason = "not supported";
  cases[4].endpoint.origin = "https://quay.test";
  cases[4].endpoint.proxy = "http://user:hunter2@proxy.test:3128";
  cases[4].reason = "user or password";
  cases[5].endpoint.origin = "https://quay.test";
  cases[5].endpoint.ca_certificates = "not a certificate";
  cases[5].reason = "the CA";
  cases[6].endpoint.origin = "https://quay.test";
  cases[6].endpoint.client_certificate = make_authority().certificate;
  cases[6].reason = "needs its key";
  cases[7].endpoint.origin = "https://quay.test";
  cases[7].endpoint.client_certificate = make_authority().certificate;
  cases[7].endpoint.client_key = base::SecretString(make_authority().key);
  cases[7].reason = "does not belong";
  for (std::size_t i = 8; i < 11; ++i) {
    cases[i].endpoint.origin = "https://quay.test";
    cases[i].reason = "the server name";
  }
  cases[8].endpoint.server_name = "";
  cases[9].endpoint.server_name = std::string("quay.test\0.evil.test", 20);
  cases[10].endpoint.server_name = ".quay.test";  // OpenSSL's way to say "every host below it"
  cases[11].endpoint.origin = "http://quay.test";
  cases[11].endpoint.allow_insecure = true;
  cases[11].endpoint.server_name = "quay.test";
  cases[11].reason = "no meaning without TLS";
  for (std::size_t i = 12; i < 15; ++i) {
    cases[i].endpoint.origin = "https://quay.test";
    cases[i].reason = "too large or of an unusual kind";
  }
  cases[12].endpoint.ca_certificates = certificate_with_key(8200, 17);
  cases[13].endpoint.ca_certificates = certificate_with_key(2048, 2000);
  cases[14].endpoint.ca_certificates = certificate_with_dsa_key();
  cases[15].endpoint.origin = "https://quay.test";
  cases[15].endpoint.ca_certificates = "";
  const std::string authority = make_authority().certificate;
  for (int i = 0; i < 501; ++i) *cases[15].endpoint.ca_certificates += authority;
  cases[15].reason = "more than 500 certificates";
  for (auto& [endpoint, reason] : cases) {
    const auto transport = factory().open(std::move(endpoint));
    ASSERT_FALSE(transport) << reason;
    EXPECT_THAT(transport.error().message, HasSubstr(reason));
    EXPECT_THAT(transport.error().message, Not(HasSubstr("hunter2")));
    EXPECT_FALSE(transport.error().maybe_sent);
  }
}

}  // namespace
}  // namespace quay_rotator::contract
