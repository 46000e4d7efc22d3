// What the calls of Quay's API have in common: names, the request, the reading of its answer.
// Within quay/ alone.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/secret_json.h"
#include "quay/answers.h"
#include "quay/robots_api.h"

namespace quay_rotator::quay {

inline constexpr std::size_t most_error_body = 16U << 10U;
inline constexpr std::size_t most_robot_token = 4096;  // Quay's have 64 characters
// Of a list: 190 bytes a robot are 170,000 of them, which go by and are never held.
inline constexpr std::size_t most_list = 32U << 20U;

// "/api/v1/organization/acme", "/api/v1/user"
std::string owner_path(const std::string& organization);
// "organization acme", "the API token's user"
std::string owner_text(const std::string& organization);
std::string full_name(const Robot& robot);
// "robot acme+puller", "robot ci of the API token's user"
std::string robot_text(const Robot& robot);
// Without an organization the user is known to Quay alone.
bool is_name_of(const Robot& robot, std::string_view name);

// Why nothing can be sent, if so.
std::optional<Error> illegal_organization(const std::string& organization);
std::optional<Error> illegal(const Robot& robot);
tl::unexpected<Error> no_api_token();

// A POST for a regeneration, else a GET.
http::Request request_of(const Call& call, const std::string& target,
                         const base::SecretString& api_token);
// A 2xx, or what went wrong.
Expected<http::Response> success_of(const Call& call,
                                    tl::expected<http::Response, http::Error> response);

// {"robots": [{…}, …]}: the list, and where in it we are.
class ListReader : public base::JsonVisitor {
 public:
  explicit ListReader(std::string_view key) : key_(key) {}

  void on_string(const base::JsonPath& /*path*/, std::string_view /*value*/) override {}
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& path) override {
    if (path.size() == 1 && path[0] == key_) list = true;
  }
  void on_end(const base::JsonPath& path) override {
    if (path.size() == 2 && path[0] == key_) on_element();
  }
  // One element is over.
  virtual void on_element() = 0;

  bool list = false;  // there is one

 protected:
  // Is it the value of that member of an element, or of a member of that member?
  [[nodiscard]] bool at(const base::JsonPath& path, std::string_view member,
                        std::string_view inner = {}) const {
    return path.size() == (inner.empty() ? 3U : 4U) && path[0] == key_ && path[2] == member &&
           (inner.empty() || path[3] == inner);
  }

 private:
  std::string_view key_;
};

// Reads a list while it comes: of its text there is never more than one string.
// `what` it is a list of; an answer of more than `most` bytes, whole MiB, is none.
Expected<void> read_list(http::Transport& transport, const Call& call, const std::string& target,
                         const base::SecretString& api_token, base::Duration deadline,
                         const std::stop_token& stop, ListReader& list, std::string_view what,
                         std::size_t most = most_list);

template <class T>
void observe(const RobotsApiOptions& options, std::string_view call, const Expected<T>& result) {
  if (options.observer) options.observer(call, result ? "ok" : reason(result.error().kind));
}

// "Sat, 28 Nov 2026 07:19:59 -0000", as Quay writes its times (RFC 2822, in UTC), or with "GMT", as
// an HTTP header has them; or nothing.
std::optional<base::WallTime> parse_date(std::string_view text);

}  // namespace quay_rotator::quay
