#include "simulation/network.h"

#include <algorithm>
#include <utility>

#include "simulation/border.h"

namespace quay_rotator::simulation {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = http::Error::Kind;

tl::unexpected<http::Error> fail(Kind kind, const char* message, bool maybe_sent = true) {
  return tl::unexpected(http::Error{kind, message, maybe_sent});
}

http::Response response_of(Reply& reply, bool with_body) {
  http::Response response;
  response.status = reply.status;
  response.headers = std::move(reply.headers);
  if (with_body) response.body = base::SecretString(std::move(reply.body));
  return response;
}

}  // namespace

Journey Server::draw_journey(Dice& dice, const NetworkFaults& faults,
                             const std::array<FaultKind, 4>& kinds, const Message& message,
                             Process& caller) {
  const auto strikes_here = [&](double rate, FaultKind kind) {
    return strikes(dice, rate, kind, message, caller);
  };
  Journey journey;
  journey.there = dice.between(milliseconds(0), milliseconds(5));
  journey.back = dice.between(milliseconds(0), milliseconds(5));
  journey.refused = strikes_here(faults.refused, kinds[0]);
  journey.lost_there = strikes_here(faults.lost_there, kinds[1]);
  journey.lost_back = strikes_here(faults.lost_back, kinds[2]);
  if (strikes_here(faults.slow, kinds[3])) {
    journey.there += dice.between(seconds(0), seconds(20));
    journey.back += dice.between(seconds(0), seconds(40));
  }
  journey.arrives_without_sender = dice.chance(0.5);
  return journey;
}

tl::expected<Reply, http::Error> Connection::exchange(const http::Request& request,
                                                      base::Duration deadline,
                                                      const std::stop_token& stop) {
  process_.end_if_dead();
  Message message{request.method, request.target, request.authorization.reveal(),
                  request.content_type, request.body.reveal()};
  const base::MonotonicTime ready = process_.now();
  process_.freeze(server_.held(message));
  process_.thaw();
  message.held = process_.now() - ready;
  const Journey journey = server_.journey(message, process_);
  const base::MonotonicTime end = process_.now() + deadline;
  const auto given_up = [&] {
    return stop.stop_requested() ? fail(Kind::cancelled, "cancelled")
                                 : fail(Kind::timeout, "no answer in time");
  };

  bool arrived = false;
  const base::MonotonicTime arrival = process_.now() + journey.there;
  try {
    arrived = process_.travel_until(std::min(arrival, end), stop) && arrival <= end;
  } catch (const Killed&) {
    if (journey.arrives_without_sender && !journey.refused && !journey.lost_there) {
      server_.handle(message, process_);
    }
    throw;
  }
  if (arrived && !journey.refused && !journey.lost_there && journey.late) {
    server_.handle_late(message, process_);
  }
  if (journey.refused || journey.lost_there || journey.late) process_.thaw();
  if (journey.refused) return fail(Kind::unreachable, "connection refused", false);
  if (!arrived) return given_up();
  if (journey.lost_there) return fail(Kind::connection_lost, "the connection was lost");
  if (journey.late) {
    process_.sleep_until(end, stop);
    return given_up();
  }
  Reply reply = server_.handle(message, process_);
  const base::MonotonicTime answered = process_.now() + reply.delay + journey.back;
  if (!process_.sleep_until(std::min(answered, end), stop) || answered > end) return given_up();
  if (journey.lost_back || reply.lost) {
    return fail(Kind::connection_lost, "the connection was lost");
  }
  return reply;
}

tl::expected<http::Response, http::Error> Connection::send(const http::Request& request,
                                                           const http::CallOptions& options) {
  const Border border(Border::Side::world);
  const base::MonotonicTime end = process_.now() + options.deadline;
  auto reply = exchange(request, options.deadline, options.stop);
  if (!reply) return tl::unexpected(std::move(reply).error());
  while (reply->source && reply->body.size() <= options.max_body) {
    const auto piece = reply->source(end, options.stop);
    process_.end_if_dead();
    if (options.stop.stop_requested()) return fail(Kind::cancelled, "cancelled");
    if (!piece) return tl::unexpected(piece.error());
    if (process_.now() > end) return fail(Kind::timeout, "no answer in time");
    if (!*piece) break;
    reply->body += **piece;
  }
  if (reply->body.size() > options.max_body) {
    return fail(Kind::too_large, "the answer is too large");
  }
  return response_of(*reply, true);
}

tl::expected<http::Response, http::Error> Connection::stream(
    const http::Request& request, const http::StreamOptions& options,
    const std::function<bool(std::string_view)>& on_data) {
  const Border border(Border::Side::world);
  constexpr base::MonotonicTime never = base::MonotonicTime::max();
  const base::MonotonicTime end = options.deadline ? process_.now() + *options.deadline : never;
  auto reply = exchange(request, options.open_deadline, options.stop);
  if (!reply) return tl::unexpected(std::move(reply).error());
  if (reply->status / 100 != 2) return response_of(*reply, true);
  if (!reply->source) {
    const Border inner(Border::Side::shipped);
    on_data(reply->body);
    return response_of(*reply, false);
  }
  for (;;) {
    const auto piece =
        reply->source(std::min(process_.now() + options.idle_limit, end), options.stop);
    process_.end_if_dead();
    if (options.stop.stop_requested()) return fail(Kind::cancelled, "cancelled");
    if (!piece) return tl::unexpected(piece.error());
    if (process_.now() > end) return fail(Kind::timeout, "no answer in time");
    if (!*piece) return response_of(*reply, false);
    if (!(*piece)->empty()) {
      const Border inner(Border::Side::shipped);
      if (!on_data(**piece)) return response_of(*reply, false);
    }
    if ((*piece)->empty()) return fail(Kind::timeout, "silence");
  }
}

}  // namespace quay_rotator::simulation
