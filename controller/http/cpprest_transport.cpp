#include "http/cpprest_transport.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

// The library's U macro breaks others.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>
#include <pplx/threadpool.h>

#include "base/base64.h"
#include "base/byte_budget.h"
#include "base/error.h"
#include "base/mutex.h"
#include "http/exchange.h"
#include "http/origin.h"
#include "http/tls.h"

namespace quay_rotator::http {
namespace {

namespace cpprest = web::http;
using Bytes = concurrency::streams::streambuf<std::uint8_t>;

// One. The library closes a socket (cancellation, timeout) without regard to a handler of that
// socket that another of its threads may be in, which crashes when data is flowing. With one
// thread, and cancellations posted to it, there is no other.
constexpr std::size_t thread_count = 1;
// The library's own timeout is for one leg, and the deadlines here are for the whole: never first.
constexpr auto library_timeout = std::chrono::hours(24);
// Below the library's 30 s, after which it closes idle connections behind our back.
constexpr auto idle_connection_limit = std::chrono::seconds(25);
constexpr std::size_t idle_connections = 32;
constexpr base::Duration longest_wait = std::chrono::hours(24 * 365);
constexpr auto drain_limit = std::chrono::seconds(2);
// Of all answers together: what a buffer that grows needs for a moment comes on top.
constexpr std::size_t most_held = 4U << 20U;
// Of each: a robot's and a login's answers need less.
constexpr std::size_t always_held = 16U << 10U;

base::MonotonicTime now() {
  return std::chrono::steady_clock::now();
}

// --- Bodies. The library's own buffers would be unbounded (an unread response), seekable (a
// request that can be sent twice) or unwiped; these two are none of it.

// What a one-way buffer does not do.
class OneWayBuffer : public concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  explicit OneWayBuffer(std::ios_base::openmode mode) : streambuf_state_manager(mode) {}

