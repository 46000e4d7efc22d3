#include "http/beast/connection.h"

#include <algorithm>
#include <climits>
#include <new>
#include <poll.h>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "http/beast/answer.h"

namespace quay_rotator::http {
namespace {

// What TLS may send that carries nothing of an answer: sessions, new keys.
constexpr std::size_t most_without_data = 128U << 10U;

std::string reason_of(unsigned long error) {
  const char* const reason = ERR_reason_error_string(error);
  return reason == nullptr ? "" : reason;
}

}  // namespace

const BIO_METHOD* Connection::wire_method() try {
  // Memory may be short for a moment: what throws is tried again the next time.
  static const std::unique_ptr<BIO_METHOD, Freed<BIO_meth_free>> method = [] {
    std::unique_ptr<BIO_METHOD, Freed<BIO_meth_free>> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "quay-rotator"));
    const auto control = [](BIO*, int command, long, void*) -> long {
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    };
    if (!made || BIO_meth_set_read(made.get(), read_wire) != 1 ||
        BIO_meth_set_write(made.get(), write_wire) != 1 ||
        BIO_meth_set_ctrl(made.get(), control) != 1) {
      throw std::bad_alloc();
    }
    return made;
  }();
  return method.get();
} catch (const std::bad_alloc&) {
  return nullptr;
}

int Connection::read_wire(BIO* bio, char* into, int size) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t most = std::min(static_cast<std::size_t>(size), wire.left);
  if (most == 0) {
    wire.flooded = true;
    return -1;
  }
  std::size_t got = 0;
  const Io io = wire.socket.receive({into, most}, got);
  if (io == Io::again) BIO_set_retry_read(bio);
  if (io != Io::done) return io == Io::end ? 0 : -1;
  wire.left -= got;
  return static_cast<int>(got);
}

int Connection::write_wire(BIO* bio, const char* bytes, int size) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  std::size_t sent = 0;
  const Io io = wire.socket.send({bytes, static_cast<std::size_t>(size)}, sent);
  if (io == Io::again) BIO_set_retry_write(bio);
  return io == Io::done ? static_cast<int>(sent) : -1;
}

tl::expected<std::unique_ptr<Connection>, Error> Connection::open(
    std::shared_ptr<const Origin> origin, const std::vector<Address>& addresses,
    const Patience& patience, const Interruption& interruption) {
  const Limits limits{patience.deadline, interruption};
  std::unique_ptr<Connection> connection(new Connection(std::move(origin)));
  const Origin& to = *connection->origin_;
  const Io io = connection->wire_.socket.connect(addresses, to.connects_to().port, limits);
  if (io == Io::lost) return tl::unexpected(cannot_connect(to));
  if (io != Io::done) return tl::unexpected(connection->interrupted(io, patience));
  if (to.tls && to.proxy) {
    if (auto opened = connection->tunnel(patience, limits); !opened) {
      return tl::unexpected(std::move(opened.error()));
    }
  }
  if (to.tls) {
    if (auto done = connection->handshake(patience, limits); !done) {
      return tl::unexpected(std::move(done.error()));
    }
  }
  return connection;
}

