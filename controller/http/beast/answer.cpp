#include "http/beast/answer.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <openssl/crypto.h>

#include "http/beast/connection.h"

namespace quay_rotator::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using Text = beast::string_view;

constexpr std::size_t first_buffer = 16U << 10U;  // a TLS record
// A byte in a chunk of its own has six bytes of framing.
constexpr std::size_t framing_of_a_byte = 16;

std::string_view view(Text text) {
  return {text.data(), text.size()};
}

}  // namespace

class Answer::Parser final : public beast::http::basic_parser<false> {
 public:
  Parser(Extent extent, Sink sink) : buffer_(first_buffer), sink_(std::move(sink)) {
    eager(true);
    header_limit(most_head);
    body_limit(std::numeric_limits<std::uint64_t>::max());  // the sink's
    skip(extent == Extent::head);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() override { OPENSSL_cleanse(buffer_.data(), buffer_.size()); }

  Io advance(Connection& connection, const Limits& limits) {
    if (filled_ == buffer_.size()) {
      if (buffer_.size() >= most_head) {
        state = State::too_large;
        return Io::done;
      }
      grow();
    }
    std::size_t got = 0;
    const Io io =
        connection.read({buffer_.data() + filled_, buffer_.size() - filled_}, got, limits);
    if (io == Io::end) {
      error_code error;
      if (got_some()) put_eof(error);
      state = !error && is_done() ? State::whole : State::cut_off;
      return Io::done;
    }
    if (io != Io::done) return io;
    filled_ += got;
    received_ += got;
    take_apart();
    return Io::done;
  }
  [[nodiscard]] bool has_rest() const { return filled_ > 0; }

  State state = State::head;
  bool has_head = false;
  int code = 0;
  std::vector<Header> headers;

 private:
  void grow() {
    std::vector<char> larger(std::min(2 * buffer_.size(), most_head));
    std::copy_n(buffer_.begin(), filled_, larger.begin());
    OPENSSL_cleanse(buffer_.data(), buffer_.size());
    buffer_ = std::move(larger);
  }

  void take_apart() {
    error_code error;
    std::size_t used = 0;
    while (used < filled_ && !is_done()) {
      const std::size_t taken =
          put(boost::asio::const_buffer(buffer_.data() + used, filled_ - used), error);
      used += taken;
      if (error || taken == 0) break;
    }
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(used),
              buffer_.begin() + static_cast<std::ptrdiff_t>(filled_), buffer_.begin());
    OPENSSL_cleanse(buffer_.data() + (filled_ - used), used);
    filled_ -= used;
    if (state == State::unwanted) return;
    const bool is_head_too_large = error == beast::http::error::header_limit;
    if (error && !is_head_too_large && error != beast::http::error::need_more) {
      state = State::malformed;
    } else if (!is_head_too_large && is_done()) {
      state = State::whole;
    } else if (is_head_too_large || received_ - body_ > most_head + framing_of_a_byte * body_) {
      state = State::too_large;
    }
  }

  std::size_t hand_over(Text piece, error_code& error) {
    body_ += piece.size();
    if (!piece.empty() && !sink_(code, view(piece))) {
      state = State::unwanted;
      error = beast::http::error::end_of_stream;  // any: it ends the parsing
    }
    return piece.size();
  }

  void on_request_impl(beast::http::verb, Text, Text, int, error_code&) override {}
  void on_response_impl(int status, Text, int, error_code&) override { code = status; }
  void on_field_impl(beast::http::field, Text name, Text value, error_code&) override {
    if (has_head) return;  // trailers
    headers.push_back({std::string(view(name)), std::string(view(value))});
  }
  void on_header_impl(error_code&) override {
    has_head = true;
    state = State::body;
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(Text piece, error_code& error) override {
    return hand_over(piece, error);
  }
  void on_chunk_header_impl(std::uint64_t, Text, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text piece, error_code& error) override {
    return hand_over(piece, error);
  }
  void on_finish_impl(error_code&) override {}

  std::vector<char> buffer_;
  std::size_t filled_ = 0;
  std::size_t received_ = 0;
  std::size_t body_ = 0;
  const Sink sink_;
};

Answer::Answer(Extent extent, Sink sink)
    : parser_(std::make_unique<Parser>(extent, std::move(sink))) {}
Answer::~Answer() = default;

Io Answer::advance(Connection& connection, const Limits& limits) {
  return parser_->advance(connection, limits);
}

bool Answer::has_head() const {
  return parser_->has_head;
}

Answer::State Answer::state() const {
  return parser_->state;
}

int Answer::status() const {
  return parser_->has_head ? parser_->code : 0;
}

std::vector<Header> Answer::take_headers() {
  return std::move(parser_->headers);
}

bool Answer::has_rest() const {
  return parser_->has_rest();
}

bool Answer::keeps_connection() const {
  return parser_->state == State::whole && parser_->keep_alive() && !parser_->has_rest();
}

}  // namespace quay_rotator::http