  // The base class would wait for a task here: for ever, where there is one thread to run it.
  pplx::task<void> close(std::ios_base::openmode, std::exception_ptr error) override {
    if (m_currentException == nullptr) m_currentException = std::move(error);
    return close({});
  }
  pplx::task<void> close(std::ios_base::openmode) override {
    m_stream_can_read = false;
    m_stream_can_write = false;
    return pplx::task_from_result();
  }

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return traits::eof(); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return traits::eof(); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return traits::eof();
  }
  bool acquire(std::uint8_t*&, size_t&) override { return false; }
  void release(std::uint8_t*, size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t) override { return end(); }
  pplx::task<size_t> _putn(const std::uint8_t*, size_t) override { return none(); }
  pplx::task<int_type> _bumpc() override { return end(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return end(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return end(); }
  pplx::task<int_type> _ungetc() override { return end(); }
  pplx::task<size_t> _getn(std::uint8_t*, size_t) override { return none(); }
  size_t _scopy(std::uint8_t*, size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}

 private:
  static pplx::task<int_type> end() { return pplx::task_from_result<int_type>(traits::eof()); }
  static pplx::task<size_t> none() { return pplx::task_from_result<size_t>(0); }
};

// A request's body. Not seekable, so the library cannot send it again on another connection, and
// used for an empty body as well for that reason.
class RequestBody final : public OneWayBuffer {
 public:
  explicit RequestBody(base::SecretString body)
      : OneWayBuffer(std::ios_base::in), body_(std::move(body)) {}

 protected:
  pplx::task<size_t> _getn(std::uint8_t* to, size_t count) override {
    const std::string_view piece = body_.reveal().substr(read_, count);
    std::memcpy(to, piece.data(), piece.size());
    read_ += piece.size();
    return pplx::task_from_result(piece.size());
  }

 private:
  base::SecretString body_;
  std::size_t read_ = 0;  // the library reads one piece at a time
};

// A response's body, straight into the Exchange.
class ResponseBody final : public OneWayBuffer {
 public:
  explicit ResponseBody(std::shared_ptr<Exchange> exchange)
      : OneWayBuffer(std::ios_base::out), exchange_(std::move(exchange)) {}

 protected:
  pplx::task<size_t> _putn(const std::uint8_t* bytes, size_t count) override {
    // The library's own copy: plain memory of its read buffer, which it drops next, and before
    // which it reads no more.
    const auto wipe = [bytes, count] { OPENSSL_cleanse(const_cast<std::uint8_t*>(bytes), count); };
    const pplx::task_completion_event<size_t> later;
    const auto result =
        exchange_->receive({reinterpret_cast<const char*>(bytes), count}, [=](bool taken) {
          wipe();
          if (taken) {
            later.set(count);
          } else {
            later.set_exception(unwanted());
          }
        });
    if (result == Exchange::Received::held) return pplx::task<size_t>(later);
    wipe();
    if (result == Exchange::Received::taken) return pplx::task_from_result(count);
    return pplx::task_from_exception<size_t>(unwanted());
  }

 private:
  static std::runtime_error unwanted() { return std::runtime_error("the response is not wanted"); }

  std::shared_ptr<Exchange> exchange_;
};

// --- One client object with (at most) one connection. A client serves one call at a time: an
// interim answer, a failure or a cancelled call then taints nobody else's connection, and is
// dropped with the client.

struct StaleConnection : std::exception {};
struct AbandonedCall : std::exception {};

using Socket = boost::asio::ip::tcp::socket;

// What the callbacks of one client's connections report to.
class Link final : public HandshakeObserver {
 public:
  void attach(std::shared_ptr<Exchange> exchange) {
    const base::Lock lock(mutex_);
    exchange_ = std::move(exchange);
  }

  // The socket of the attempt under way, which the library may not have opened yet.
  void use(Socket& socket) {
    const base::Lock lock(mutex_);
    socket_ = &socket;
    dropping_.reset();
  }
  // Whether a close drops what the kernel has not delivered. Otherwise a request that was given up
  // could still arrive when a long partition heals, after a newer one. Only during the attempt.
  void drop_undelivered(bool drop) {
    const base::Lock lock(mutex_);
    if (socket_ == nullptr || dropping_ == drop) return;
    boost::system::error_code failed;  // a socket that is closed delivers nothing either
    socket_->set_option(Socket::linger(drop, 0), failed);
    if (!failed) dropping_ = drop;
  }
  std::shared_ptr<Exchange> exchange() {
    const base::Lock lock(mutex_);
    return exchange_;
  }

  bool verified() override {
    drop_undelivered(true);
    const auto current = exchange();
    return current && current->begin_sending();
  }
  void refused(std::string why) override {
    if (const auto current = exchange()) current->fail_verification(std::move(why));
  }
  void received(std::size_t bytes, bool handshaking) override {
    const auto current = exchange();
    if (current && handshaking) current->count_handshake_bytes(bytes);
    if (current && !handshaking) current->count_wire_bytes(bytes);
  }

 private:
  base::Mutex mutex_;
  std::shared_ptr<Exchange> exchange_ GUARDED_BY(mutex_);
  Socket* socket_ GUARDED_BY(mutex_) = nullptr;
  std::optional<bool> dropping_ GUARDED_BY(mutex_);  // what that socket was told
};

// Before anything is written to a connection of the pool: one that the server has closed, or on
// which it said something unasked, is dead. Found out here, nothing was sent, and the request may
// go out on another connection whatever its method.
void check_reused(int socket) {
  char byte = 0;
  const ssize_t got = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) throw StaleConnection();
}

struct Client {
  std::shared_ptr<Link> link;
  cpprest::client::http_client client;
  base::MonotonicTime idle_since{};
};

// Counts the requests that the library still holds or has a continuation of to run, those that
// nobody waits for any more included.
class Outstanding {
 public:
  void add() {
    const base::Lock lock(mutex_);
    ++count_;
  }
  void remove() {
    const base::Lock lock(mutex_);
    --count_;
    changed_.notify_all();
  }
  void await_none() {
    base::Lock lock(mutex_);
    changed_.wait_for(lock, drain_limit, [this]() REQUIRES(mutex_) { return count_ == 0; });
  }

 private:
  base::Mutex mutex_;
  std::condition_variable_any changed_;
  int count_ GUARDED_BY(mutex_) = 0;
};

class Counted {
 public:
  explicit Counted(std::shared_ptr<Outstanding> outstanding)
      : outstanding_(std::move(outstanding)) {
    outstanding_->add();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { outstanding_->remove(); }

 private:
  std::shared_ptr<Outstanding> outstanding_;
};

// Destroyed with the library's last handle on a request, after its connection went back.
class Hold {
 public:
  Hold(std::shared_ptr<Exchange> exchange, std::shared_ptr<Counted> counted)
      : exchange_(std::move(exchange)), counted_(std::move(counted)) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { exchange_->release(); }

