#include "simulation/network.h"

#include <algorithm>
#include <utility>

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

Journey draw_journey(Dice& dice, const NetworkFaults& faults) {
  Journey journey;
  journey.there = dice.between(milliseconds(0), milliseconds(5));
  journey.back = dice.between(milliseconds(0), milliseconds(5));
  journey.refused = dice.chance(faults.refused);
  journey.lost_there = dice.chance(faults.lost_there);
  journey.lost_back = dice.chance(faults.lost_back);
  if (dice.chance(faults.slow)) journey.there += dice.between(seconds(0), seconds(20));
  if (dice.chance(faults.slow)) journey.back += dice.between(seconds(0), seconds(40));
  journey.arrives_without_sender = dice.chance(0.5);
  return journey;
}

tl::expected<Reply, http::Error> Connection::exchange(const http::Request& request,
                                                      base::Duration deadline,
                                                      const std::stop_token& stop) {
  process_.end_if_dead();
  const Journey journey = server_.journey();
  const base::MonotonicTime end = process_.now() + deadline;
  const Message message{request.method, request.target, request.authorization.reveal(),
                        request.content_type, request.body.reveal()};
  // False: stopped, or the time is up.
  const auto travel = [&](base::Duration time) {
    const base::MonotonicTime arrival = process_.now() + time;
    return process_.sleep_until(std::min(arrival, end), stop) && arrival <= end;
  };
  const auto given_up = [&] {
    return stop.stop_requested() ? fail(Kind::cancelled, "cancelled")
                                 : fail(Kind::timeout, "no answer in time");
  };

  bool arrived = false;
  try {
    arrived = travel(journey.there);
  } catch (const Killed&) {
    if (journey.arrives_without_sender) server_.handle(message, process_);
    throw;
  }
  if (journey.refused) return fail(Kind::unreachable, "connection refused", false);
  if (!arrived) return given_up();
  if (journey.lost_there) return fail(Kind::connection_lost, "the connection was lost");
  Reply reply = server_.handle(message, process_);
  if (!travel(journey.back)) return given_up();
  if (journey.lost_back || reply.lost) {
    return fail(Kind::connection_lost, "the connection was lost");
  }
  return reply;
}

tl::expected<http::Response, http::Error> Connection::send(const http::Request& request,
                                                           const http::CallOptions& options) {
  auto reply = exchange(request, options.deadline, options.stop);
  if (!reply) return tl::unexpected(std::move(reply).error());
  if (reply->body.size() > options.max_body) {
    return fail(Kind::too_large, "the answer is too large");
  }
  return response_of(*reply, true);
}

tl::expected<http::Response, http::Error> Connection::stream(
    const http::Request& request, const http::StreamOptions& options,
    const std::function<bool(std::string_view)>& on_data) {
  auto reply = exchange(request, options.open_deadline, options.stop);
  if (!reply) return tl::unexpected(std::move(reply).error());
  if (reply->status / 100 != 2 || !reply->source) return response_of(*reply, true);
  for (;;) {
    const auto piece = reply->source(process_.now() + options.idle_limit, options.stop);
    process_.end_if_dead();
    if (options.stop.stop_requested()) return fail(Kind::cancelled, "cancelled");
    if (!piece) return tl::unexpected(piece.error());
    if (!*piece || (!(*piece)->empty() && !on_data(**piece))) return response_of(*reply, false);
    if ((*piece)->empty()) return fail(Kind::timeout, "silence");
  }
}

}  // namespace quay_rotator::simulation
