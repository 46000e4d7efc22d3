#include "http/probe_server.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace quay_rotator::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;

constexpr std::uint32_t header_limit = 8U << 10U;
constexpr auto connection_limit = std::chrono::seconds(5);
// Out of file descriptors: probes come again, a busy loop would not help them.
constexpr auto accept_pause = std::chrono::milliseconds(100);

// One request and its answer. Owns itself through the handlers of its operations, which the
// stream's deadline ends.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const ProbeHandlers& handlers)
      : stream_(std::move(socket)), handlers_(handlers), buffer_(header_limit) {
    parser_.header_limit(header_limit);
  }

  void start() {
    // Set once: for the connection as a whole, however slowly it drips.
    stream_.expires_after(connection_limit);
    // The body, if somebody sends one, is never read.
    beast::http::async_read_header(
        stream_, buffer_, parser_,
        [self = shared_from_this()](beast::error_code error, std::size_t) { self->answer(error); });
  }

 private:
  void answer(beast::error_code error) {
    const beast::error_code malformed = beast::http::error::bad_value;
    if (error &&
        (error.category() != malformed.category() || error == beast::http::error::end_of_stream ||
         error == beast::http::error::partial_message)) {
      return;  // gone, or too slow
    }
    ProbeAnswer result = error ? refusal(error) : respond();
    response_.version(11);
    response_.result(static_cast<unsigned>(result.status));
    response_.set(beast::http::field::content_type, result.content_type);
    if (result.status == 405) response_.set(beast::http::field::allow, "GET, HEAD");
    response_.keep_alive(false);
    response_.content_length(result.body.size());
    const bool head = !error && parser_.get().method() == beast::http::verb::head;
    if (!head) response_.body() = std::move(result.body);
    serializer_.emplace(response_);
    beast::http::async_write(stream_, *serializer_,
                             [self = shared_from_this()](beast::error_code failed, std::size_t) {
                               if (!failed) self->linger();
                             });
  }

  static ProbeAnswer refusal(beast::error_code error) {
    if (error == beast::http::error::header_limit || error == beast::http::error::buffer_overflow) {
      return {431, "text/plain; charset=utf-8", "the request's headers are too large\n"};
    }
    return {400, "text/plain; charset=utf-8", "not an HTTP request\n"};
  }

  ProbeAnswer respond() {
    const auto& request = parser_.get();
    if (request.method() != beast::http::verb::get && request.method() != beast::http::verb::head) {
      return {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
    }
    const std::string_view target(request.target().data(), request.target().size());
    const auto handler = handlers_.find(std::string(target.substr(0, target.find('?'))));
    if (handler == handlers_.end()) {
      return {404, "text/plain; charset=utf-8", "no such page\n"};
    }
    return handler->second();
  }

  // Closing with unread bytes would reset the connection and could cost the peer the answer: say
  // that we are done, and read to the peer's end (or the deadline's).
  void linger() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    discard();
  }

  void discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(header_limit / 2),
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                              if (!error) self->discard();
                            });
  }

  beast::tcp_stream stream_;
  const ProbeHandlers& handlers_;
  beast::flat_buffer buffer_;
  beast::http::request_parser<beast::http::empty_body> parser_;
  beast::http::response<beast::http::string_body> response_;
  std::optional<beast::http::response_serializer<beast::http::string_body>> serializer_;
};

class BeastProbeServer final : public ProbeServer {
 public:
  explicit BeastProbeServer(ProbeHandlers handlers) : handlers_(std::move(handlers)) {}

  // Nothing, or why it cannot listen there.
  beast::error_code listen(const tcp::endpoint& endpoint) {
    beast::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (error) return error;
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.protocol() == tcp::v6()) {
      acceptor_.set_option(asio::ip::v6_only(false), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    beast::error_code ignored;
    if (error) acceptor_.close(ignored);
    return error;
  }

  void run_on(base::Executor& executor) {
    accept();
    thread_ = executor.spawn("probe-server", [this](const std::stop_token& stop) {
      const std::stop_callback end(stop, [this] { context_.stop(); });
      context_.run();
    });
  }

  [[nodiscard]] std::uint16_t port() const override { return acceptor_.local_endpoint().port(); }

 private:
  void accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (!error) {
        std::make_shared<Session>(std::move(socket), handlers_)->start();
        accept();
        return;
      }
      pause_.expires_after(accept_pause);
      pause_.async_wait([this](beast::error_code stopped) {
        if (!stopped) accept();
      });
    });
  }

  const ProbeHandlers handlers_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  std::unique_ptr<base::Thread> thread_;  // last: stops and joins before the rest goes
};

struct Address {
  std::string host;  // empty: every interface
  std::uint16_t port = 0;
};

std::optional<Address> parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  Address address;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size()) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  if (brackets != (host.find(':') != std::string_view::npos)) return std::nullopt;
  address.host = host;
  return address;
}

}  // namespace

base::Expected<void> check_probe_address(const std::string& address) {
  const auto where = parse(address);
  beast::error_code error;
  if (where && !where->host.empty()) asio::ip::make_address(where->host, error);
  if (where && !error) return {};
  return tl::unexpected(base::Error{"the address \"" + address +
                                    "\" is malformed; expected \":port\", \"IPv4:port\" or "
                                    "\"[IPv6]:port\""});
}

base::Expected<std::unique_ptr<ProbeServer>> serve_probes(base::Executor& executor,
                                                          const std::string& address,
                                                          ProbeHandlers handlers) {
  if (const auto checked = check_probe_address(address); !checked) {
    return tl::unexpected(checked.error());
  }
  const auto where = parse(address);
  beast::error_code error;
  const auto ip =
      where->host.empty() ? asio::ip::address() : asio::ip::make_address(where->host, error);
  auto server = std::make_unique<BeastProbeServer>(std::move(handlers));
  if (where->host.empty()) {
    error = server->listen({tcp::v6(), where->port});
    // A kernel without IPv6 has no such family, or no such address.
    if (error == asio::error::address_family_not_supported ||
        error == beast::errc::address_not_available) {
      error = server->listen({tcp::v4(), where->port});
    }
  } else {
    error = server->listen({ip, where->port});
  }
  if (error) {
    return tl::unexpected(base::Error{"cannot listen on \"" + address + "\": " + error.message()});
  }
  server->run_on(executor);
  return server;
}

}  // namespace quay_rotator::http
