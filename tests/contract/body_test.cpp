// Bodies: whole, bounded, streamed, cut off.
#include <semaphore>
#include <thread>

#include <gmock/gmock.h>

#include "contract/contract.h"
#include "http/line_splitter.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using std::chrono::milliseconds;
using std::chrono::seconds;

class BodyContract : public Contract {};
QUAY_ROTATOR_CONTRACT(BodyContract);

constexpr std::string_view chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

http::StreamOptions patient() {
  http::StreamOptions options;
  options.open_deadline = seconds(10);
  options.idle_limit = seconds(10);
  return options;
}

bool ignore(std::string_view) {
  return true;
}

TEST_P(BodyContract, EveryFramingGivesTheSameBody) {
  const std::string body(200'000, 'b');
  const std::vector<std::string> replies = {
      answer(200, body),
      std::string(chunked) + chunk(body.substr(0, 1)) + chunk(body.substr(1, 150'000)) +
          chunk(body.substr(150'001)) + chunk(""),
      "HTTP/1.1 200 OK\r\n\r\n" + body,
      "HTTP/1.0 200 OK\r\n\r\n" + body,
  };
  for (const auto& reply : replies) {
    RawServer server([&reply](Connection& connection) {
      connection.read_request();
      connection.write(reply);
    });
    // Each on a connection of its own: this server closes them, whatever it said.
    const auto response = open_plain(server)->send(get(), within(seconds(10)));
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_TRUE(response->body.reveal() == body);
    std::string streamed;
    const auto opened = open_plain(server)->stream(get(), patient(), [&](std::string_view piece) {
      streamed += piece;
      return true;
    });
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(streamed == body);
    EXPECT_TRUE(opened->body.empty());
  }
}

TEST_P(BodyContract, AnswersWithoutABodyAreEmpty) {
  for (const char* reply : {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}) {
    RawServer server([reply](Connection& connection) {
      while (!connection.read_request().empty()) connection.write(reply);
    });
    const auto transport = open_plain(server);
    for (int i = 0; i < 2; ++i) {
      const auto response = transport->send(get(), within(seconds(10)));
      ASSERT_TRUE(response) << response.error().message;
      EXPECT_TRUE(response->body.empty());
    }
    EXPECT_EQ(server.accepted(), 1);
  }
}

TEST_P(BodyContract, ALargeRequestArrivesWhole) {
  const std::string body(900'000, 'r');
  RawServer server([](Connection& connection) {
    const auto request = connection.read_request();
    connection.write(answer(200, std::to_string(request.size() - request.find("\r\n\r\n") - 4)));
  });
  const auto response = open_plain(server)->send(post("/", body), within(seconds(10)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.reveal(), "900000");
}

// Row 13: sends until the client hangs up, however it frames that.
TEST_P(BodyContract, TooMuchIsCutOffWhileItComes) {
  const std::string block(16U << 10U, 'x');
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    const bool in_chunks = head.find("chunked") != std::string::npos;
    std::atomic<std::size_t> written = 0;
    RawServer server([&](Connection& connection) {
      connection.read_request();
      connection.write(head);
      while (connection.write(in_chunks ? chunk(block) : block)) written += block.size();
    });
    auto options = within(seconds(20));
    options.max_body = 100'000;
    const auto response = open_plain(server)->send(get(), options);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::too_large) << response.error().message;
    EXPECT_TRUE(response.error().maybe_sent);
    server.await_ended(1);
    // What the sockets' buffers hold comes on top of what was read.
    EXPECT_LT(written, 32U << 20U);
  }
}

// Row 24, without TLS to count what comes.
TEST_P(BodyContract, EndlessHeadersAndChunksAreCutOff) {
  const std::string block(16U << 10U, 'x');
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\nX-Filler: ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: "}) {
    // cpprestsdk reads no trailers.
    if (limited() && head.find("Trailer") != std::string::npos) continue;
    std::atomic<std::size_t> written = 0;
    RawServer server([&](Connection& connection) {
      connection.read_request();
      connection.write(head);
      while (connection.write(block)) written += block.size();
    });
    auto options = within(seconds(20));
    options.max_body = 100'000;
    const auto response = open_plain(server)->send(get(), options);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, Error::Kind::too_large) << response.error().message;
    server.await_ended(1);
    EXPECT_LT(written, 32U << 20U);
  }
}

TEST_P(BodyContract, ABodyOfExactlyTheLimitFits) {
  RawServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(200, "12345"));
  });
  const auto transport = open_plain(server);
  auto options = within(seconds(10));
  options.max_body = 5;
  EXPECT_TRUE(transport->send(get(), options));
  options.max_body = 4;
  const auto response = transport->send(get(), options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::too_large);
}

