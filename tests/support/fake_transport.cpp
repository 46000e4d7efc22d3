#include "support/fake_transport.h"

#include <algorithm>
#include <utility>

namespace quay_rotator::testing {
namespace {

using http::Error;

tl::unexpected<Error> fail(Error::Kind kind, const char* message, bool maybe_sent = true) {
  return tl::unexpected(Error{kind, message, maybe_sent});
}

http::Response response_of(Answer& answer, std::size_t with_body) {
  http::Response response;
  response.status = answer.status;
  response.headers = std::move(answer.headers);
  answer.body.resize(std::min(answer.body.size(), with_body));
  response.body = base::SecretString(std::move(answer.body));
  return response;
}

}  // namespace

std::string SentRequest::header(std::string_view name) const {
  for (const http::Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

std::string SentRequest::line() const {
  return std::string(http::method_name(method)) + ' ' + target;
}

Answer::Source pieces(std::vector<std::string> pieces) {
  return [rest = std::move(pieces), next = std::size_t{0}](
             const std::stop_token&) mutable -> tl::expected<std::optional<std::string>, Error> {
    if (next == rest.size()) return std::nullopt;
    return rest[next++];
  };
}

FakeResult FakeTransport::exchange(const http::Request& request, base::Duration deadline,
                                   const std::stop_token& stop) {
  if (!executor_.sleep_for(base::Duration::zero(), stop)) {
    return fail(Error::Kind::cancelled, "cancelled", false);
  }
  SentRequest sent{.method = request.method,
                   .target = request.target,
                   .headers = request.headers,
                   .authorization = std::string(request.authorization.reveal()),
                   .content_type = request.content_type,
                   .body = std::string(request.body.reveal()),
                   .deadline = deadline};
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(sent);
  }
  FakeResult result = handler_(sent);
  const base::Duration delay = result ? result->delay : base::Duration::zero();
  if (!executor_.sleep_for(std::min(delay, deadline), stop)) {
    return fail(Error::Kind::cancelled, "cancelled");
  }
  if (delay > deadline) return fail(Error::Kind::timeout, "no answer in time");
  return result;
}

tl::expected<http::Response, Error> FakeTransport::send(const http::Request& request,
                                                        const http::CallOptions& options) {
  FakeResult answer = exchange(request, options.deadline, options.stop);
  if (!answer) return tl::unexpected(std::move(answer).error());
  if (answer->status / 100 != 2) return response_of(*answer, options.max_error_body);
  if (answer->body.size() > options.max_body) {
    return fail(Error::Kind::too_large, "the answer is too large");
  }
  return response_of(*answer, options.max_body);
}

tl::expected<http::Response, Error> FakeTransport::stream(
    const http::Request& request, const http::StreamOptions& options,
    const std::function<bool(std::string_view)>& on_data) {
  FakeResult answer = exchange(request, options.open_deadline, options.stop);
  if (!answer) return tl::unexpected(std::move(answer).error());
  if (answer->status / 100 != 2) return response_of(*answer, options.max_error_body);
  const base::MonotonicTime opened = executor_.now();
  Answer::Source source =
      answer->source ? std::move(answer->source) : pieces({std::move(answer->body)});
  for (;;) {
    auto piece = source(options.stop);
    if (options.stop.stop_requested()) return fail(Error::Kind::cancelled, "cancelled");
    if (!piece) return tl::unexpected(std::move(piece).error());
    if (options.deadline && executor_.now() - opened > *options.deadline) {
      return fail(Error::Kind::timeout, "not all in time");
    }
    if (!*piece || !on_data(**piece)) return response_of(*answer, 0);
    if (!executor_.sleep_for(base::Duration::zero(), options.stop)) {
      return fail(Error::Kind::cancelled, "cancelled");
    }
  }
}

std::vector<SentRequest> FakeTransport::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

}  // namespace quay_rotator::testing
