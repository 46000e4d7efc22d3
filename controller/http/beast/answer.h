// One answer, read off a connection and taken apart by Boost.Beast while it comes. Bounded: the
// header section, each line of chunk framing and the trailers by `most_head`, and all of them
// together by a multiple of the body.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "http/beast/socket.h"
#include "http/transport.h"

namespace quay_rotator::http {

class Connection;

// Not synchronized. What it keeps of the answer is wiped.
class Answer {
 public:
  static constexpr std::size_t most_head = 64U << 10U;

  enum class Extent { all, head };  // head: there is no body, whatever the header section says
  enum class State {
    head,  // the header section is not complete
    body,
    whole,
    unwanted,   // the sink has had enough
    cut_off,    // the connection ended too early
    malformed,  // not HTTP
    too_large,  // too much beside the body
  };
  // Gets the body's pieces, after the header section; a view lives for that call. False: no more.
  using Sink = std::function<bool(int status, std::string_view piece)>;

  Answer(Extent extent, Sink sink);
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer();

  // Reads once, and takes apart what came: done, or why nothing more will come. Not after the state
  // is beyond body.
  Io advance(Connection& connection, const Limits& limits);
  [[nodiscard]] State state() const;
  [[nodiscard]] bool failed() const { return state() > State::whole; }
  [[nodiscard]] bool has_head() const;
  // 0 before has_head().
  [[nodiscard]] int status() const;
  std::vector<Header> take_headers();
  // Bytes came that are not of this answer.
  [[nodiscard]] bool has_rest() const;
  // Another request may follow on the connection.
  [[nodiscard]] bool keeps_connection() const;

 private:
  class Parser;
  const std::unique_ptr<Parser> parser_;
};

}  // namespace quay_rotator::http
