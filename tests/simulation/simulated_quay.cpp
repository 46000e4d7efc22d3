#include "simulation/simulated_quay.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr std::string_view user = "admin";  // who granted the API token
constexpr std::size_t token_size = 64;

Reply json_reply(int status, const json& body) {
  return {status, body.dump(), {{"Content-Type", "application/json"}}};
}

Reply html(int status) {
  return {status, "<html><body><h1>Quay</h1></body></html>", {{"Content-Type", "text/html"}}};
}

Reply unauthorized(const std::string& message) {
  return json_reply(
      401, {{"errors", {{{"code", "UNAUTHORIZED"}, {"detail", {}}, {"message", message}}}}});
}

json robot_json(const std::string& name, const std::string& token) {
  return {{"name", name},
          {"created", "Fri, 10 May 2024 17:46:02 -0000"},
          {"last_accessed", nullptr},
          {"description", ""},
          {"token", token}};
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

}  // namespace

SimulatedQuay::SimulatedQuay(testing::VirtualExecutor& world, std::uint64_t seed)
    : world_(world), dice_(seed), api_token_(new_token()) {}

std::string SimulatedQuay::new_token() {
  std::string token = std::string(token_mark) + std::to_string(++tokens_) + "X";
  while (token.size() < token_size) token += static_cast<char>('A' + dice_.below(26));
  return token;
}

void SimulatedQuay::add_robot(const std::string& full_name) {
  robots_[full_name].token = new_token();
}

void SimulatedQuay::regenerate_in_ui(const std::string& full_name) {
  catch_up();
  Robot& robot = robots_.at(full_name);
  robot.token = new_token();
  robot.in_ui = true;
}

const std::string& SimulatedQuay::replace_api_token() {
  return api_token_ = new_token();
}

std::string SimulatedQuay::token(const std::string& full_name) {
  catch_up();
  const auto found = robots_.find(full_name);
  return found == robots_.end() ? "" : found->second.token;
}

int SimulatedQuay::commits(const std::string& full_name) {
  catch_up();
  return robots_.at(full_name).commits;
}

void SimulatedQuay::commit(const std::string& full_name) {
  Robot& robot = robots_.at(full_name);
  robot.token = new_token();
  ++robot.commits;
  if (on_commit) on_commit(full_name);
}

void SimulatedQuay::commit_late(const std::string& full_name) {
  late_.push_back({world_.now() + dice_.between({}, latest_commit), full_name});
}

// Commits whose time has come, before anybody looks.
void SimulatedQuay::catch_up() {
  std::ranges::stable_sort(late_, {}, &LateCommit::time);
  while (!late_.empty() && late_.front().time <= world_.now()) {
    const std::string robot = late_.front().robot;
    late_.erase(late_.begin());
    commit(robot);
  }
}

Journey SimulatedQuay::journey() {
  Journey journey = draw_journey(dice_, faults.network);
  journey.refused = journey.refused || down;
  return journey;
}

Reply SimulatedQuay::handle(const Message& message, base::Executor& /*caller*/) {
  ++requests_;
  catch_up();
  if (on_request) on_request(message);
  std::string_view path = message.target;
  if (take_prefix(path, "/v2/")) return registry(message, path);
  if (take_prefix(path, "/api/v1/")) return api(message, path);
  return html(404);
}