// Row 13, of a stream: the consumer is busy, the server is not.
TEST_P(BodyContract, AStreamThatIsNotConsumedIsHeldBack) {
  constexpr std::size_t size = 64U << 20U;
  for (const bool in_chunks : {false, true}) {
    std::atomic<std::size_t> written = 0;
    RawServer server([&](Connection& connection) {
      connection.read_request();
      connection.write(in_chunks ? std::string(chunked)
                                 : "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) +
                                       "\r\n\r\n");
      const std::string block(16U << 10U, 'x');
      while (written < size && connection.write(in_chunks ? chunk(block) : block)) {
        written += block.size();
      }
      if (in_chunks) connection.write(chunk(""));
    });
    auto options = patient();
    options.max_buffered = 100'000;
    std::size_t read = 0;
    const auto response = open_plain(server)->stream(get(), options, [&](std::string_view piece) {
      EXPECT_LE(piece.size(), options.max_buffered);
      if (read == 0) {  // busy until the server is stuck
        for (std::size_t before = 1; before != written;) {
          before = written;
          std::this_thread::sleep_for(milliseconds(50));
        }
        // What the sockets' buffers hold comes on top of what was received.
        EXPECT_LT(written, size / 2);
      }
      read += piece.size();
      return true;
    });
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(read, size);
  }
}

TEST_P(BodyContract, AStreamThatIsHeldBackCanBeLeft) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(chunked);
    const std::string block(16U << 10U, 'x');
    while (connection.write(chunk(block))) {
    }
  });
  const auto transport = open_plain(server);
  auto options = patient();
  options.max_buffered = 100'000;
  int calls = 0;
  const auto response = transport->stream(get(), options, [&](std::string_view) {
    std::this_thread::sleep_for(milliseconds(20));
    return ++calls < 3;
  });
  ASSERT_TRUE(response) << response.error().message;
  server.await_ended(1);  // the transport still lives
}

TEST_P(BodyContract, AStreamWithADeadlineEndsThere) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(chunked);
    while (!connection.closed_within(10)) connection.write(chunk("x"));
  });
  auto options = patient();
  options.deadline = milliseconds(200);
  const auto response = open_plain(server)->stream(get(), options, ignore);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
  server.await_ended(1);
}

// Errors tell what they are by their status: nobody waits for the rest, or holds it.
TEST_P(BodyContract, TheBodyOfAnErrorIsCutOff) {
  const std::string block(16U << 10U, 'x');
  for (const std::string head :
       {"HTTP/1.1 503 Busy\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 503 Busy\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n"}) {
    const bool in_chunks = head.ends_with("chunked\r\n\r\n");
    std::atomic<std::size_t> written = 0;
    RawServer server([&](Connection& connection) {
      connection.read_request();
      connection.write(head);
      while (connection.write(in_chunks ? chunk(block) : block)) written += block.size();
    });
    const auto transport = open_plain(server);
    auto options = within(seconds(20));
    options.max_error_body = 20'000;
    const auto sent = transport->send(get(), options);
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(sent->status, 503);
    EXPECT_LE(sent->body.size(), 20'000U);
    auto streaming = patient();
    streaming.max_error_body = 20'000;
    const auto streamed = transport->stream(get(), streaming, ignore);
    ASSERT_TRUE(streamed) << streamed.error().message;
    EXPECT_EQ(streamed->status, 503);
    EXPECT_LE(streamed->body.size(), 20'000U);
    server.await_ended(2);
    EXPECT_LT(written, 64U << 20U);
  }
}

TEST_P(BodyContract, AStreamMayBeLongerThanItsBuffer) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(chunked);
    for (int i = 0; i < 1000 && connection.write(chunk(std::string(1000, 'x'))); ++i) {
      // One at a time: the consumer says when it has it.
      if (i % 50 == 0 && connection.closed_within(0)) return;
    }
    connection.write(chunk(""));
    connection.wait_closed();
  });
  std::size_t size = 0;
  const auto response = open_plain(server)->stream(get(), patient(), [&](std::string_view piece) {
    size += piece.size();
    return true;
  });
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(size, 1'000'000U);
}

// Row 11: an event is handed over when it is there, not when 64 KiB or the end are: the server
// sends the next one only when the consumer has had the one before.
TEST_P(BodyContract, EventsAreHandedOverAsTheyCome) {
  std::counting_semaphore<> consumed(0);
  RawServer server([&](Connection& connection) {
    connection.read_request();
    connection.write(chunked);
    for (int i = 0; i < 50; ++i) {
      connection.write(chunk("event " + std::to_string(i) + "\n"));
      consumed.acquire();
    }
    connection.write(chunk(""));
    connection.wait_closed();
  });
  const auto caller = std::this_thread::get_id();
  std::vector<std::string> events;
  http::LineSplitter splitter(1000);
  const auto response = open_plain(server)->stream(get(), patient(), [&](std::string_view piece) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    return splitter.feed(piece, [&](std::string_view line) {
      events.emplace_back(line);
      consumed.release();
      return true;
    });
  });
  ASSERT_TRUE(response) << response.error().message;
  ASSERT_EQ(events.size(), 50U);
  EXPECT_EQ(events.back(), "event 49");
}

