// An http::Transport whose answers a handler gives: a server without a network.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "http/transport.h"

namespace quay_rotator::testing {

// What was sent, with the secrets readable: tests use made-up ones.
struct SentRequest {
  http::Method method = http::Method::get;
  std::string target;
  std::vector<http::Header> headers;
  std::string authorization;
  std::string content_type;
  std::string body;
  base::Duration deadline{};  // the call's, or the stream's open_deadline

  // The first header of exactly that name, or "".
  [[nodiscard]] std::string header(std::string_view name) const;
  // "GET /version"
  [[nodiscard]] std::string line() const;
};

struct Answer {
  // The next piece of a streamed body; nothing: its end. May wait on the executor; must then
  // heed the stop token.
  using Source =
      std::function<tl::expected<std::optional<std::string>, http::Error>(const std::stop_token&)>;

  int status = 200;
  std::string body = {};
  std::vector<http::Header> headers = {};
  base::Duration delay = {};  // before the answer comes; past the deadline it is a timeout
  Source source = {};         // for stream(): instead of `body`
};

// A Source that gives the pieces at once and then ends.
Answer::Source pieces(std::vector<std::string> pieces);

using FakeResult = tl::expected<Answer, http::Error>;

// Thread-safe when the handler is; with a VirtualExecutor it need not be, because one thread runs
// at a time. Every call hands the baton over before the handler runs and before it returns.
class FakeTransport final : public http::Transport {
 public:
  using Handler = std::function<FakeResult(const SentRequest&)>;

  FakeTransport(base::Executor& executor, Handler handler)
      : executor_(executor), handler_(std::move(handler)) {}

  tl::expected<http::Response, http::Error> send(const http::Request& request,
                                                 const http::CallOptions& options) override;
  tl::expected<http::Response, http::Error> stream(
      const http::Request& request, const http::StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) override;

  // All requests so far, the oldest first.
  [[nodiscard]] std::vector<SentRequest> requests() const;

 private:
  FakeResult exchange(const http::Request& request, base::Duration deadline,
                      const std::stop_token& stop);

  base::Executor& executor_;
  Handler handler_;
  mutable std::mutex mutex_;
  std::vector<SentRequest> requests_;
};

}  // namespace quay_rotator::testing