 private:
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<Counted> counted_;
};

Exchange::Failure describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const StaleConnection&) {
    return {"stale connection", 0, true};
  } catch (const cpprest::http_exception& error) {
    return {error.what(), error.error_code().value(), false};
  } catch (const std::exception& error) {
    return {error.what(), 0, false};
  } catch (...) {
    return {"unknown", 0, false};
  }
}

// --- Errors.

// The library's words for each phase; its codes mean little.
Error classify(const Exchange::Failure& failure, Exchange& exchange, const Origin& origin) {
  const std::string server = origin.url.origin();
  const std::optional<Url>& proxy = origin.proxy;
  const std::string_view what = failure.what;
  const auto is = [what](std::string_view start) { return what.starts_with(start); };
  // These phases are over before a connection of this attempt could carry the request; an earlier
  // attempt on a pooled connection shows in sending().
  const bool sent_before = exchange.sending();
  const auto code = static_cast<unsigned long>(static_cast<unsigned>(failure.code));
  const char* const tls_reason =
      ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_reason_error_string(code) : nullptr;

  if (is("Failed to connect") || is("Error resolving") || is("Request canceled by user")) {
    Error error = cannot_connect(origin);
    error.maybe_sent = sent_before;
    return error;
  }
  if (is("Expected a 200 response from proxy")) {
    return {Error::Kind::unreachable,
            "the proxy " + proxy->origin() + " refused to connect to " + server + ": it answered " +
                std::string(what.substr(what.rfind(' ') + 1)),
            sent_before};
  }
  if (what.find("proxy") != std::string_view::npos) {
    return {Error::Kind::unreachable,
            "the proxy " + proxy->origin() + " gave no usable answer to CONNECT for " + server,
            sent_before};
  }
  if (is("Error in SSL handshake")) {
    Error error =
        no_tls(origin, exchange.verification_failure(), tls_reason == nullptr ? "" : tls_reason);
    error.maybe_sent = sent_before;
    return error;
  }
  if (is("Invalid HTTP status line") || is("Invalid chunked response header")) {
    return not_http(origin);
  }
  if (tls_reason != nullptr && std::string_view(tls_reason).find("alert") != std::string::npos) {
    return tls_alert(origin, tls_reason);
  }
  if (is("Failed to") || is("Retrieving") || is("cannot rewind")) {
    return connection_lost(origin);
  }
  return {Error::Kind::malformed, "the answer of " + server + " cannot be understood", true};
}

// --- The transport.

// A tunnel's first handle is the bare socket, a later one the TLS stream, and nothing tells
// which: such connections are used once.
bool is_reusable(const Origin& origin) {
  return !origin.proxy || origin.url.scheme == "http";
}

web::uri library_uri(const Url& url, const std::string& host) {
  web::uri_builder builder;
  builder.set_scheme(url.scheme).set_host(host);  // IPv6 without brackets, or no resolution
  // 0 is the default; a builder that was told nothing says -1, and so would the Host header.
  builder.set_port(url.port == (url.scheme == "https" ? 443 : 80) ? 0 : url.port);
  return builder.to_uri();
}

// "user:password" for the proxy. The library, which makes a header of it again, keeps it in plain
// text as long as there is a client.
std::optional<base::SecretString> proxy_credential(const Origin& origin) {
  constexpr std::string_view basic = "Basic ";
  const std::string_view header = origin.proxy_authorization.reveal();
  if (!header.starts_with(basic)) return std::nullopt;
  auto pair = base::base64_decode(header.substr(basic.size()));
  if (!pair || pair->reveal().find(':') == std::string_view::npos) return std::nullopt;
  return pair;
}

