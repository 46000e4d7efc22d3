#include "http/beast/transport.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "http/beast/answer.h"
#include "http/beast/connection.h"
#include "http/origin.h"

namespace quay_rotator::http {
namespace {

// Servers and what stands between close idle connections after a minute at the earliest.
constexpr auto idle_connection_limit = std::chrono::seconds(25);
constexpr std::size_t idle_connections = 32;
// A request up to that size goes out in one piece with its header.
constexpr std::size_t small_body = 16U << 10U;

base::MonotonicTime now() {
  return std::chrono::steady_clock::now();
}

bool is_success(int status) {
  return status >= 200 && status <= 299;
}

// False: `most` bytes are kept, and there were more.
bool keep(base::SecretString& body, std::string_view piece, std::size_t most) {
  const std::size_t room = most - body.size();
  body.append(piece.substr(0, room));
  return piece.size() <= room;
}

// All but the body.
base::SecretString head_of(const Origin& origin, const Request& request) {
  const bool absolute = origin.proxy && !origin.tls;
  std::string head(method_name(request.method));
  head += " " + (absolute ? origin.url.origin() : "") + request.target +
          " HTTP/1.1\r\nHost: " + origin.url.authority() + "\r\nUser-Agent: " + origin.user_agent +
          "\r\n";
  for (const Header& header : request.headers) head += header.name + ": " + header.value + "\r\n";
  if (!request.body.empty()) head += "Content-Type: " + request.content_type + "\r\n";
  if (request.method != Method::get || !request.body.empty()) {
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  base::SecretString result(std::move(head));
  if (!request.authorization.empty()) {
    result.append("Authorization: ");
    result.append(request.authorization.reveal());
    result.append("\r\n");
  }
  if (absolute && !origin.proxy_authorization.empty()) {
    result.append("Proxy-Authorization: ");
    result.append(origin.proxy_authorization.reveal());
    result.append("\r\n");
  }
  result.append("\r\n");
  return result;
}

class BeastTransport final : public Transport {
 public:
  explicit BeastTransport(std::shared_ptr<const Origin> origin) : origin_(std::move(origin)) {}

  tl::expected<Response, Error> send(const Request& request, const CallOptions& options) override;
  tl::expected<Response, Error> stream(
      const Request& request, const StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) override;

 private:
  using Held = std::unique_ptr<Connection>;

  tl::expected<Held, Error> connect(const Patience& patience, const Interruption& interruption);
  // The request is written, or as much of it as the server wanted.
  tl::expected<Held, Error> begin(const Request& request, const Patience& patience,
                                  const Interruption& interruption);
  // Why there is no answer, or no whole one.
  [[nodiscard]] Error trouble(Io io, const Connection& connection, base::Duration waited) const;
  [[nodiscard]] Error trouble(Answer::State state) const;
  // One step of reading an answer that is not over; nothing when all is well.
  std::optional<Error> advance(Answer& answer, Connection& connection, const Limits& limits,
                               base::Duration waited) const;
  Held take_idle();
  // The answer is over, also by being cut off. Keeps the connection where that is possible.
  Response finish(Held connection, Answer& answer, Response response);

  const std::shared_ptr<const Origin> origin_;
  base::Mutex mutex_;
  std::vector<Held> idle_ GUARDED_BY(mutex_);  // the longest idle first
};

BeastTransport::Held BeastTransport::take_idle() {
  std::vector<Held> expired;  // closed outside of the lock
  const base::Lock lock(mutex_);
  const auto first_usable =
      std::ranges::find_if(idle_, [limit = now() - idle_connection_limit](const Held& connection) {
        return connection->idle_since > limit;
      });
  expired.assign(std::move_iterator(idle_.begin()), std::move_iterator(first_usable));
  idle_.erase(idle_.begin(), first_usable);
  if (idle_.empty()) return nullptr;
  Held connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

tl::expected<BeastTransport::Held, Error> BeastTransport::connect(
    const Patience& patience, const Interruption& interruption) {
  while (Held connection = take_idle()) {
    if (connection->usable()) return connection;
  }
  const auto addresses = permitted_addresses(*origin_, patience);
  if (!addresses) return tl::unexpected(addresses.error());
  return Connection::open(origin_, *addresses, patience, interruption);
}

tl::expected<BeastTransport::Held, Error> BeastTransport::begin(const Request& request,
                                                                const Patience& patience,
                                                                const Interruption& interruption) {
  if (auto error = refuse(*origin_, request)) return tl::unexpected(std::move(*error));
  auto connection = connect(patience, interruption);
  if (!connection) return connection;
  base::SecretString bytes = head_of(*origin_, request);
  const bool in_one = request.body.size() <= small_body;
  if (in_one) bytes.append(request.body.reveal());
  // Now, and not when the call began: a process that was frozen may wake long after its deadline.
  if (interruption.requested()) return tl::unexpected(cancelled(*origin_, false));
  if (now() > patience.deadline) {
    return tl::unexpected(timed_out(*origin_, patience.limit, false));
  }
  (*connection)->begin();
  const Limits limits{patience.deadline, interruption};
  Io io = (*connection)->write(bytes.reveal(), limits);
  if (io == Io::done && !in_one) io = (*connection)->write(request.body.reveal(), limits);
  // A server may refuse a request, say so and close before it has read it all.
  if (io == Io::done || io == Io::lost) return connection;
  return tl::unexpected(trouble(io, **connection, patience.limit));
}

Error BeastTransport::trouble(Io io, const Connection& connection, base::Duration waited) const {
  switch (io) {
    case Io::stopped:
      return cancelled(*origin_, true);
    case Io::timeout:
      return timed_out(*origin_, waited, true);
    case Io::alert:
      return tls_alert(*origin_, connection.alert());
    case Io::flooded:
      return too_large(*origin_, Answer::most_head);
    default:
      return connection_lost(*origin_);
  }
}

Error BeastTransport::trouble(Answer::State state) const {
  if (state == Answer::State::too_large) return too_large(*origin_, Answer::most_head);
  return state == Answer::State::malformed ? not_http(*origin_) : connection_lost(*origin_);
}

std::optional<Error> BeastTransport::advance(Answer& answer, Connection& connection,
                                             const Limits& limits, base::Duration waited) const {
  const Io io = answer.advance(connection, limits);
  if (answer.has_head()) connection.answered();
  if (io != Io::done) return trouble(io, connection, waited);
  if (answer.has_head() && (answer.status() < 200 || answer.status() > 599)) {
    return not_final(*origin_, answer.status());
  }
  if (!answer.failed() || answer.state() == Answer::State::unwanted) return std::nullopt;
  // Of an error the beginning is enough.
  const bool cut = answer.state() == Answer::State::too_large && answer.has_head();
  if (cut && !is_success(answer.status())) return std::nullopt;
  return trouble(answer.state());
}

Response BeastTransport::finish(Held connection, Answer& answer, Response response) {
  response.status = answer.status();
  response.headers = answer.take_headers();
  if (!answer.keeps_connection()) return response;
  connection->idle_since = now();
  const base::Lock lock(mutex_);
  if (idle_.size() < idle_connections) idle_.push_back(std::move(connection));
  return response;
}

tl::expected<Response, Error> BeastTransport::send(const Request& request,
                                                   const CallOptions& options) {
  const Patience patience(options.deadline, options.stop);
  const Interruption interruption(options.stop);
  auto connection = begin(request, patience, interruption);
  if (!connection) return tl::unexpected(std::move(connection.error()));

  Response response;
  bool too_much = false;
  Answer answer(Answer::Extent::all, [&](int status, std::string_view piece) {
    if (!is_success(status)) return keep(response.body, piece, options.max_error_body);
    too_much = !keep(response.body, piece, options.max_body);
    return !too_much;
  });
  const Limits limits{patience.deadline, interruption};
  while (answer.state() < Answer::State::whole) {
    if (auto error = advance(answer, **connection, limits, patience.limit)) {
      return tl::unexpected(std::move(*error));
    }
  }
  if (too_much) return tl::unexpected(too_large(*origin_, options.max_body));
  return finish(std::move(*connection), answer, std::move(response));
}

tl::expected<Response, Error> BeastTransport::stream(
    const Request& request, const StreamOptions& options,
    const std::function<bool(std::string_view)>& on_data) {
  const Patience patience(options.open_deadline, options.stop);
  const Patience in_all(options.deadline.value_or(base::Duration::max()), options.stop);
  const Patience idle(options.idle_limit, options.stop);
  const Interruption interruption(options.stop);
  auto connection = begin(request, patience, interruption);
  if (!connection) return tl::unexpected(std::move(connection.error()));

  Response response;
  base::MonotonicTime last_bytes;
  Answer answer(Answer::Extent::all, [&](int status, std::string_view piece) {
    if (!is_success(status)) return keep(response.body, piece, options.max_error_body);
    bool wanted = true;
    while (wanted && !piece.empty()) {
      const std::string_view part = piece.substr(0, std::max<std::size_t>(options.max_buffered, 1));
      wanted = on_data(part);
      piece.remove_prefix(part.size());
    }
    last_bytes = now();
    return wanted;
  });
  while (answer.state() < Answer::State::whole) {
    const bool flowing = is_success(answer.status());
    const base::MonotonicTime silence = last_bytes + idle.limit;
    const bool ends = flowing && in_all.deadline < silence;
    const Limits limits{!flowing ? patience.deadline
                        : ends   ? in_all.deadline
                                 : silence,
                        interruption};
    const base::Duration waited = !flowing ? patience.limit : ends ? in_all.limit : idle.limit;
    if (auto error = advance(answer, **connection, limits, waited)) {
      return tl::unexpected(std::move(*error));
    }
    if (!flowing) last_bytes = now();
  }
  return finish(std::move(*connection), answer, std::move(response));
}

class BeastTransportFactory final : public TransportFactory {
 public:
  explicit BeastTransportFactory(std::string user_agent) : user_agent_(std::move(user_agent)) {}

  tl::expected<std::unique_ptr<Transport>, Error> open(Endpoint endpoint) override {
    auto origin = check_endpoint(endpoint, user_agent_, [this] {
      std::call_once(system_trust_loaded_, [this] { system_trust_ = load_system_trust(); });
      return system_trust_;
    });
    if (!origin) return tl::unexpected(std::move(origin.error()));
    return std::make_unique<BeastTransport>(std::move(*origin));
  }

 private:
  const std::string user_agent_;
  std::once_flag system_trust_loaded_;
  TrustStore system_trust_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_beast_transport_factory(std::string user_agent) {
  return std::make_unique<BeastTransportFactory>(std::move(user_agent));
}

}  // namespace quay_rotator::http