// Row 12: a burst of events, with our own splitter.
TEST_P(BodyContract, ABurstOfLinesComesInOrder) {
  constexpr int count = 20'000;
  RawServer server([](Connection& connection) {
    connection.read_request();
    std::string all(chunked);
    for (int i = 0; i < count; ++i) all += chunk(std::to_string(i) + "\n");
    connection.write(all + chunk(""));
    connection.wait_closed();
  });
  int next = 0;
  http::LineSplitter splitter(100);
  const auto response = open_plain(server)->stream(get(), patient(), [&](std::string_view piece) {
    return splitter.feed(piece,
                         [&](std::string_view line) { return line == std::to_string(next++); });
  });
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(next, count);
}

// Row 14.
TEST_P(BodyContract, AConsumerThatStopsClosesTheConnection) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(std::string(chunked) + chunk("one\n"));
    connection.wait_closed();
  });
  const auto transport = open_plain(server);
  int calls = 0;
  const auto response = transport->stream(get(), patient(), [&](std::string_view) {
    ++calls;
    return false;
  });
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(calls, 1);
  server.await_ended(1);  // the transport still lives
}

TEST_P(BodyContract, ASilentStreamEndsAtTheIdleLimitAndIsClosed) {
  RawServer server([](Connection& connection) {
    connection.read_request();
    connection.write(std::string(chunked) + chunk("one\n"));
    connection.wait_closed();
  });
  const auto transport = open_plain(server);
  auto options = patient();
  options.idle_limit = milliseconds(100);
  std::string seen;
  const auto response = transport->stream(get(), options, [&](std::string_view piece) {
    seen += piece;
    return true;
  });
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, Error::Kind::timeout) << response.error().message;
  EXPECT_EQ(seen, "one\n");
  server.await_ended(1);
}

TEST_P(BodyContract, AnyOtherStatusOfAStreamHasItsBody) {
  RawServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.write(answer(410, "too old"));
  });
  const auto transport = open_plain(server);
  const auto never = [](std::string_view) {
    ADD_FAILURE() << "an error's body is not data";
    return true;
  };
  const auto response = transport->stream(get(), patient(), never);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 410);
  EXPECT_EQ(response->body.reveal(), "too old");
  auto options = patient();
  options.max_error_body = 3;
  const auto bounded = transport->stream(get(), options, never);
  ASSERT_TRUE(bounded);
  EXPECT_EQ(bounded->status, 410);
  EXPECT_EQ(bounded->body.reveal(), "too");
}

TEST_P(BodyContract, AnAnswerThatIsCutOffIsLost) {
  for (const std::string& reply :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        std::string(chunked) + chunk("half"), std::string(chunked) + "10\r\nhalf",
        std::string(chunked) + "1", std::string("HTTP/1.1 200 OK\r\nContent-Le"), std::string("HT"),
        std::string()}) {
    for (const bool reset : {false, true}) {
      RawServer server([&](Connection& connection) {
        connection.read_request();
        connection.write(reply);
        if (reset) connection.reset();
      });
      const auto transport = open_plain(server);
      const auto sent = transport->send(post("/", "{}"), within(seconds(10)));
      ASSERT_FALSE(sent);
      EXPECT_EQ(sent.error().kind, Error::Kind::connection_lost)
          << reply << ": " << sent.error().message;
      EXPECT_TRUE(sent.error().maybe_sent);
      const auto streamed = transport->stream(get(), patient(), ignore);
      ASSERT_FALSE(streamed);
      EXPECT_EQ(streamed.error().kind, Error::Kind::connection_lost);
    }
  }
}

// Also chunk sizes that would make the library read beyond its buffer.
TEST_P(BodyContract, WhatIsNotHttpIsMalformed) {
  for (const std::string& reply :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"),
        std::string("HTTP/1.1 0 Zero\r\nContent-Length: 0\r\n\r\n"),
        std::string("HTTP/1.1 777 Odd\r\nContent-Length: 0\r\n\r\n"),
        std::string(chunked) + "zz\r\nhello\r\n", std::string(chunked) + "-1\r\nhello\r\n\r\n",
        std::string(chunked) + chunk("hello") + "-2\r\nhello\r\n\r\n"}) {
    RawServer server([&](Connection& connection) {
      connection.read_request();
      connection.write(reply);
      connection.wait_closed();
    });
    const auto transport = open_plain(server);
    const auto response = transport->send(post("/", "{}"), within(seconds(10)));
    ASSERT_FALSE(response) << reply;
    EXPECT_EQ(response.error().kind, Error::Kind::malformed)
        << reply << ": " << response.error().message;
    EXPECT_TRUE(response.error().maybe_sent);
    server.await_ended(1);
  }
}

}  // namespace
}  // namespace quay_rotator::contract