Reply SimulatedQuay::api(const Message& message, std::string_view path) {
  const bool posted = message.method == http::Method::post;
  if (dice_.chance(faults.bad_gateway)) return html(502);
  if (dice_.chance(faults.rate_limited)) return html(429);
  if (message.authorization != "Bearer " + api_token_) {
    if (posted) {
      return {403,
              R"({"error": "CSRF token was invalid or missing."})",
              {{"Content-Type", "text/html"}}};
    }
    return json_reply(401, {{"detail", "Requires authentication"},
                            {"error_message", "Requires authentication"},
                            {"error_type", "invalid_token"},
                            {"title", "invalid_token"},
                            {"status", 401}});
  }

  path = path.substr(0, path.find('?'));
  std::string owner(user);
  if (take_prefix(path, "organization/")) {
    const std::size_t end = path.find('/');
    owner = path.substr(0, end);
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
  } else if (!take_prefix(path, "user/")) {
    return html(404);
  }
  if (!take_prefix(path, "robots")) return html(404);
  if (posted && read_only) {
    return json_reply(503, {{"is_readonly", true},
                            {"message",
                             "System is currently read-only. Pulls will succeed but "
                             "all write operations are currently suspended."}});
  }
  if (path.empty()) {
    json list = json::array();
    for (const auto& [name, robot] : robots_) {
      if (name.starts_with(owner + "+")) list.push_back(robot_json(name, robot.token));
    }
    if (dice_.chance(faults.broken_before)) return html(500);
    return json_reply(200, {{"robots", std::move(list)}});
  }
  const bool regenerating = take_suffix(path, "/regenerate");
  if (!take_prefix(path, "/") || regenerating != posted) return html(405);
  const std::string name = owner + "+" + std::string(path);
  const auto robot = robots_.find(name);
  if (robot == robots_.end()) {
    return json_reply(400, {{"message", "Could not find robot with specified username"}});
  }
  if (posted) return regenerate(name);
  if (dice_.chance(faults.broken_before)) return html(500);
  if (dice_.chance(faults.gateway_timeout)) return html(504);
  return json_reply(200, robot_json(name, robot->second.token));
}

Reply SimulatedQuay::regenerate(const std::string& full_name) {
  if (on_regenerate) on_regenerate(full_name);
  if (dice_.chance(faults.broken_before)) return html(500);
  if (dice_.chance(faults.late_commit)) {
    commit_late(full_name);
    Reply reply;
    reply.lost = true;
    return reply;
  }
  if (dice_.chance(faults.gateway_timeout)) {
    if (dice_.chance(0.5)) commit_late(full_name);
    return html(504);
  }
  commit(full_name);
  if (dice_.chance(faults.broken_after)) return html(500);
  Reply reply = json_reply(200, robot_json(full_name, robots_.at(full_name).token));
  if (dice_.chance(faults.unreadable)) reply.body.resize(reply.body.size() / 2);
  return reply;
}

Reply SimulatedQuay::registry(const Message& message, std::string_view path) const {
  if (path.empty()) {
    Reply reply = unauthorized("authentication required");
    reply.headers.push_back({"WWW-Authenticate", "Bearer realm=\"" + std::string(origin) +
                                                     "/v2/auth\",service=\"quay.example.com\""});
    return reply;
  }
  if (!take_prefix(path, "auth")) return html(404);
  std::string_view authorization = message.authorization;
  if (!take_prefix(authorization, "Basic ")) return json_reply(200, {{"token", "anonymous"}});
  const auto pair = base::base64_decode(authorization);
  const std::string_view text = pair ? pair->reveal() : std::string_view();
  const std::size_t colon = text.find(':');
  const auto robot = robots_.find(std::string(text.substr(0, colon)));
  if (robot == robots_.end()) return unauthorized("Could not find robot with specified username");
  if (colon == std::string_view::npos || text.substr(colon + 1) != robot->second.token) {
    return unauthorized("Could not find robot with username: " + robot->first +
                        " and supplied password.");
  }
  return json_reply(200, {{"token", "a-registry-bearer"}});
}

tl::expected<std::unique_ptr<http::Transport>, http::Error> QuayConnections::open(
    http::Endpoint endpoint) {
  if (endpoint.origin != SimulatedQuay::origin) {
    return tl::unexpected(
        http::Error{http::Error::Kind::invalid_request, "no such host in this world", false});
  }
  return std::make_unique<Connection>(process_, quay_);
}

}  // namespace quay_rotator::simulation
