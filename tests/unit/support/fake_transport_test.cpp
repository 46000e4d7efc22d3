#include "support/fake_transport.h"

#include <gtest/gtest.h>

#include "support/virtual_executor.h"

namespace quay_rotator::testing {
namespace {

using namespace std::chrono_literals;
using http::Error;

class FakeTransportTest : public ::testing::Test {
 protected:
  static http::Request get(std::string target) {
    http::Request request;
    request.target = std::move(target);
    return request;
  }
  VirtualExecutor executor_{1};
};

TEST_F(FakeTransportTest, RecordsAndAnswers) {
  FakeTransport transport(executor_, [](const SentRequest& request) {
    return Answer{.status = 201, .body = "to " + request.target, .headers = {{"A", "b"}}};
  });
  http::Request request = get("/x");
  request.headers = {{"Accept", "text/plain"}};
  request.authorization = base::SecretString("Bearer t");
  const auto response = transport.send(request, {});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(response->body.reveal(), "to /x");
  EXPECT_EQ(response->headers.at(0).value, "b");
  ASSERT_EQ(transport.requests().size(), 1U);
  const SentRequest sent = transport.requests()[0];
  EXPECT_EQ(sent.line(), "GET /x");
  EXPECT_EQ(sent.header("Accept"), "text/plain");
  EXPECT_EQ(sent.header("Nothing"), "");
  EXPECT_EQ(sent.authorization, "Bearer t");
  EXPECT_EQ(sent.deadline, 10s);
}

TEST_F(FakeTransportTest, DelaysInVirtualTimeUpToTheDeadline) {
  FakeTransport transport(executor_, [](const SentRequest& request) {
    return Answer{.delay = request.target == "/slow" ? 11s : 9s};
  });
  const auto start = executor_.now();
  EXPECT_TRUE(transport.send(get("/"), {}));
  EXPECT_EQ(executor_.now(), start + 9s);
  EXPECT_EQ(transport.send(get("/slow"), {}).error().kind, Error::Kind::timeout);
  EXPECT_EQ(executor_.now(), start + 19s);
}

TEST_F(FakeTransportTest, FailsAsToldAndWhenTooLargeOrCancelled) {
  FakeTransport transport(executor_, [](const SentRequest& request) -> FakeResult {
    if (request.target == "/fail") {
      return tl::unexpected(Error{Error::Kind::unreachable, "refused", false});
    }
    return Answer{.body = "12345"};
  });
  EXPECT_EQ(transport.send(get("/fail"), {}).error().message, "refused");
  EXPECT_EQ(transport.send(get("/"), {.max_body = 4, .stop = {}}).error().kind,
            Error::Kind::too_large);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(transport.send(get("/"), {.stop = stop.get_token()}).error().kind,
            Error::Kind::cancelled);
  EXPECT_EQ(transport.requests().size(), 2U);
}

TEST_F(FakeTransportTest, StreamsPiecesUntilTheEndOrTheReader) {
  FakeTransport transport(executor_, [](const SentRequest& request) {
    if (request.target == "/gone") return Answer{.status = 410, .body = "gone"};
    return Answer{.source = pieces({"one", "two"})};
  });
  std::string got;
  const auto keep = [&](std::string_view piece) {
    got += piece;
    return piece != "stop";
  };
  EXPECT_TRUE(transport.stream(get("/"), {}, keep));
  EXPECT_EQ(got, "onetwo");
  got.clear();
  EXPECT_TRUE(transport.stream(get("/"), {}, [&](std::string_view piece) {
    got += piece;
    return false;
  }));
  EXPECT_EQ(got, "one");
  got.clear();
  const auto gone = transport.stream(get("/gone"), {}, keep);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->body.reveal(), "gone");
  EXPECT_EQ(got, "");
}

TEST_F(FakeTransportTest, StreamEndsWithTheSourcesErrorOrAStop) {
  int calls = 0;
  FakeTransport transport(executor_, [&](const SentRequest& request) {
    return Answer{.source = [&, sleeps = request.target == "/quiet"](const std::stop_token& stop)
                      -> tl::expected<std::optional<std::string>, Error> {
      ++calls;
      if (sleeps) executor_.sleep_for(1h, stop);
      if (calls < 3) return "x";
      return tl::unexpected(Error{Error::Kind::connection_lost, "reset", true});
    }};
  });
  const auto ignore = [](std::string_view) { return true; };
  EXPECT_EQ(transport.stream(get("/"), {}, ignore).error().message, "reset");
  EXPECT_EQ(calls, 3);
  std::optional<Error::Kind> kind;
  executor_.run([&] {
    const auto thread = executor_.spawn("watch", [&](const std::stop_token& stop) {
      kind = transport.stream(get("/quiet"), {.stop = stop}, ignore).error().kind;
    });
    executor_.settle();
  });
  EXPECT_EQ(kind, Error::Kind::cancelled);
}

}  // namespace
}  // namespace quay_rotator::testing
