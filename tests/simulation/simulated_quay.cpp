#include "simulation/simulated_quay.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "http/url.h"

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

Reply insufficient_scope() {
  return json_reply(403, {{"detail", "Unauthorized"},
                          {"error_message", "Unauthorized"},
                          {"error_type", "insufficient_scope"},
                          {"title", "insufficient_scope"},
                          {"status", 403}});
}

// "Sat, 28 Nov 2026 07:19:59 -0000"
std::string date(base::WallTime time) {
  constexpr std::string_view days = "SunMonTueWedThuFriSat";
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::string text = base::format_time(time);  // 2026-11-28T07:19:59Z
  const auto month = static_cast<std::size_t>(std::stoul(text.substr(5, 2)) - 1);
  return std::string(days.substr(3 * std::chrono::weekday(day).c_encoding(), 3)) + ", " +
         text.substr(8, 2) + " " + std::string(months.substr(3 * month, 3)) + " " +
         text.substr(0, 4) + " " + text.substr(11, 8) + " -0000";
}

json robot_json(const std::string& name, const std::string& token,
                std::optional<base::WallTime> last_accessed) {
  return {{"name", name},
          {"created", "Fri, 10 May 2024 17:46:02 -0000"},
          {"last_accessed", last_accessed ? json(date(*last_accessed)) : json()},
          {"description", ""},
          {"token", token}};
}

std::string owner_of(const std::string& full_name) {
  return full_name.substr(0, full_name.find('+'));
}