// The library would look names up by itself, wherever they lead: it gets an address. A proxy's
// clients still get the origin's name, for the proxy to look up.
std::unique_ptr<Client> make_client(const std::shared_ptr<const Origin>& origin,
                                    const Address& address) {
  auto link = std::make_shared<Link>();
  cpprest::client::http_client_config config;
  config.set_max_redirects(0);
  config.set_timeout(library_timeout);
  config.set_tlsext_sni_enabled(false);  // TlsSettings knows the name
  if (origin->proxy) {
    web::web_proxy proxy(library_uri(*origin->proxy, address_text(address)));
    if (const auto pair = proxy_credential(*origin)) {
      const std::string_view text = pair->reveal();
      const auto colon = text.find(':');
      proxy.set_credentials(
          {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))});
    }
    config.set_proxy(proxy);
  }

  const bool tls = origin->url.scheme == "https";
  if (tls) {
    // Here and not in set_nativehandle_options, which a tunnel calls before there is TLS.
    config.set_ssl_context_callback([origin, link](boost::asio::ssl::context& context) {
      origin->tls->apply(context.native_handle(), *link);
    });
  }
  // Called before each attempt, also before one that the library repeats.
  const auto protocol = in_network(address, "::ffff:0:0/96") ? boost::asio::ip::tcp::v4()
                                                             : boost::asio::ip::tcp::v6();
  config.set_nativehandle_options(
      [link, tls, protocol, reusable = is_reusable(*origin)](void* handle) {
        const auto exchange = link->exchange();
        if (!exchange) throw AbandonedCall();
        // A tunnel's only attempt begins on the bare socket.
        Socket& socket = tls && reusable
                             ? static_cast<boost::asio::ssl::stream<Socket&>*>(handle)->next_layer()
                             : *static_cast<Socket*>(handle);
        link->use(socket);
        const bool connected = socket.is_open();
        // Where no TLS counts what comes. The library connects a socket that is open as it is.
        if (!tls || !reusable) {
          if (!connected) socket.open(protocol);
          auto meter = std::make_shared<SocketMeter>(socket.native_handle());
          if (!exchange->count_by(std::move(meter), tls)) throw AbandonedCall();
        }
        if (reusable && connected) {
          check_reused(socket.native_handle());
          link->drop_undelivered(true);
          if (!exchange->begin_sending()) throw AbandonedCall();
        } else if (!tls && !exchange->begin_connecting()) {
          throw AbandonedCall();
        }
      });
  const std::string host = origin->proxy ? origin->url.host : address_text(address);
  return std::make_unique<Client>(
      Client{link, cpprest::client::http_client(library_uri(origin->url, host), config), {}});
}

class CpprestTransport final : public Transport {
 public:
  CpprestTransport(std::shared_ptr<const Origin> origin, std::shared_ptr<base::ByteBudget> budget)
      : origin_(std::move(origin)), budget_(std::move(budget)) {}
  ~CpprestTransport() override;

  tl::expected<Response, Error> send(const Request& request, const CallOptions& options) override;
  tl::expected<Response, Error> stream(
      const Request& request, const StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) override;

 private:
  // One attempt. Leaves no later than its scope, and cancels what is then still under way.
  struct Call {
    std::unique_ptr<Client> client;
    std::shared_ptr<Exchange> exchange;
    pplx::cancellation_token_source cancel;
    bool finished = false;

    Call() = default;
    Call(Call&&) = default;
    Call& operator=(Call&&) = delete;
    ~Call() {
      if (!exchange || finished) return;
      exchange->leave();
      crossplat::threadpool::shared_instance().service().post(
          [source = cancel] { source.cancel(); });
    }
  };

  // Whether the library sends that target as it stands: it takes it apart and puts it together.
  [[nodiscard]] bool keeps(const std::string& target) const;
  // Without a client: on a new connection to that address.
  tl::expected<Call, Error> start(const Request& request, Exchange::Limits limits,
                                  Exchange::Interest interest, base::MonotonicTime send_until,
                                  std::unique_ptr<Client> client, const Address& address);
  tl::expected<Call, Error> open(const Request& request, Exchange::Limits limits,
                                 Exchange::Interest interest, const Patience& patience);
  tl::expected<Response, Error> collect(Call& call, const Patience& patience,
                                        Exchange::Limits limits);
  void finish(Call& call);
  [[nodiscard]] Error interrupted(Call& call, Exchange::Wake wake, base::Duration waited) const;
  std::unique_ptr<Client> take_client();

  // Why an answer is too large.
  [[nodiscard]] Error too_large(Exchange& exchange, std::size_t limit) const;

