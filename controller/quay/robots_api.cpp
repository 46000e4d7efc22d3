#include "quay/robots_api.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/public_text.h"
#include "base/secret_json.h"
#include "quay/answers.h"

namespace quay_rotator::quay {
namespace {

using base::SecretString;
using Kind = Error::Kind;

constexpr std::size_t most_robot_body = 64U << 10U;
// Of a list: 190 bytes a robot are 170,000 of them, which go by and are never held.
constexpr std::size_t most_list = 32U << 20U;
constexpr std::size_t list_window = 128U << 10U;
constexpr std::size_t most_error_body = 16U << 10U;
constexpr std::size_t most_api_token = 8192;
constexpr std::size_t most_robot_token = 4096;  // Quay's have 64 characters
constexpr std::size_t most_full_name = 600;     // twice 255 and the "+"

bool is_graphic(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_lower_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

tl::unexpected<Error> unsent(Kind kind, std::string message) {
  return tl::unexpected(Error{kind, std::move(message), std::nullopt, false});
}

std::string full_name(const Robot& robot) {
  return robot.organization.empty() ? robot.name : robot.organization + "+" + robot.name;
}

// Without an organization the user is known to Quay alone.
bool is_name_of(const Robot& robot, std::string_view name) {
  if (!robot.organization.empty()) return name == full_name(robot);
  const std::size_t plus = name.find('+');
  return plus != std::string_view::npos && name.substr(plus + 1) == robot.name &&
         legal_name(name.substr(0, plus));
}

std::string robots_path(const std::string& organization) {
  return organization.empty() ? "/api/v1/user/robots"
                              : "/api/v1/organization/" + organization + "/robots";
}

std::optional<Error> illegal(std::string_view what, const std::string& name) {
  if (legal_name(name)) return std::nullopt;
  return Error{Kind::illegal_name,
               std::string(what) +
                   " is no legal name for Quay (nothing was sent): expected 2 to "
                   "255 lower-case letters and digits with single . _ or - between "
                   "them",
               std::nullopt, false};
}

std::optional<Error> illegal(const Robot& robot) {
  if (!robot.organization.empty()) {
    if (auto error = illegal("the organization", robot.organization)) return error;
  }
  return illegal("the robot's short name", robot.name);
}

// The members of one robot that matter.
class RobotReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path.size() != 1) return;
    if (path[0] == "name") name = value;
    if (path[0] == "token") token = SecretString::copy_of(value);
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  std::string name;
  SecretString token;
};

bool can_log_in(const SecretString& token) {
  return is_graphic(token.reveal()) && token.size() <= most_robot_token;
}

// The user part of a user's robot is the server's own word, and goes into the status.
bool names_a_secret(std::string_view name, const SecretString& api_token,
                    const SecretString& token) {
  return base::betrays(name, api_token.reveal()) || base::betrays(name, token.reveal());
}

Expected<RobotCredential> read_robot(const Call& call, const Robot& robot,
                                     const SecretString& api_token,
                                     const http::Response& response) {
  RobotReader reader;
  if (!base::visit_json(response.body.reveal(), reader) || reader.name.empty()) {
    return tl::unexpected(unexpected(call, "answered something other than a robot"));
  }
  if (!is_name_of(robot, reader.name)) return tl::unexpected(wrong_robot(call));
  if (reader.token.empty()) return tl::unexpected(token_missing(call));
  if (!can_log_in(reader.token)) {
    return tl::unexpected(unexpected(call, "answered with a token that no login could carry"));
  }
  if (robot.organization.empty() && names_a_secret(reader.name, api_token, reader.token)) {
    return tl::unexpected(unexpected(call, "answered with a user's name that holds a secret"));
  }
  return RobotCredential{std::move(reader.name), std::move(reader.token)};
}

// {"robots": [{"name", "token", …}, …]}
class RobotListReader : public base::JsonVisitor {
 public:
  RobotListReader(const std::string& organization, const SecretString& api_token,
                  std::function<void(const std::string&, base::Fingerprint)> on_robot,
                  TokenSeeker* seeker)
      : organization_(organization),
        prefix_(organization.empty() ? "" : organization + "+"),
        api_token_(api_token),
        on_robot_(std::move(on_robot)),
        seeker_(seeker) {}

  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (!is_member(path)) return;
    if (path[2] == "name") name_ = value.substr(0, most_full_name + 1);
    if (path[2] == "token") {
      tokens = true;
      token_ = base::Fingerprint::of(value);
      if (seeker_ != nullptr) secret_ = SecretString::copy_of(value);
    }
  }
  void on_other(const base::JsonPath& path) override {
    // A token of null: this robot's row is damaged, the caller's rights are in order.
    if (is_member(path) && path[2] == "token") tokens = true;
  }
  void on_begin(const base::JsonPath& path) override {
    if (path.size() == 1 && path[0] == "robots") list = true;
  }
  void on_end(const base::JsonPath& path) override {
    if (path.size() != 2 || path[0] != "robots") return;
    robots = true;
    const bool ours = name_.size() <= most_full_name && name_.starts_with(prefix_);
    if (token_ && ours) {
      on_robot_(name_, *token_);
      if (seeker_ != nullptr) offer();
    }
    name_.clear();
    token_.reset();
    secret_.clear();
  }