bool asks(std::string_view query, std::string_view parameter) {
  return query.find(parameter) != std::string_view::npos;
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

SimulatedQuay::SimulatedQuay(testing::VirtualExecutor& world, std::uint64_t seed, std::string host)
    : service(host), world_(world), dice_(seed), host_(std::move(host)), api_token_(new_token()) {}

std::string SimulatedQuay::new_token() {
  std::string token = std::string(token_mark) + std::to_string(++tokens_) + "X";
  while (token.size() < token_size) token += static_cast<char>('A' + dice_.below(26));
  return token;
}

void SimulatedQuay::add_robot(const std::string& full_name) {
  robots_[full_name].token = new_token();
}

void SimulatedQuay::restore_robot(std::string full_name) {  // a copy: it may be the set's own
  troubles.robots_missing.erase(full_name);
  regenerate_in_ui(full_name);
}

bool SimulatedQuay::exists(const std::string& full_name) const {
  return robots_.contains(full_name) && !troubles.robots_missing.contains(full_name);
}

bool SimulatedQuay::met(bool trouble, FaultKind kind, const Message& message, Process& caller) {
  if (trouble && on_fault) on_fault(kind, message, caller);
  return trouble;
}

void SimulatedQuay::regenerate_in_ui(const std::string& full_name) {
  catch_up();
  if (!exists(full_name)) return;
  Robot& robot = robots_.at(full_name);
  replace(robot, new_token());
  robot.in_ui = true;
  log(full_name, LogEntry::Kind::by_hand);
}

bool SimulatedQuay::put_back(const std::string& full_name) {
  catch_up();
  if (!exists(full_name) || robots_.at(full_name).past.empty()) return false;
  Robot& robot = robots_.at(full_name);
  replace(robot, robot.past.back().token);
  robot.in_ui = robot.put_back = true;
  return true;
}

void SimulatedQuay::replace(Robot& robot, std::string token) {
  if (!robot.token.empty()) robot.past.push_back({robot.token, world_.now()});
  robot.token = std::move(token);
}

const std::string& SimulatedQuay::seen(const Robot& robot, double rate, const Message& message,
                                       Process& caller) {
  const base::MonotonicTime then = world_.now() - faults.lag;
  const auto past =
      std::ranges::find_if(robot.past, [&](const Past& it) { return it.until > then; });
  if (past == robot.past.end()) return robot.token;
  return strikes(dice_, rate, FaultKind::quay_stale_read, message, caller) ? past->token
                                                                           : robot.token;
}

const std::string& SimulatedQuay::replace_api_token() {
  return api_token_ = new_token();
}

std::string SimulatedQuay::token(const std::string& full_name) {
  catch_up();
  return token_seen(full_name);
}

std::string SimulatedQuay::token_seen(const std::string& full_name) const {
  const auto found = robots_.find(full_name);
  return found == robots_.end() || !exists(full_name) ? "" : found->second.token;
}

std::optional<base::MonotonicTime> SimulatedQuay::has_since(const std::string& full_name,
                                                            const std::string& token) const {
  const auto found = robots_.find(full_name);
  if (found == robots_.end() || found->second.token != token) return std::nullopt;
  const std::vector<Past>& past = found->second.past;
  return past.empty() ? base::MonotonicTime{} : past.back().until;
}

int SimulatedQuay::commits(const std::string& full_name) {
  catch_up();
  return robots_.at(full_name).commits;
}

void SimulatedQuay::commit(const Post& post) {
  if (!exists(post.robot)) return;
  Robot& robot = robots_.at(post.robot);
  replace(robot, new_token());
  ++robot.commits;
  if (!troubles.audit_broken) log(post.robot, LogEntry::Kind::by_api);
  if (on_commit) on_commit(post, robot.token);
}

void SimulatedQuay::commit_late(Post post) {
  post.beyond = dice_.chance(faults.beyond);
  const base::Duration delay =
      post.beyond ? dice_.between(hold, 2 * hold) : dice_.between({}, latest_commit());
  late_.push_back({world_.now() + delay, std::move(post)});
}

// Commits whose time has come, before anybody looks.
void SimulatedQuay::catch_up() {
  std::ranges::stable_sort(late_, {}, &LateCommit::time);
  while (!late_.empty() && late_.front().time <= world_.now()) {
    Post post = late_.front().post;
    post.late = true;
    late_.erase(late_.begin());
    commit(post);
  }
}

base::Duration SimulatedQuay::held(const Message& message) {
  const bool posts = message.method == http::Method::post;
  return posts && dice_.chance(faults.held) ? faults.held_for : base::Duration{};
}

Journey SimulatedQuay::journey(const Message& message, Process& caller) {
  if (message.held > base::Duration{} && on_fault) {
    on_fault(FaultKind::freeze_before_send, message, caller);
  }
  Journey journey = draw_journey(dice_, faults.network,
                                 {FaultKind::quay_refused, FaultKind::quay_request_lost,
                                  FaultKind::quay_answer_lost, FaultKind::quay_slow},
                                 message, caller);
  if (met(troubles.down, FaultKind::quay_down, message, caller)) journey.refused = true;
  if (!troubles.posts_only || message.method == http::Method::post) {
    journey.back += troubles.answers_after;
  }
  if (const auto later = hostility.delay(message)) {
    met(true, later->first, message, caller);
    journey.back += later->second;
  }
  return journey;
}

Reply SimulatedQuay::handle(const Message& message, Process& caller) {
  ++requests_;
  catch_up();
  if (on_request) on_request(message);
  if (auto hostile = hostility.answer(message, caller, dice_)) {
    met(true, hostile->first, message, caller);
    return std::move(hostile->second);
  }
  if (strikes(dice_, faults.retry_after, FaultKind::quay_retry_after, message, caller)) {
    // What is in front of it answers, at times after it has passed the request on.
    if (message.method == http::Method::post && dice_.chance(0.5)) answer(message, caller);
    Reply reply = html(503);
    reply.headers.push_back({"Retry-After", "3600"});
    return reply;
  }
  Reply reply = answer(message, caller);
  reply.headers.push_back({"Date", date(world_.wall_now())});
  return reply;
}

Reply SimulatedQuay::answer(const Message& message, Process& caller) {
  std::string_view path = message.target;
  if (strikes(dice_, faults.bad_gateway, FaultKind::quay_bad_gateway, message, caller)) {
    return html(502);
  }
  if (strikes(dice_, faults.rate_limited, FaultKind::quay_rate_limited, message, caller)) {
    return html(429);
  }
  if (take_prefix(path, "/v2/")) return registry(message, path, caller);
  if (take_prefix(path, "/api/v1/")) return api(message, path, caller);
  return html(404);
}

Reply SimulatedQuay::api(const Message& message, std::string_view path, Process& caller) {
  const bool posted = message.method == http::Method::post;
  if (message.authorization != "Bearer " + api_token_) {
    const bool foreign = message.authorization == "Bearer " + std::string(foreign_jwt);
    met(true, foreign ? FaultKind::api_token_foreign : FaultKind::api_token_replaced, message,
        caller);
    if (posted && foreign) {
      return {401,
              R"({"error": "Issuer https://accounts.example.com not configured"})",
              {{"Content-Type", "text/html"}}};
    }
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

  std::string_view query = path;
  path = path.substr(0, path.find('?'));
  query.remove_prefix(path.size());
  std::string owner(user);
  if (take_prefix(path, "organization/")) {
    const std::size_t end = path.find('/');
    owner = path.substr(0, end);
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
  } else if (!take_prefix(path, "user/")) {
    return html(404);
  }
  const bool of_prototypes = path == "prototypes" && owner != user;
  const bool of_logs = path == "logs";
  if (!of_prototypes && !of_logs && !take_prefix(path, "robots")) return html(404);
  if (met(troubles.no_rights || (troubles.no_rights_as_user && owner == user),
          FaultKind::quay_no_rights, message, caller)) {
    return insufficient_scope();
  }
  if (met(troubles.organization_missing && owner != user, FaultKind::organization_missing, message,
          caller)) {
    return json_reply(400, {{"message", "Organization does not exist: " + owner}});
  }
  if (posted && met(troubles.read_only, FaultKind::quay_read_only, message, caller)) {
    return json_reply(503, {{"is_readonly", true},
                            {"message",
                             "System is currently read-only. Pulls will succeed but "
                             "all write operations are currently suspended."}});
  }
  if (path.empty()) return list(owner, query, message, caller);
  const std::string_view what = take_suffix(path, "/regenerate")    ? "regenerate"
                                : take_suffix(path, "/permissions") ? "permissions"
                                                                    : "";
  if ((what == "regenerate") != posted) return html(405);
  if (of_prototypes || of_logs) {
    if (const auto failed = failed_read(message, caller)) return *failed;
    return of_logs ? logs(owner, query) : default_permissions(owner);
  }
  if (!take_prefix(path, "/")) return html(405);
  return robot(owner + "+" + std::string(path), what, message, caller);
}

std::optional<Reply> SimulatedQuay::failed_read(const Message& message, Process& caller) {
  if (strikes(dice_, faults.broken_before, FaultKind::quay_broken, message, caller)) {
    return html(500);
  }
  if (strikes(dice_, faults.gateway_timeout, FaultKind::quay_gateway_timeout, message, caller)) {
    return html(504);
  }
  return std::nullopt;
}

Reply SimulatedQuay::list(const std::string& owner, std::string_view query, const Message& message,
                          Process& caller) {
  json list = json::array();
  for (const auto& [name, robot] : robots_) {
    if (!name.starts_with(owner + "+")) continue;
    if (met(!exists(name), FaultKind::robot_missing, message, caller)) continue;
    json row =
        robot_json(name, seen(robot, faults.stale_reads, message, caller), robot.last_accessed);
    if (asks(query, "token=false")) row.erase("token");
    if (asks(query, "permissions=true")) {
      row["teams"] = row["repositories"] = json::array();
      for (const std::string& team : robot.rights.teams) row["teams"].push_back({{"name", team}});
      for (const auto& [name_of_repository, role] : robot.rights.repositories) {
        row["repositories"].push_back(name_of_repository);
      }
    }
    list.push_back(std::move(row));
  }
  if (const auto failed = failed_read(message, caller)) return *failed;
  return json_reply(200, {{"robots", std::move(list)}});
}

Reply SimulatedQuay::robot(const std::string& name, std::string_view what, const Message& message,
                           Process& caller) {
  if (what == "permissions" &&
      met(troubles.no_rights_as_user, FaultKind::quay_no_rights, message, caller)) {
    return insufficient_scope();  // that takes user:admin of every robot
  }
  if (!exists(name)) {
    met(true, FaultKind::robot_missing, message, caller);
    return json_reply(400, {{"message", "Could not find robot with specified username"}});
  }
  if (what == "regenerate") return regenerate(name, message, caller);
  if (what.empty() &&
      strikes(dice_, faults.undecryptable, FaultKind::quay_undecryptable, message, caller)) {
    return html(500);
  }
  if (const auto failed = failed_read(message, caller)) return *failed;
  const Robot& robot = robots_.at(name);
  if (what == "permissions") return permissions(robot.rights);
  return json_reply(
      200, robot_json(name, seen(robot, faults.stale_reads, message, caller), robot.last_accessed));
}

Reply SimulatedQuay::permissions(const Rights& rights) {
  json list = json::array();
  for (const auto& [repository, role] : rights.repositories) {
    list.push_back({{"repository", {{"name", repository}, {"is_public", false}}}, {"role", role}});
  }
  return json_reply(200, {{"permissions", std::move(list)}});
}

Reply SimulatedQuay::default_permissions(const std::string& owner) {
  json list = json::array();
  for (const auto& [name, robot] : robots_) {
    if (!exists(name) || owner_of(name) != owner) continue;
    for (const auto& [creator, role] : robot.rights.default_permissions) {
      list.push_back({{"activating_user", creator.empty() ? json() : json({{"name", creator}})},
                      {"delegate", {{"name", name}, {"kind", "user"}, {"is_robot", true}}},
                      {"role", role},
                      {"id", std::to_string(list.size())}});
    }
  }
  return json_reply(200, {{"prototypes", std::move(list)}});
}

// Twenty a page, the newest first; next_page is the number of the last entry there.
Reply SimulatedQuay::logs(const std::string& owner, std::string_view query) {
  constexpr std::string_view cursor = "next_page=";
  const std::size_t given = query.find(cursor);
  const std::uint64_t end = forgotten_ + log_.size();
  std::uint64_t number = end;
  if (given != std::string_view::npos) {
    const std::string_view text = query.substr(given + cursor.size());
    std::from_chars(text.data(), text.data() + text.size(), number);  // garbage is ignored
    number = std::min(number, end);
  }
  json page = json::array();
  while (number > forgotten_ && page.size() < 20) {
    const LogEntry& entry = log_[--number - forgotten_];
    if (owner_of(entry.robot) != owner) continue;
    const bool login = entry.kind == LogEntry::Kind::login;
    json row = {
        {"kind", login ? "login_success" : "regenerate_robot_token"},
        {"metadata", {{"robot", login ? entry.robot : entry.robot.substr(owner.size() + 1)}}},
        {"ip", "192.0.2.1"},
        {"datetime", date(entry.time)},
        {"performer", {{"name", login ? entry.robot : std::string(user)}}}};
    if (entry.kind == LogEntry::Kind::by_api) {
      row["metadata"]["oauth_token_application"] = "automation";
    }
    page.push_back(std::move(row));
  }
  json body = {{"logs", page}};
  if (!page.empty()) body["next_page"] = std::to_string(number);
  return json_reply(200, body);
}

void SimulatedQuay::log(const std::string& full_name, LogEntry::Kind kind) {
  constexpr std::size_t most = 1000;
  if (log_.size() == most) {
    log_.pop_front();
    ++forgotten_;
  }
  log_.push_back({world_.wall_now(), full_name, kind});
}

void SimulatedQuay::logged_in(const std::string& full_name) {
  if (troubles.read_only) return;
  auto& last = robots_.at(full_name).last_accessed;
  if (!last || world_.wall_now() - *last >= std::chrono::minutes(1)) last = world_.wall_now();
}

Reply SimulatedQuay::regenerate(const std::string& full_name, const Message& message,
                                Process& caller) {
  const auto struck = [&](double rate, FaultKind kind) {
    return strikes(dice_, rate, kind, message, caller);
  };
  const Post post{full_name, message.held, &caller, ++posts_};
  if (on_regenerate) on_regenerate(post);
  if (met(troubles.locked, FaultKind::quay_locked, message, caller)) {
    Reply reply = html(500);
    reply.delay = seconds(10);
    return reply;
  }
  if (struck(faults.broken_before, FaultKind::quay_broken)) return html(500);
  if (struck(faults.late_commit, FaultKind::quay_late_commit)) {
    commit_late(post);
    Reply reply;
    reply.lost = true;
    return reply;
  }
  if (struck(faults.gateway_timeout, FaultKind::quay_gateway_timeout)) {
    if (dice_.chance(0.5)) commit_late(post);
    return html(504);
  }
  const bool concurrent = struck(faults.concurrent, FaultKind::concurrent_post);
  const bool ours_is_last = dice_.chance(0.5);
  if (concurrent && ours_is_last) regenerate_in_ui(full_name);
  commit(post);
  const std::string token = robots_.at(full_name).token;
  if (concurrent && !ours_is_last) regenerate_in_ui(full_name);
  if (met(troubles.audit_broken, FaultKind::quay_audit_broken, message, caller) ||
      struck(faults.broken_after, FaultKind::quay_broken_after)) {
    return html(500);
  }
  Reply reply = json_reply(200, robot_json(full_name, token, robots_.at(full_name).last_accessed));
  if (struck(faults.unreadable, FaultKind::quay_unreadable)) {
    // Often behind the token: what cannot be read holds a secret all the same.
    reply.body.resize(reply.body.size() - 1 - dice_.below(reply.body.size() / 2));
  }
  return reply;
}

Reply SimulatedQuay::registry(const Message& message, std::string_view path, Process& caller) {
  if (path.empty()) {
    Reply reply{401, "true", {{"Content-Type", "text/html; charset=utf-8"}}};
    reply.headers.push_back({"WWW-Authenticate", "Bearer realm=\"" + origin() +
                                                     "/v2/auth\",service=\"" + service + "\""});
    return reply;
  }
  if (!take_prefix(path, "auth")) return html(404);
  if (met(troubles.locked, FaultKind::quay_locked, message, caller)) {
    Reply reply = html(504);
    reply.delay = seconds(60);
    return reply;
  }
  if (strikes(dice_, faults.broken_before, FaultKind::quay_broken, message, caller)) {
    return html(500);
  }
  if (strikes(dice_, faults.gateway_timeout, FaultKind::quay_gateway_timeout, message, caller)) {
    return html(504);
  }
  std::string_view authorization = message.authorization;
  if (!take_prefix(authorization, "Basic ")) return json_reply(200, {{"token", "anonymous"}});
  const auto pair = base::base64_decode(authorization);
  const std::string_view text = pair ? pair->reveal() : std::string_view();
  const std::size_t colon = text.find(':');
  const auto robot = robots_.find(std::string(text.substr(0, colon)));
  if (robot == robots_.end() || !exists(robot->first)) {
    if (robot != robots_.end()) met(true, FaultKind::robot_missing, message, caller);
    return unauthorized("Could not find robot with specified username");
  }
  if (met(troubles.robots_disallowed, FaultKind::robots_disallowed, message, caller)) {
    return unauthorized("Robot account have been disabled. Please contact your administrator.");
  }
  if (met(troubles.owner_disabled, FaultKind::owner_disabled, message, caller)) {
    return unauthorized("Robot " + robot->first + " owner " + owner_of(robot->first) +
                        " is disabled");
  }
  if (colon == std::string_view::npos ||
      text.substr(colon + 1) != seen(robot->second, faults.stale_logins, message, caller)) {
    return unauthorized("Could not find robot with username: " + robot->first +
                        " and supplied password.");
  }
  logged_in(robot->first);
  if (met(troubles.audit_broken, FaultKind::quay_audit_broken, message, caller)) return html(500);
  log(robot->first, LogEntry::Kind::login);
  return json_reply(200, {{"token", "a-registry-bearer"}});
}

SimulatedQuay* quay_at(const Quays& quays, std::string_view origin) {
  const auto found = std::ranges::find_if(quays, [&](const auto& quay) {
    return quay->origin() == origin || quay->aliases.contains(std::string(origin));
  });
  return found == quays.end() ? nullptr : found->get();
}

tl::expected<std::unique_ptr<http::Transport>, http::Error> QuayConnections::open(
    http::Endpoint endpoint) {
  SimulatedQuay* quay = quay_at(quays_, endpoint.origin);
  const auto proxy = http::parse_url(endpoint.proxy.value_or(""));
  SimulatedQuay* forger = proxy ? quay_at(quays_, "https://" + proxy->host) : nullptr;
  // Every CA here is a tenant's own, and no other server has a certificate of it.
  if (endpoint.ca_certificates.has_value() != (forger != nullptr)) {
    return tl::unexpected(http::Error{http::Error::Kind::tls, "an unknown authority", false});
  }
  if (forger != nullptr) quay = forger;
  if (quay == nullptr) {
    return tl::unexpected(
        http::Error{http::Error::Kind::name_not_found, "no such host in this world", false});
  }
  return std::make_unique<Connection>(process_, *quay);
}

}  // namespace quay_rotator::simulation