  const std::shared_ptr<const Origin> origin_;
  const std::shared_ptr<base::ByteBudget> budget_;  // of all transports
  const std::shared_ptr<Outstanding> outstanding_ = std::make_shared<Outstanding>();
  base::Mutex mutex_;
  std::vector<std::unique_ptr<Client>> idle_ GUARDED_BY(mutex_);  // the longest idle first
};

CpprestTransport::~CpprestTransport() {
  idle_.clear();
  outstanding_->await_none();
  // OpenSSL keeps something for each thread, and the library's thread ends too late, in a static
  // destructor, for that to be freed. It comes anew when it is needed.
  const auto freed = std::make_shared<std::promise<void>>();
  crossplat::threadpool::shared_instance().service().post([freed] {
    OPENSSL_thread_stop();
    freed->set_value();
  });
  freed->get_future().wait_for(drain_limit);
}

bool CpprestTransport::keeps(const std::string& target) const {
  try {
    return web::uri_builder(library_uri(origin_->url, origin_->url.host))
               .append(web::uri(target))
               .to_uri()
               .resource()
               .to_string() == target;
  } catch (const std::exception&) {
    return false;
  }
}

std::unique_ptr<Client> CpprestTransport::take_client() {
  std::vector<std::unique_ptr<Client>> expired;  // destroyed outside of the lock
  const base::Lock lock(mutex_);
  const auto first_usable =
      std::ranges::find_if(idle_, [limit = now() - idle_connection_limit](const auto& client) {
        return client->idle_since > limit;
      });
  expired.assign(std::move_iterator(idle_.begin()), std::move_iterator(first_usable));
  idle_.erase(idle_.begin(), first_usable);
  if (idle_.empty()) return nullptr;
  auto client = std::move(idle_.back());
  idle_.pop_back();
  return client;
}

tl::expected<CpprestTransport::Call, Error> CpprestTransport::start(
    const Request& request, Exchange::Limits limits, Exchange::Interest interest,
    base::MonotonicTime send_until, std::unique_ptr<Client> client, const Address& address) {
  Call call;
  call.client = std::move(client);
  call.exchange = std::make_shared<Exchange>(limits, interest, send_until,
                                             base::ByteShare(budget_, always_held));
  const auto exchange = call.exchange;
  try {
    if (!call.client) call.client = make_client(origin_, address);
    call.client->link->attach(exchange);

    cpprest::http_request outgoing{cpprest::method(std::string(method_name(request.method)))};
    outgoing.set_request_uri(web::uri(request.target));
    auto& headers = outgoing.headers();
    for (const Header& header : request.headers) headers.add(header.name, header.value);
    if (!origin_->proxy) headers.add("Host", origin_->url.authority());
    headers.add("User-Agent", origin_->user_agent);
    if (request.method != Method::get || !request.body.empty()) {
      const Bytes body(std::make_shared<RequestBody>(request.body.clone()));
      outgoing.set_body(body.create_istream(), request.body.size(), request.content_type);
      if (request.body.empty()) headers.remove("Content-Type");
    }
    if (!request.authorization.empty()) {
      headers["Authorization"] = std::string(request.authorization.reveal());
    }
    outgoing.set_response_stream(Bytes(std::make_shared<ResponseBody>(exchange)).create_ostream());
    const auto counted = std::make_shared<Counted>(outstanding_);
    outgoing.set_progress_handler(
        [hold = std::make_shared<Hold>(exchange, counted), link = call.client->link,
         last = std::uint64_t{0}](web::http::message_direction::direction direction,
                                  std::uint64_t bytes) mutable {
          const bool answered = direction == web::http::message_direction::download;
          link->drop_undelivered(!answered);
          if (!answered) return;
          // A chunk of negative size would make the library copy from beyond its buffer.
          if (bytes < last || bytes - last > std::uint64_t{INT32_MAX}) {
            throw cpprest::http_exception("Invalid chunked response header");
          }
          last = bytes;
        });

    const auto sent = std::make_shared<cpprest::http_request>(std::move(outgoing));
    call.client->client.request(*sent, call.cancel.get_token())
        .then([exchange, sent](const pplx::task<cpprest::http_response>& task) {
          // The library has written the headers by now, or never will.
          const auto authorization = sent->headers().find("Authorization");
          if (authorization != sent->headers().end()) base::wipe(authorization->second);
          *sent = cpprest::http_request();

          const cpprest::http_response response = task.get();
          std::vector<Header> received;
          for (const auto& [name, value] : response.headers()) received.push_back({name, value});
          exchange->open(response.status_code(), std::move(received));
          return response.content_ready();
        })
        .then([exchange, counted](const pplx::task<cpprest::http_response>& task) {
          std::optional<Exchange::Failure> failure;
          try {
            task.get();
          } catch (...) {
            failure = describe(std::current_exception());
          }
          exchange->finish(std::move(failure));
        });
  } catch (const std::exception&) {
    return tl::unexpected(invalid("the request to " + origin_->url.origin() + " cannot be made"));
  }
  return call;
}

