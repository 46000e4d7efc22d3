#include "quay/federation.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "base/secret_json.h"
#include "quay/answers.h"

namespace quay_rotator::quay {

namespace {

using base::SecretString;

constexpr std::size_t most_answer = 64U << 10U;
constexpr std::size_t most_credential = 4096;  // Quay's have 850 characters
constexpr std::size_t most_entries = 256;

class CredentialReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path == base::JsonPath{"token"}) token = SecretString::copy_of(value);
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  SecretString token;
};

bool is_jwt(const SecretString& token) {
  return token.size() <= most_credential &&
         std::ranges::all_of(token.reveal(), [](char c) { return c > ' ' && c < '\x7f'; });
}

Expected<FederatedCredential> read_credential(const Call& call, const std::string& robot,
                                              const http::Response& response) {
  CredentialReader reader;
  if (!base::visit_json(response.body.reveal(), reader) || reader.token.empty() ||
      !is_jwt(reader.token)) {
    return tl::unexpected(unexpected(call, "answered something other than a credential"));
  }
  auto claims = read_claims(reader.token.reveal());
  if (!claims || !claims->expires) {
    return tl::unexpected(unexpected(call, "answered with a credential that does not say its end"));
  }
  if (!claims->subject.empty() && claims->subject != robot) {
    return tl::unexpected(wrong_robot(call));
  }
  return FederatedCredential{{robot, std::move(reader.token)}, std::move(*claims)};
}

std::optional<FederationEntry> read_entry(const nlohmann::json& entry) {
  if (!entry.is_object() || entry.size() != 2) return std::nullopt;
  const auto issuer = base::required_string(entry, "issuer");
  const auto subject = base::required_string(entry, "subject");
  if (!issuer || !subject) return std::nullopt;
  return FederationEntry{*issuer, *subject};
}

Expected<FederationList> read_list(const Call& call, const http::Response& response) {
  const auto json = base::parse_json(response.body.reveal());
  if (!json || !json->is_array() || json->size() > most_entries) {
    return tl::unexpected(unexpected(call, "answered something other than a robot's federation"));
  }
  FederationList list;
  for (const nlohmann::json& each : *json) {
    auto entry = read_entry(each);
    if (!entry) {
      return tl::unexpected(unexpected(
          call, "has an entry in the robot's federation that quay-rotator cannot keep as it is"));
    }
    list.push_back(std::move(*entry));
  }
  return list;
}

std::string path_of(const Robot& robot) {
  return (robot.organization.empty() ? "/api/v1/user/robots/"
                                     : "/api/v1/organization/" + robot.organization + "/robots/") +
         robot.name + "/federation";
}

Call call_of(const std::string& origin, const Robot& robot) {
  const std::string name =
      robot.organization.empty() ? robot.name : robot.organization + "+" + robot.name;
  return {Call::Kind::federation, origin, "robot " + name, robot.organization.empty()};
}

Expected<http::Response> success_of(const Call& call,
                                    tl::expected<http::Response, http::Error> response) {
  if (!response) return tl::unexpected(failure(call, response.error()));
  if (response->status / 100 != 2) return tl::unexpected(refusal(call, *response));
  return std::move(*response);
}

template <class T>
Expected<T> observed(const RobotsApiOptions& options, std::string_view call, Expected<T> result) {
  if (options.observer) options.observer(call, result ? "ok" : reason(result.error().kind));
  return result;
}

bool is_legal(const Robot& robot) {
  return legal_name(robot.name) && (robot.organization.empty() || legal_name(robot.organization));
}

Error illegal(const Call& call) {
  return {Error::Kind::illegal_name,
          call.subject + " has no legal name for Quay (nothing was sent)", std::nullopt, false};
}

http::Request request_of(const Robot& robot, const SecretString& api_token) {
  http::Request request;
  request.target = path_of(robot);
  request.headers = {{"Accept", "application/json"}};
  request.authorization = SecretString::copy_of("Bearer ");
  request.authorization.append(api_token.reveal());
  return request;
}

}  // namespace

Expected<FederatedCredential> FederationApi::exchange(const std::string& robot,
                                                      const SecretString& identity,
                                                      const std::stop_token& stop) {
  const Call call{Call::Kind::exchange, origin_, "robot " + robot};
  const std::size_t plus = robot.find('+');
  if (plus == std::string::npos || !legal_name(robot.substr(0, plus)) ||
      !legal_name(robot.substr(plus + 1))) {
    return tl::unexpected(illegal(call));
  }
  SecretString user = SecretString::copy_of(robot + ":");
  user.append(identity.reveal());
  http::Request request;
  request.target = "/oauth2/federation/robot/token";
  request.headers = {{"Accept", "application/json"}};
  request.authorization = SecretString::copy_of("Basic ");
  request.authorization.append(base::base64_encode(user.reveal()).reveal());
  const auto response =
      success_of(call, transport_.send(request, {options_.deadline, most_answer, stop}));
  return observed(options_, "federation-exchange",
                  response ? read_credential(call, robot, *response)
                           : Expected<FederatedCredential>(tl::unexpected(response.error())));
}

Expected<FederationList> FederationApi::read(const Robot& robot, const SecretString& api_token,
                                             const std::stop_token& stop) {
  const Call call = call_of(origin_, robot);
  if (!is_legal(robot)) return tl::unexpected(illegal(call));
  const auto response = success_of(
      call, transport_.send(request_of(robot, api_token), {options_.deadline, most_answer, stop}));
  return observed(options_, "federation-get",
                  response ? read_list(call, *response)
                           : Expected<FederationList>(tl::unexpected(response.error())));
}

Expected<void> FederationApi::write(const Robot& robot, const FederationList& list,
                                    const SecretString& api_token, const std::stop_token& stop) {
  const Call call = call_of(origin_, robot);
  if (!is_legal(robot)) return tl::unexpected(illegal(call));
  nlohmann::json body = nlohmann::json::array();
  for (const FederationEntry& entry : list) {
    body.push_back({{"issuer", entry.issuer}, {"subject", entry.subject}});
  }
  http::Request request = request_of(robot, api_token);
  request.method = http::Method::post;
  request.content_type = "application/json";
  request.body = SecretString(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  const auto response =
      success_of(call, transport_.send(request, {options_.deadline, most_answer, stop}));
  return observed(options_, "federation-set",
                  response ? Expected<void>() : Expected<void>(tl::unexpected(response.error())));
}

}  // namespace quay_rotator::quay
