// Connections that never come about, deadlines, cancellation, and the end of the process.
#include <atomic>
#include <csignal>
#include <pthread.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "contract/child.h"
#include "contract/contract.h"
#include "contract/resolver.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class FailureContract : public Contract {
 protected:
  std::unique_ptr<http::Transport> open_origin(std::string origin) {
    http::Endpoint endpoint;
    endpoint.origin = std::move(origin);
    endpoint.allow_insecure = true;
    return open(std::move(endpoint));
  }
};
QUAY_ROTATOR_CONTRACT(FailureContract);

void silent(Connection& connection) {
  connection.read_request();
  connection.wait_closed();
}

// A port that is taken and does not listen.
class ClosedPort {
 public:
  ClosedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ClosedPort(const ClosedPort&) = delete;
  ClosedPort& operator=(const ClosedPort&) = delete;
  ~ClosedPort() { ::close(socket_); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

// Row 20.
TEST_P(FailureContract, ARefusedConnectionIsUnreachableAndNothingWasSent) {
  const ClosedPort closed;
  for (const char* scheme : {"http://", "https://"}) {
    const std::string origin = scheme + closed.address();
    const auto response = open_origin(origin)->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::unreachable);
    EXPECT_THAT(response.error().message, HasSubstr(origin));
    EXPECT_FALSE(response.error().maybe_sent);
  }
  http::Endpoint endpoint;
  endpoint.origin = "https://quay.test";
  endpoint.proxy = "http://" + closed.address();
  const auto response = open(std::move(endpoint))->send(get(), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::unreachable);
  EXPECT_THAT(response.error().message, HasSubstr(closed.address()));
  EXPECT_FALSE(response.error().maybe_sent);
}

TEST_P(FailureContract, AnUnknownNameIsNotFoundAndNothingWasSent) {
  for (const char* origin : {"http://missing.test", "https://missing.test"}) {
    const auto response = open_origin(origin)->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::name_not_found) << response.error().message;
    EXPECT_THAT(response.error().message, HasSubstr("missing.test"));
    EXPECT_FALSE(response.error().maybe_sent);
  }
  http::Endpoint endpoint;
  endpoint.origin = "https://quay.test";
  endpoint.proxy = "http://missing.test:3128";
  const auto response = open(std::move(endpoint))->send(get(), within(seconds(10)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::name_not_found) << response.error().message;
  EXPECT_THAT(response.error().message, HasSubstr("missing.test"));
}

// Row 8: the library has one resolver thread, and it hangs.
TEST_P(FailureContract, ASlowNameCostsItsCallersDeadlineAndNoWarmConnection) {
  RawServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(200, "warm"));
  });
  const auto warm = open_plain(server);
  ASSERT_TRUE(warm->send(get(), within(seconds(10))));
  const auto port = std::to_string(server.port());
  const auto slow = open_origin("https://slow.test:" + port);
  {
    SlowName name;
    const auto response = slow->send(post("/", "{}"), within(milliseconds(100)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::timeout);
    EXPECT_FALSE(response.error().maybe_sent);
    name.await_lookup();
    EXPECT_TRUE(warm->send(post("/", "{}"), within(seconds(10))));
  }
  // The name resolves now: the abandoned call must not go out after all, and others work.
  const auto next =
      open_origin("http://slow.test:" + port)->send(get("/next"), within(seconds(10)));
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(server.accepted(), 2);
}

// Row 23: silence, half an answer, and an answer that drips below every inactivity limit.
TEST_P(FailureContract, TheDeadlineIsForTheWholeCall) {
  const std::vector<RawServer::Script> scripts = {
      silent,
      [](Connection& connection) {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        connection.wait_closed();
      },
      [](Connection& connection) {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (!connection.closed_within(5)) connection.write(chunk("x"));
      }};
  for (const auto& script : scripts) {
    RawServer server(script);
    const auto transport = open_plain(server);
    const auto begin = std::chrono::steady_clock::now();
    const auto response = transport->send(post("/", "{}"), within(milliseconds(150)));
    const auto took = std::chrono::steady_clock::now() - begin;
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
    EXPECT_TRUE(response.error().maybe_sent);
    EXPECT_GE(took, milliseconds(150));
    EXPECT_LT(took, seconds(5));
    server.await_ended(1);  // row 14: the connection is closed although the transport lives
  }
}