  bool list = false;    // there is one
  bool robots = false;  // with robots in it
  bool tokens = false;  // of which at least one has a token

 private:
  static bool is_member(const base::JsonPath& path) {
    return path.size() == 3 && path[0] == "robots";
  }

  // What read_robot() would take.
  void offer() {
    const Robot robot{organization_, name_.substr(name_.find('+') + 1)};
    if (!is_name_of(robot, name_) || !legal_name(robot.name) || !seeker_->wants(name_)) return;
    if (secret_.empty() || !can_log_in(secret_)) return;
    if (organization_.empty() && names_a_secret(name_, api_token_, secret_)) return;
    seeker_->take({name_, std::move(secret_)});
  }

  std::string organization_;
  std::string prefix_;
  const SecretString& api_token_;
  std::function<void(const std::string&, base::Fingerprint)> on_robot_;
  TokenSeeker* seeker_;
  std::string name_;
  std::optional<base::Fingerprint> token_;
  SecretString secret_;
};

// {"access_token": "…"}; some installations say "token".
class ApiTokenReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path.size() != 1) return;
    if (path[0] == "access_token" || (path[0] == "token" && token.empty())) {
      token = SecretString::copy_of(value);
    }
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  SecretString token;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

http::Request request_of(const Call& call, const std::string& target,
                         const SecretString& api_token) {
  http::Request request;
  request.target = target;
  request.headers = {{"Accept", "application/json"}};
  request.authorization = SecretString::copy_of("Bearer ");
  request.authorization.append(api_token.reveal());
  if (call.kind == Call::Kind::regenerate) {
    request.method = http::Method::post;
    request.content_type = "application/json";
    request.body = SecretString::copy_of("{}");  // Quay ignores it; proxies like a body
  }
  return request;
}

// A 2xx, or what went wrong.
Expected<http::Response> success_of(const Call& call,
                                    tl::expected<http::Response, http::Error> response) {
  if (!response) return tl::unexpected(failure(call, response.error()));
  if (response->status != 200 && response->status != 201) {
    return tl::unexpected(refusal(call, *response));
  }
  return std::move(*response);
}

// A list is read while it comes: of its text there is never more than one string.
Expected<void> read_list(http::Transport& transport, const Call& call, const http::Request& request,
                         const base::Duration deadline, const std::stop_token& stop,
                         RobotListReader& robots) {
  base::JsonReader reader(robots, most_robot_token);
  std::size_t size = 0;
  bool readable = true;
  auto response = success_of(call, transport.stream(request,
                                                    {.open_deadline = deadline,
                                                     .idle_limit = deadline,
                                                     .deadline = deadline,
                                                     .max_buffered = list_window,
                                                     .max_error_body = most_error_body,
                                                     .stop = stop},
                                                    [&](std::string_view piece) {
                                                      size += piece.size();
                                                      readable =
                                                          size <= most_list && reader.feed(piece);
                                                      return readable;
                                                    }));
  if (!response) return tl::unexpected(std::move(response.error()));
  if (size > most_list) {
    return tl::unexpected(unexpected(call, "answered with a list of more than 32 MiB"));
  }
  if (!readable || !reader.finish() || !robots.list) {
    return tl::unexpected(unexpected(call, "answered something other than a list of robots"));
  }
  return {};
}

template <class T>
void observe(const RobotsApiOptions& options, std::string_view call, const Expected<T>& result) {
  if (options.observer) options.observer(call, result ? "ok" : reason(result.error().kind));
}

std::string owner_text(const std::string& organization) {
  return organization.empty() ? "the API token's user" : "organization " + organization;
}

std::string robot_text(const Robot& robot) {
  return "robot " + full_name(robot) +
         (robot.organization.empty() ? " of the API token's user" : "");
}

tl::unexpected<Error> no_api_token() {
  return unsent(Kind::api_token_unusable,
                "the API token is empty (nothing was sent); put Quay's OAuth token into the "
                "connection's Secret");
}

}  // namespace