Connection::~Connection() {
  if (!answered_) return;
  if (ssl_ && SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  wire_.socket.deliver_on_close();
}

Error Connection::interrupted(Io io, const Patience& patience) const {
  return io == Io::stopped ? cancelled(*origin_, false)
                           : timed_out(*origin_, patience.limit, false);
}

tl::expected<void, Error> Connection::tunnel(const Patience& patience, const Limits& limits) {
  const Url& url = origin_->url;
  const bool v6 = url.host.find(':') != std::string::npos;
  const std::string target =
      (v6 ? "[" + url.host + "]" : url.host) + ":" + std::to_string(url.port);
  base::SecretString request("CONNECT " + target + " HTTP/1.1\r\nHost: " + target +
                             "\r\nUser-Agent: " + origin_->user_agent + "\r\n");
  if (!origin_->proxy_authorization.empty()) {
    request.append("Proxy-Authorization: ");
    request.append(origin_->proxy_authorization.reveal());
    request.append("\r\n");
  }
  request.append("\r\n");

  Io io = write(request.reveal(), limits);
  Answer answer(Answer::Extent::head, [](int, std::string_view) { return false; });
  while (io == Io::done && answer.state() != Answer::State::whole) {
    io = answer.advance(*this, limits);
    if (answer.failed()) io = Io::lost;
  }
  if (io == Io::timeout || io == Io::stopped) return tl::unexpected(interrupted(io, patience));
  const std::string proxy = "the proxy " + origin_->proxy->origin();
  if (answer.state() == Answer::State::too_large) {
    return tl::unexpected(Error{
        Error::Kind::too_large,
        proxy + " does not come to the end of its answer to CONNECT for " + url.origin(), false});
  }
  // After its answer the proxy is silent: what follows is the server's, and it waits for us.
  if (io != Io::done || answer.has_rest() || answer.status() < 200) {
    return tl::unexpected(Error{Error::Kind::unreachable,
                                proxy + " gave no usable answer to CONNECT for " + url.origin(),
                                false});
  }
  if (answer.status() > 299) {
    return tl::unexpected(Error{Error::Kind::unreachable,
                                proxy + " refused to connect to " + url.origin() +
                                    ": it answered " + std::to_string(answer.status()),
                                false});
  }
  return {};
}

tl::expected<void, Error> Connection::handshake(const Patience& patience, const Limits& limits) {
  const auto failed = [this](const std::string& why) {
    return tl::unexpected(no_tls(*origin_, why, trouble_));
  };
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_) {
    origin_->tls->apply(context_.get(), *this);
    ssl_.reset(SSL_new(context_.get()));
  }
  BIO* const bio = ssl_ && wire_method() != nullptr ? BIO_new(wire_method()) : nullptr;
  if (bio == nullptr) {
    ERR_clear_error();
    return failed("TLS could not be prepared on this side");
  }
  BIO_set_data(bio, &wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(ssl_.get(), 1);
  SSL_set_connect_state(ssl_.get());

  wire_.left = most_handshake_bytes;
  Io io = Io::done;
  while (io == Io::done) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return {};
    io = settle(result, limits);
  }
  if (io == Io::timeout || io == Io::stopped) return tl::unexpected(interrupted(io, patience));
  return failed(io == Io::flooded ? endless_handshake : refusal_);
}

Io Connection::settle(int result, const Limits& limits) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return wire_.socket.wait(POLLIN, limits);
    case SSL_ERROR_WANT_WRITE:
      return wire_.socket.wait(POLLOUT, limits);
    case SSL_ERROR_ZERO_RETURN:
      return Io::end;
    default:
      break;
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (wire_.flooded) return Io::flooded;
  if (ERR_GET_LIB(error) != ERR_LIB_SSL ||
      ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return Io::lost;
  }
  trouble_ = reason_of(error);
  // Alerts of the peer stand above this number.
  return ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET ? Io::alert : Io::lost;
}

bool Connection::usable() const {
  return wire_.socket.is_quiet() && (!ssl_ || SSL_has_pending(ssl_.get()) == 0);
}

Io Connection::write(std::string_view bytes, const Limits& limits) {
  wire_.left = most_without_data;
  while (!bytes.empty()) {
    std::size_t sent = 0;
    Io io = Io::done;
    if (ssl_) {
      ERR_clear_error();
      const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
      if (result != 1) io = settle(result, limits);
    } else {
      io = wire_.socket.send(bytes, sent);
      if (io == Io::again) io = wire_.socket.wait(POLLOUT, limits);
    }
    if (io != Io::done) return io;
    bytes.remove_prefix(sent);
  }
  return Io::done;
}

Io Connection::read(std::span<char> into, std::size_t& got, const Limits& limits) {
  wire_.left = most_without_data;
  got = 0;
  if (!ssl_ || SSL_has_pending(ssl_.get()) == 0) {
    if (const Io io = wire_.socket.wait(POLLIN, limits); io != Io::done) return io;
  } else if (limits.interruption.requested()) {
    return Io::stopped;
  }
  while (true) {
    Io io = Io::done;
    if (ssl_) {
      ERR_clear_error();
      const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
      if (result == 1) return Io::done;
      io = settle(result, limits);
    } else {
      io = wire_.socket.receive(into, got);
      if (io != Io::again) return io;
      io = wire_.socket.wait(POLLIN, limits);
    }
    if (io != Io::done) return io;
  }
}

}  // namespace quay_rotator::http