// What the kernel still holds of it would else arrive when a long partition heals.
TEST_P(FailureContract, NothingOfAnAbandonedRequestIsDeliveredLater) {
  const Identity authority = make_authority();
  for (const bool tls : {false, true}) {
    std::atomic<bool> reset = false;
    ServerOptions options;
    if (tls) options.identity = issue(authority, {"unused", "DNS:quay.test"});
    RawServer server(
        [&](Connection& connection) {
          connection.read_request();
          connection.write(answer(200, "first"));
          connection.read_request();  // on the same connection
          reset = connection.reset_within(10'000);
        },
        options);
    const auto transport = tls ? open_tls(server, authority) : open_plain(server);
    ASSERT_TRUE(transport->send(post("/", "{}"), within(seconds(10))));
    const auto response = transport->send(post("/", "{}"), within(milliseconds(100)));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
    server.await_ended(1);
    EXPECT_TRUE(reset);
    EXPECT_EQ(server.accepted(), 1);
  }
}

// Frozen in a handshake, awake after the deadline: the caller's clock counts, not the server's.
// (cpprestsdk's thread is another than the caller's: unit/http/exchange_test has its case.)
TEST_P(FailureContract, AProcessThatWasFrozenSendsNothingAfterItsDeadline) {
  if (limited()) return;
  constexpr auto deadline = milliseconds(200);
  static std::atomic<base::MonotonicTime> awake;
  struct sigaction freeze {};
  freeze.sa_handler = [](int) {
    while (std::chrono::steady_clock::now() < awake.load()) {
    }
  };
  struct sigaction before {};
  sigaction(SIGUSR1, &freeze, &before);
  const Identity authority = make_authority();
  const Identity identity = issue(authority, {"unused", "DNS:quay.test"});
  const pthread_t caller = pthread_self();
  RawServer server([&](Connection& connection) {
    awake = std::chrono::steady_clock::now() + deadline;
    pthread_kill(caller, SIGUSR1);
    if (connection.start_tls(identity)) connection.read_request();
  });
  const auto transport = open_tls(server, authority);
  const auto response = transport->send(post("/", "{}"), within(deadline));
  sigaction(SIGUSR1, &before, nullptr);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
  EXPECT_FALSE(response.error().maybe_sent);
  server.await_ended(1);
  EXPECT_TRUE(server.requests().empty());
}

TEST_P(FailureContract, AStreamMustOpenByItsDeadline) {
  RawServer server(silent);
  http::StreamOptions options;
  options.open_deadline = milliseconds(100);
  const auto response =
      open_plain(server)->stream(get(), options, [](std::string_view) { return true; });
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::timeout);
}

TEST_P(FailureContract, AStopEndsACallAtAnyTime) {
  RawServer server(silent);
  const auto transport = open_plain(server);
  std::stop_source stop;
  {
    const std::jthread stopper([&] {
      server.await_requests(1);
      stop.request_stop();
    });
    auto options = within(seconds(60));
    options.stop = stop.get_token();
    const auto response = transport->send(post("/", "{}"), options);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::cancelled);
    EXPECT_TRUE(response.error().maybe_sent);
  }
  server.await_ended(1);

  // Before the call: it may not even begin to wait.
  http::StreamOptions options;
  options.stop = stop.get_token();
  const auto response = transport->stream(get(), options, [](std::string_view) { return true; });
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::cancelled);
}

TEST_P(FailureContract, AStopEndsAStream) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one\n"));
    connection.wait_closed();
  });
  std::stop_source stop;
  http::StreamOptions options;
  options.stop = stop.get_token();
  const auto transport = open_plain(server);
  const auto response = transport->stream(get(), options, [&](std::string_view) {
    stop.request_stop();
    return true;
  });
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::cancelled);
  server.await_ended(1);
}

TEST_P(FailureContract, ACancelledNameLookupSendsNothing) {
  const auto transport = open_origin("https://slow.test");
  SlowName name;
  std::stop_source stop;
  const std::jthread stopper([&] {
    name.await_lookup();
    stop.request_stop();
  });
  auto options = within(seconds(60));
  options.stop = stop.get_token();
  const auto response = transport->send(post("/", "{}"), options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::cancelled);
  EXPECT_FALSE(response.error().maybe_sent);
}

TEST_P(FailureContract, NoMessageHoldsASecret) {
  RawServer server([](Connection& connection) {
    const auto request = connection.read_request();
    connection.write("HTTP/1.1 hunter2\r\n\r\n");
  });
  auto request = post("/", "{\"token\":\"hunter2\"}");
  request.authorization = base::SecretString("Bearer hunter2");
  const auto transport = open_plain(server);
  const auto malformed = transport->send(request, within(seconds(10)));
  ASSERT_FALSE(malformed);
  EXPECT_THAT(malformed.error().message, testing::Not(HasSubstr("hunter2")));
  request.authorization = base::SecretString("Bearer hunter2\n");
  const auto invalid = transport->send(request, within(seconds(10)));
  ASSERT_FALSE(invalid);
  EXPECT_THAT(invalid.error().message, testing::Not(HasSubstr("hunter2")));
}

// Rows 9 and 10: a call was abandoned and fails later, main returns.
TEST_P(FailureContract, AnAbandonedCallNeitherKillsNorHoldsTheProcess) {
  RawServer server(silent);
  const auto child = run_as_child("abandon", {GetParam().name, server.plain_origin()});
  EXPECT_TRUE(child.exited) << "signal " << child.status;
  EXPECT_EQ(child.status, 0);
}

// Row 15: 16 callers came and went. Left are main, a thread of cpprestsdk, which the program starts
// in any case, and where that is used its resolver.
TEST_P(FailureContract, AtMostOneThreadAndAResolverAreLeft) {
  RawServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(200, "ok"));
  });
  const auto child = run_as_child("threads", {GetParam().name, server.plain_origin()});
  ASSERT_TRUE(child.exited) << "signal " << child.status;
  ASSERT_EQ(child.status, 0);
  EXPECT_LE(std::stoi(child.output), limited() ? 3 : 2);
}

// Nothing is left behind: neither sockets nor threads.
TEST_P(FailureContract, ADestroyedTransportLeavesNoConnection) {
  RawServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(200, "ok"));
  });
  auto transport = open_plain(server);
  std::vector<std::jthread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] { EXPECT_TRUE(transport->send(get(), within(seconds(10)))); });
  }
  callers.clear();
  transport.reset();
  server.await_ended(server.accepted());
}

}  // namespace
}  // namespace quay_rotator::contract