Error CpprestTransport::too_large(Exchange& exchange, std::size_t limit) const {
  if (!exchange.crowded_out()) return http::too_large(*origin_, limit);
  return {Error::Kind::too_large,
          "the answer of " + origin_->url.origin() +
              " is large, and there is no room for it beside other large answers",
          true};
}

Error CpprestTransport::interrupted(Call& call, Exchange::Wake wake, base::Duration waited) const {
  const bool maybe_sent = call.exchange->leave();
  return wake == Exchange::Wake::stopped ? cancelled(*origin_, maybe_sent)
                                         : timed_out(*origin_, waited, maybe_sent);
}

// Until the status and the headers are there, or all, depending on the interest.
tl::expected<CpprestTransport::Call, Error> CpprestTransport::open(const Request& request,
                                                                   Exchange::Limits limits,
                                                                   Exchange::Interest interest,
                                                                   const Patience& patience) {
  if (auto error = refuse(*origin_, request)) return tl::unexpected(std::move(*error));
  if (!keeps(request.target)) {
    return tl::unexpected(invalid("the target of the request to " + origin_->url.origin() +
                                  " would be changed on its way"));
  }
  std::vector<Address> candidates;
  std::size_t next = 0;
  for (auto client = take_client();; client = nullptr) {
    if (!client && candidates.empty()) {
      auto found = permitted_addresses(*origin_, patience);
      if (!found) return tl::unexpected(std::move(found.error()));
      candidates = std::move(*found);
    }
    auto call = start(request, limits, interest, patience.deadline, std::move(client),
                      candidates.empty() ? Address{} : candidates[next]);
    if (!call) return call;
    Exchange& exchange = *call->exchange;
    const auto wake = exchange.await_open(patience.deadline, patience.stop);
    if (wake != Exchange::Wake::event) {
      return tl::unexpected(interrupted(*call, wake, patience.limit));
    }
    if (exchange.too_large()) return tl::unexpected(too_large(exchange, limits.body));
    if (exchange.status() == 0) {
      if (!exchange.sending() && now() > patience.deadline) {
        return tl::unexpected(interrupted(*call, Exchange::Wake::timeout, patience.limit));
      }
      const auto failure = exchange.failure();
      if (failure && failure->stale) continue;
      if (failure && failure->what.starts_with("Failed to connect") && !exchange.sending() &&
          next + 1 < candidates.size()) {
        ++next;
        continue;
      }
      return tl::unexpected(classify(failure.value_or(Exchange::Failure{}), exchange, *origin_));
    }
    // The library takes an interim answer for the final one, and would read the final one as the
    // answer to the next request: this connection ends here.
    if (exchange.status() < 200 || exchange.status() > 599) {
      return tl::unexpected(not_final(*origin_, exchange.status()));
    }
    return call;
  }
}

// The connection goes back when all of the answer was read and the server keeps it.
void CpprestTransport::finish(Call& call) {
  call.finished = true;
  if (!is_reusable(*origin_) || !call.exchange->await_release()) return;
  call.client->link->attach(nullptr);
  call.client->idle_since = now();
  const base::Lock lock(mutex_);
  if (idle_.size() < idle_connections) idle_.push_back(std::move(call.client));
}

// The rest of an answer that is open, as a whole.
tl::expected<Response, Error> CpprestTransport::collect(Call& call, const Patience& patience,
                                                        Exchange::Limits limits) {
  Exchange& exchange = *call.exchange;
  const auto wake = exchange.await_end(patience.deadline, patience.stop);
  if (wake != Exchange::Wake::event) {
    return tl::unexpected(interrupted(call, wake, patience.limit));
  }
  if (exchange.too_large()) return tl::unexpected(too_large(exchange, limits.body));
  // Its end is not waited for: the connection is dropped with the call.
  if (exchange.cut())
    return Response{exchange.status(), exchange.take_headers(), exchange.take_body()};
  if (const auto failure = exchange.failure()) {
    return tl::unexpected(classify(*failure, exchange, *origin_));
  }
  Response response{exchange.status(), exchange.take_headers(), exchange.take_body()};
  finish(call);
  return response;
}

