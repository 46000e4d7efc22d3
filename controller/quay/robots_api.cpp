#include "quay/robots_api.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/public_text.h"
#include "base/secret_json.h"
#include "quay/answers.h"
#include "quay/call.h"

namespace quay_rotator::quay {
namespace {

using base::SecretString;
using Kind = Error::Kind;

constexpr std::size_t most_robot_body = 64U << 10U;
constexpr std::size_t most_api_token = 8192;
constexpr std::size_t most_full_name = 600;  // twice 255 and the "+"

bool is_graphic(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_lower_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

tl::unexpected<Error> unsent(Kind kind, std::string message) {
  return tl::unexpected(Error{kind, std::move(message), std::nullopt, false});
}

// The members of one robot that matter.
class RobotReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path.size() != 1) return;
    if (path[0] == "name") name = value;
    if (path[0] == "token") token = SecretString::copy_of(value);
    if (path[0] == "last_accessed") last_accessed = parse_date(value);
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  std::string name;
  SecretString token;
  std::optional<base::WallTime> last_accessed;
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
  return RobotCredential{std::move(reader.name), std::move(reader.token), reader.last_accessed,
                         parse_date(response.header("Date").value_or(""))};
}

// {"robots": [{"name", "token", …}, …]}
class RobotListReader : public ListReader {
 public:
  RobotListReader(const std::string& organization, const SecretString& api_token,
                  std::function<void(const std::string&, base::Fingerprint)> on_robot,
                  TokenSeeker* seeker)
      : ListReader("robots"),
        organization_(organization),
        prefix_(organization.empty() ? "" : organization + "+"),
        api_token_(api_token),
        on_robot_(std::move(on_robot)),
        seeker_(seeker) {}

  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (at(path, "name")) name_ = value.substr(0, most_full_name + 1);
    if (at(path, "token")) {
      tokens = true;
      token_ = base::Fingerprint::of(value);
      if (seeker_ != nullptr) secret_ = SecretString::copy_of(value);
    }
  }
  void on_other(const base::JsonPath& path) override {
    // A token of null: this robot's row is damaged, the caller's rights are in order.
    if (at(path, "token")) tokens = true;
  }
  void on_element() override {
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

  bool robots = false;  // it has some
  bool tokens = false;  // of which at least one has a token

 private:
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
      owner_path(robot.organization) + "/robots/" + robot.name + (regenerate ? "/regenerate" : "");
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
  if (auto error = illegal_organization(organization)) return tl::unexpected(std::move(*error));
  if (api_token.empty()) return no_api_token();
  const Call call{Call::Kind::list, origin_, owner_text(organization), organization.empty()};
  RobotListReader robots(organization, api_token, on_robot, seeker);
  Expected<void> result = read_list(transport_, call, owner_path(organization) + "/robots",
                                    api_token, options_.deadline, stop, robots, "robots");
  if (result && robots.robots && !robots.tokens) result = tl::unexpected(token_missing(call));
  observe(options_, "robot-list", result);
  return result;
}

Expected<void> RobotsApi::probe(const SecretString& api_token, const std::stop_token& stop) {
  if (api_token.empty()) return no_api_token();
  const Call call{Call::Kind::probe, origin_, "", true};
  RobotListReader robots(
      "", api_token, [](const std::string&, base::Fingerprint) {}, nullptr);
  Expected<void> result = read_list(transport_, call, "/api/v1/user/robots?limit=1&token=false",
                                    api_token, options_.deadline, stop, robots, "robots");
  // A token of another scope is a good token.
  if (!result && result.error().kind == Kind::insufficient_scope) result = {};
  observe(options_, "probe", result);
  return result;
}

}  // namespace quay_rotator::quay
