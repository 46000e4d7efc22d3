// The server for probes and metrics, by raw sockets.
#include "http/probe_server.h"

#include <chrono>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "contract/raw_server.h"

namespace quay_rotator::contract {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Client {
 public:
  Client(std::uint16_t port, const char* address) {
    const bool v6 = std::string_view(address).find(':') != std::string_view::npos;
    sockaddr_in6 to6{};
    to6.sin6_family = AF_INET6;
    to6.sin6_port = htons(port);
    sockaddr_in to4{};
    to4.sin_family = AF_INET;
    to4.sin_port = htons(port);
    inet_pton(v6 ? AF_INET6 : AF_INET, address,
              v6 ? static_cast<void*>(&to6.sin6_addr) : static_cast<void*>(&to4.sin_addr));
    socket_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = ::connect(socket_,
                           v6 ? reinterpret_cast<const sockaddr*>(&to6)
                              : reinterpret_cast<const sockaddr*>(&to4),
                           v6 ? sizeof to6 : sizeof to4) == 0;
  }
  explicit Client(std::uint16_t port) : Client(port, "127.0.0.1") {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(socket_); }

  [[nodiscard]] bool connected() const { return connected_; }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Everything until the server closes.
  [[nodiscard]] std::string read_all() const {
    std::string all;
    char bytes[4096];
    ssize_t got = 0;
    while ((got = ::recv(socket_, bytes, sizeof bytes, 0)) > 0) {
      all.append(bytes, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  int socket_ = -1;
  bool connected_ = false;
};

class ProbeServer : public testing::Test {
 protected:
  std::unique_ptr<http::ProbeServer> serve(const std::string& address) {
    auto server = http::serve_probes(
        *executor_, address,
        {{"/healthz",
          [] {
            return http::ProbeAnswer{200, "text/plain; charset=utf-8", "ok"};
          }},
         {"/readyz",
          [] {
            return http::ProbeAnswer{503, "text/plain; charset=utf-8", "not yet"};
          }},
         {"/metrics", [] {
            return http::ProbeAnswer{200, "text/plain; version=0.0.4", std::string(1U << 20U, 'm')};
          }}});
    if (!server) throw std::runtime_error(server.error().message);
    return std::move(*server);
  }
  static std::string ask(std::uint16_t port, std::string_view request) {
    const Client client(port);
    client.send(request);
    return client.read_all();
  }

  std::unique_ptr<base::Executor> executor_ = base::make_system_executor();
};

TEST_F(ProbeServer, AnswersByPath) {
  const auto server = serve("127.0.0.1:0");
  const auto health = ask(server->port(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(health, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(health, HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"));
  EXPECT_THAT(health, testing::EndsWith("\r\n\r\nok"));
  const auto ready = ask(server->port(), "GET /readyz?verbose HTTP/1.0\r\n\r\n");
  EXPECT_THAT(ready, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(ready, testing::EndsWith("not yet"));
  EXPECT_THAT(ask(server->port(), "GET /other HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(server->port(), "GET /healthz/ HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  const auto metrics = ask(server->port(), "GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(metrics, HasSubstr("Content-Type: text/plain; version=0.0.4\r\n"));
  EXPECT_THAT(metrics, testing::EndsWith(std::string(1U << 20U, 'm')));
}

TEST_F(ProbeServer, HeadHasNoBody) {
  const auto server = serve("127.0.0.1:0");
  const auto answer = ask(server->port(), "HEAD /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(ProbeServer, OtherMethodsAreRefusedAndTheirBodiesNotWaitedFor) {
  const auto server = serve("127.0.0.1:0");
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const Client client(server->port());
    client.send(std::string(method) + " /healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc");
    const auto answer = client.read_all();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
  }
}

TEST_F(ProbeServer, HeadersBeyond8KiBAreRefused) {
  const auto server = serve("127.0.0.1:0");
  EXPECT_THAT(
      ask(server->port(), "GET /healthz HTTP/1.1\r\nX: " + std::string(7000, 'x') + "\r\n\r\n"),
      StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(
      ask(server->port(), "GET /healthz HTTP/1.1\r\nX: " + std::string(9000, 'x') + "\r\n\r\n"),
      StartsWith("HTTP/1.1 431 "));
  // A megabyte, and the answer still arrives.
  EXPECT_THAT(ask(server->port(), "GET /" + std::string(1U << 20U, 'x')),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(ProbeServer, WhatIsNotHttpIsRefused) {
  const auto server = serve("127.0.0.1:0");
  EXPECT_THAT(ask(server->port(), "\x16\x03\x01 hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

// Slow clients hold a connection each, for five seconds in all, and nothing else.
TEST_F(ProbeServer, SlowClientsBlockNobodyAndAreClosedAfterFiveSeconds) {
  const auto server = serve("127.0.0.1:0");
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<Client>(server->port()));
    slow.back()->send("GET /healthz HTTP/1.1\r\nX: ");
  }
  EXPECT_THAT(ask(server->port(), "GET /healthz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  for (const auto& client : slow) EXPECT_EQ(client->read_all(), "");
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(took, std::chrono::milliseconds(4500));
  EXPECT_LT(took, std::chrono::seconds(15));
}

TEST_F(ProbeServer, AnEmptyHostListensOnBothFamilies) {
  if (!has_ipv6()) GTEST_SKIP() << "left out: this machine has no IPv6 loopback address";
  const auto server = serve(":0");
  for (const char* address : {"127.0.0.1", "::1"}) {
    const Client client(server->port(), address);
    ASSERT_TRUE(client.connected()) << address;
    client.send("GET /healthz HTTP/1.1\r\n\r\n");
    EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 200 ")) << address;
  }
}

TEST_F(ProbeServer, OneAddressIsOnlyThat) {
  if (!has_ipv6()) GTEST_SKIP() << "left out: this machine has no IPv6 loopback address";
  const auto server = serve("[::1]:0");
  EXPECT_TRUE(Client(server->port(), "::1").connected());
  EXPECT_FALSE(Client(server->port(), "127.0.0.1").connected());
}

TEST_F(ProbeServer, StopsWithConnectionsOpen) {
  auto server = serve("127.0.0.1:0");
  const Client idle(server->port());
  ASSERT_TRUE(idle.connected());
  const auto port = server->port();
  server.reset();
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(Client(port).connected());
}

TEST_F(ProbeServer, SaysWhyItCannotListen) {
  const auto server = serve("127.0.0.1:0");
  const auto taken = "127.0.0.1:" + std::to_string(server->port());
  const auto second = http::serve_probes(*executor_, taken, {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message,
              HasSubstr("cannot listen on \"" + taken + "\": Address already"));
  for (const char* address : {"", "8081", "localhost:8081", "1.2.3:80", ":80x", ":65536", "::1:80",
                              "[127.0.0.1]:80", ":"}) {
    const auto bad = http::serve_probes(*executor_, address, {});
    ASSERT_FALSE(bad) << address;
    EXPECT_THAT(bad.error().message, HasSubstr("malformed")) << address;
  }
}

}  // namespace
}  // namespace quay_rotator::contract
