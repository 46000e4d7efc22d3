#include "quay/call.h"

#include <utility>

namespace quay_rotator::quay {

using base::SecretString;
using Kind = Error::Kind;

namespace {

constexpr std::size_t list_window = 128U << 10U;

std::optional<Error> illegal(std::string_view what, const std::string& name) {
  if (legal_name(name)) return std::nullopt;
  return Error{Kind::illegal_name,
               std::string(what) +
                   " is no legal name for Quay (nothing was sent): expected 2 to "
                   "255 lower-case letters and digits with single . _ or - between "
                   "them",
               std::nullopt, false};
}

}  // namespace

std::string owner_path(const std::string& organization) {
  return organization.empty() ? "/api/v1/user" : "/api/v1/organization/" + organization;
}

std::string owner_text(const std::string& organization) {
  return organization.empty() ? "the API token's user" : "organization " + organization;
}

std::string full_name(const Robot& robot) {
  return robot.organization.empty() ? robot.name : robot.organization + "+" + robot.name;
}

std::string robot_text(const Robot& robot) {
  return "robot " + full_name(robot) +
         (robot.organization.empty() ? " of the API token's user" : "");
}

bool is_name_of(const Robot& robot, std::string_view name) {
  if (!robot.organization.empty()) return name == full_name(robot);
  const std::size_t plus = name.find('+');
  return plus != std::string_view::npos && name.substr(plus + 1) == robot.name &&
         legal_name(name.substr(0, plus));
}

std::optional<Error> illegal_organization(const std::string& organization) {
  return organization.empty() ? std::nullopt : illegal("the organization", organization);
}

std::optional<Error> illegal(const Robot& robot) {
  if (auto error = illegal_organization(robot.organization)) return error;
  return illegal("the robot's short name", robot.name);
}

tl::unexpected<Error> no_api_token() {
  return tl::unexpected(Error{Kind::api_token_unusable,
                              "the API token is empty (nothing was sent); put Quay's OAuth token "
                              "into the connection's Secret",
                              std::nullopt, false});
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

Expected<http::Response> success_of(const Call& call,
                                    tl::expected<http::Response, http::Error> response) {
  if (!response) return tl::unexpected(failure(call, response.error()));
  if (response->status != 200 && response->status != 201) {
    return tl::unexpected(refusal(call, *response));
  }
  return std::move(*response);
}

Expected<void> read_list(http::Transport& transport, const Call& call, const std::string& target,
                         const SecretString& api_token, const base::Duration deadline,
                         const std::stop_token& stop, ListReader& list, std::string_view what,
                         const std::size_t most) {
  base::JsonReader reader(list, most_robot_token);
  std::size_t size = 0;
  bool readable = true;
  auto response = success_of(call, transport.stream(request_of(call, target, api_token),
                                                    {.open_deadline = deadline,
                                                     .idle_limit = deadline,
                                                     .deadline = deadline,
                                                     .max_buffered = list_window,
                                                     .max_error_body = most_error_body,
                                                     .stop = stop},
                                                    [&](std::string_view piece) {
                                                      size += piece.size();
                                                      readable = size <= most && reader.feed(piece);
                                                      return readable;
                                                    }));
  if (!response) return tl::unexpected(std::move(response.error()));
  if (size > most) {
    return tl::unexpected(unexpected(
        call, "answered with a list of more than " + std::to_string(most >> 20U) + " MiB"));
  }
  if (!readable || !reader.finish() || !list.list) {
    return tl::unexpected(
        unexpected(call, "answered something other than a list of " + std::string(what)));
  }
  return {};
}

std::optional<base::WallTime> parse_date(std::string_view text) {
  constexpr std::string_view form = "Sat, 28 Nov 2026 07:19:59 -0000";
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  constexpr std::size_t zone = 25;
  if (text.size() < zone) return std::nullopt;
  if (text.substr(zone) != form.substr(zone) && text.substr(zone) != " GMT") return std::nullopt;
  const std::size_t month = months.find(text.substr(8, 3));
  if (month == std::string_view::npos || month % 3 != 0) return std::nullopt;
  for (const std::size_t blank : {7U, 11U, 16U}) {
    if (text[blank] != ' ') return std::nullopt;
  }
  const std::string number = std::to_string(101 + month / 3);
  const auto time = base::parse_time(std::string(text.substr(12, 4)) + "-" + number.substr(1) +
                                     "-" + std::string(text.substr(5, 2)) + "T" +
                                     std::string(text.substr(17, 8)) + "Z");
  return time ? std::optional(*time) : std::nullopt;
}

}  // namespace quay_rotator::quay