bool legal_name(std::string_view name) {
  if (name.size() < 2 || name.size() > 255) return false;
  bool after_alphanumeric = false;
  for (const char c : name) {
    const bool alphanumeric = is_lower_alphanumeric(c);
    const bool separator = c == '.' || c == '_' || c == '-';
    if (!alphanumeric && !(separator && after_alphanumeric)) return false;
    after_alphanumeric = alphanumeric;
  }
  return after_alphanumeric;
}

Expected<SecretString> parse_api_token(std::string_view text) {
  std::string_view token = trimmed(text);
  ApiTokenReader reader;
  if (token.starts_with('{')) {
    if (!base::visit_json(token, reader) || reader.token.empty()) {
      return unsent(
          Kind::api_token_unusable,
          "the API token looks like JSON but is no object with an access_token; store the "
          "plain token, or {\"access_token\": \"…\"}");
    }
    token = trimmed(reader.token.reveal());
  }
  if (token.empty()) return no_api_token();
  if (token.size() > most_api_token) {
    return unsent(Kind::api_token_unusable,
                  "the API token is longer than 8192 characters; store Quay's OAuth token alone");
  }
  if (!is_graphic(token)) {
    return unsent(Kind::api_token_unusable,
                  "the API token has spaces, control characters or characters outside ASCII in it; "
                  "store Quay's OAuth token alone");
  }
  return SecretString::copy_of(token);
}

RobotsApi::RobotsApi(http::Transport& transport, std::string origin, RobotsApiOptions options)
    : transport_(transport), origin_(std::move(origin)), options_(std::move(options)) {}

// GET and POST of one robot differ in their path and method alone.
Expected<RobotCredential> RobotsApi::call_robot(bool regenerate, const Robot& robot,
                                                const SecretString& api_token,
                                                const std::stop_token& stop) {
  if (auto error = illegal(robot)) return tl::unexpected(std::move(*error));
  if (api_token.empty()) return no_api_token();
  const Call call{regenerate ? Call::Kind::regenerate : Call::Kind::get, origin_, robot_text(robot),
                  robot.organization.empty()};
  const std::string target =
      robots_path(robot.organization) + "/" + robot.name + (regenerate ? "/regenerate" : "");
  const auto response =
      success_of(call, transport_.send(request_of(call, target, api_token),
                                       {options_.deadline, most_robot_body, stop}));
  Expected<RobotCredential> result =
      response ? read_robot(call, robot, api_token, *response) : tl::unexpected(response.error());
  observe(options_, regenerate ? "robot-regenerate" : "robot-get", result);
  return result;
}

Expected<RobotCredential> RobotsApi::get(const Robot& robot, const SecretString& api_token,
                                         const std::stop_token& stop) {
  return call_robot(false, robot, api_token, stop);
}

Expected<RobotCredential> RobotsApi::regenerate(const Robot& robot, const SecretString& api_token,
                                                const std::stop_token& stop) {
  return call_robot(true, robot, api_token, stop);
}

Expected<void> RobotsApi::list(
    const std::string& organization, const SecretString& api_token, const std::stop_token& stop,
    const std::function<void(const std::string& full_name, base::Fingerprint)>& on_robot,
    TokenSeeker* seeker) {
  if (!organization.empty()) {
    if (auto error = illegal("the organization", organization)) {
      return tl::unexpected(std::move(*error));
    }
  }
  if (api_token.empty()) return no_api_token();
  const Call call{Call::Kind::list, origin_, owner_text(organization), organization.empty()};
  RobotListReader robots(organization, api_token, on_robot, seeker);
  Expected<void> result =
      read_list(transport_, call, request_of(call, robots_path(organization), api_token),
                options_.deadline, stop, robots);
  if (result && robots.robots && !robots.tokens) result = tl::unexpected(token_missing(call));
  observe(options_, "robot-list", result);
  return result;
}

Expected<void> RobotsApi::probe(const SecretString& api_token, const std::stop_token& stop) {
  if (api_token.empty()) return no_api_token();
  const Call call{Call::Kind::probe, origin_, "", true};
  RobotListReader robots(
      "", api_token, [](const std::string&, base::Fingerprint) {}, nullptr);
  Expected<void> result = read_list(
      transport_, call, request_of(call, "/api/v1/user/robots?limit=1&token=false", api_token),
      options_.deadline, stop, robots);
  // A token of another scope is a good token.
  if (!result && result.error().kind == Kind::insufficient_scope) result = {};
  observe(options_, "probe", result);
  return result;
}

}  // namespace quay_rotator::quay