tl::expected<Response, Error> CpprestTransport::send(const Request& request,
                                                     const CallOptions& options) {
  const Patience patience(options.deadline, options.stop);
  const Exchange::Limits limits{options.max_body, options.max_error_body};
  auto call = open(request, limits, Exchange::Interest::whole, patience);
  if (!call) return tl::unexpected(std::move(call.error()));
  return collect(*call, patience, limits);
}

tl::expected<Response, Error> CpprestTransport::stream(
    const Request& request, const StreamOptions& options,
    const std::function<bool(std::string_view)>& on_data) {
  const Patience patience(options.open_deadline, options.stop);
  const base::MonotonicTime deadline =
      now() + std::min(options.deadline.value_or(longest_wait), longest_wait);
  const Exchange::Limits limits{options.max_buffered, options.max_error_body};
  auto call = open(request, limits, Exchange::Interest::pieces, patience);
  if (!call) return tl::unexpected(std::move(call.error()));
  Exchange& exchange = *call->exchange;
  if (exchange.status() < 200 || exchange.status() > 299) {
    return collect(*call, patience, limits);
  }

  base::SecretString piece;
  while (true) {
    const auto wake = exchange.await_piece(std::min(options.idle_limit, longest_wait), deadline,
                                           options.stop, piece);
    if (wake != Exchange::Wake::event) {
      const bool over = options.deadline && now() >= deadline;
      return tl::unexpected(
          interrupted(*call, wake, over ? *options.deadline : options.idle_limit));
    }
    if (exchange.too_large()) return tl::unexpected(too_large(exchange, options.max_buffered));
    Response response{exchange.status(), {}, {}};
    if (piece.empty()) {
      const auto failure = exchange.failure();
      response.headers = exchange.take_headers();
      if (!failure) {
        finish(*call);
        return response;
      }
      return tl::unexpected(classify(*failure, exchange, *origin_));
    }
    if (!on_data(piece.reveal())) {
      response.headers = exchange.take_headers();
      return response;
    }
  }
}

class CpprestTransportFactory final : public TransportFactory {
 public:
  explicit CpprestTransportFactory(std::string user_agent) : user_agent_(std::move(user_agent)) {}
  tl::expected<std::unique_ptr<Transport>, Error> open(Endpoint endpoint) override;

 private:
  const std::string user_agent_;
  const std::shared_ptr<base::ByteBudget> budget_ = std::make_shared<base::ByteBudget>(most_held);
  std::once_flag system_trust_loaded_;
  TrustStore system_trust_;
};

tl::expected<std::unique_ptr<Transport>, Error> CpprestTransportFactory::open(Endpoint endpoint) {
  auto origin = check_endpoint(endpoint, user_agent_, [this] {
    std::call_once(system_trust_loaded_, [this] { system_trust_ = load_system_trust(); });
    return system_trust_;
  });
  if (!origin) return tl::unexpected(std::move(origin.error()));
  if (!(*origin)->proxy_authorization.empty() && !proxy_credential(**origin)) {
    return tl::unexpected(invalid("for " + (*origin)->url.origin() +
                                  " a proxy's user and password are supported, and nothing else"));
  }
  if (endpoint.proxy && (*origin)->url.host.find(':') != std::string::npos) {
    return tl::unexpected(invalid("the origin " + (*origin)->url.origin() +
                                  " is an IPv6 address, which cannot be reached through a proxy"));
  }
  return std::make_unique<CpprestTransport>(std::move(*origin), budget_);
}

}  // namespace

void initialize_cpprest() {
  crossplat::threadpool::initialize_with_threads(thread_count);
  hide_system_certificates();
}

std::unique_ptr<TransportFactory> make_cpprest_transport_factory(std::string user_agent) {
  return std::make_unique<CpprestTransportFactory>(std::move(user_agent));
}

}  // namespace quay_rotator::http
