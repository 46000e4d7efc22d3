#include "quay/answers.h"

#include <algorithm>

#include "base/secret_json.h"
#include "http/url.h"

namespace quay_rotator::quay {
namespace {

using Kind = Error::Kind;

class ErrorBodyReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    const bool of_registry = path.size() == 3 && path[0] == "errors" && path[2] == "message";
    if (!of_registry && path.size() != 1) return;
    const std::string& key = path.back();
    if (key == "error_type") {
      body.type = value;
    } else if ((of_registry || key == "error" || key == "message" || key == "detail") &&
               body.text.empty()) {
      body.text = value;
    }
  }
  void on_other(const base::JsonPath& path) override {
    if (path.size() == 1 && path[0] == "is_readonly") body.read_only = true;
  }
  void on_begin(const base::JsonPath& path) override {
    if (path.size() == 2 && path[0] == "errors") body.errors = true;
  }
  void on_end(const base::JsonPath& /*path*/) override {}

  ErrorBody body;
};

// What a status and body say; `what` and `advice` are the message's two halves.
struct Meaning {
  Kind kind;
  bool before_commit;  // known to be said before Quay changes anything
  std::string what;
  std::string advice;
};

Meaning token_refused(bool before_commit) {
  return {Kind::api_token_refused, before_commit, "refused the API token",
          "it is unknown, expired or deleted, or its user is disabled; put a valid token into the "
          "connection's Secret"};
}

Meaning no_meaning(int status) {
  return {Kind::unexpected_answer, false,
          "gave an answer with status " + std::to_string(status) + " that is not Quay's",
          "check the url and whether a proxy answers in Quay's place"};
}

Meaning no_such_robot() {
  return {Kind::robot_not_found, true, "knows no such robot",
          "check spec.robot, or create the robot in Quay; one that is made anew has none of the "
          "rights on repositories that it had: grant them again"};
}

Meaning no_such_organization(const Call& call) {
  return {Kind::organization_not_found, true, "knows no such organization",
          call.of_user ? "check whose the API token is: robots without an organization are its "
                         "user's"
                       : "check spec.robot.organization; leave it out for a user's robot"};
}

Meaning meaning_of_400(const Call& call, const ErrorBody& body) {
  if (body.says("Organization does not exist")) return no_such_organization(call);
  if (body.says("Could not find robot with")) return no_such_robot();
  return no_meaning(400);
}

Meaning meaning_of_401(const ErrorBody& body) {
  if (body.says("Issuer") && body.says("not configured")) {
    return {Kind::api_token_foreign, true,
            "does not know the issuer of the API token, which is a JWT of another system",
            "put an OAuth token that was made in this Quay into the connection's Secret"};
  }
  if (body.text.empty() && body.type.empty()) return no_meaning(401);
  return token_refused(body.type.find("token") != std::string::npos);
}

Meaning meaning_of_403(const Call& call, const ErrorBody& body) {
  // To a token with user:admin alone Quay says it in other words where both scopes are needed.
  const bool read_protected =
      call.kind == Call::Kind::compare && body.says("don't have the permission to access");
  const bool insufficient = body.type == "insufficient_scope" || read_protected;
  if (insufficient && call.of_user) {
    return {Kind::insufficient_scope, true, "does not let the API token do this",
            "for a user's robots it needs the scope user:admin, and its user must be the one whose "
            "robots these are"};
  }
  if (insufficient) {
    return {Kind::insufficient_scope, true, "does not let the API token do this",
            "it needs the scope org:admin, granted by an administrator of the organization; or "
            "there is no such organization: Quay answers both alike"};
  }
  // To a POST with a dead token Quay says this in place of a 401.
  if (body.says("CSRF token")) return token_refused(true);
  return no_meaning(403);
}

Meaning meaning_of_5xx(const Call& call, int status, const ErrorBody& body) {
  switch (status) {
    case 502:
      return {Kind::starting_up, false, "is starting or its workers are down (502)",
              "wait, or look at Quay's pods"};
    case 503:
      if (body.read_only) {
        return {Kind::read_only, true, "is read-only", "end its read-only mode; tokens stay valid"};
      }
      return {Kind::starting_up, false, "is not available (503)",
              "wait, or look at Quay's pods and what stands in front of them"};
    case 504:
      return {Kind::too_slow, false, "did not answer its own proxy in time (504)",
              "look at Quay's database and load"};
    default:
      return {Kind::server_error, false, "failed inside (" + std::to_string(status) + ")",
              call.kind == Call::Kind::regenerate
                  ? "look at Quay's log: its audit log may be broken, which fails after the token "
                    "has changed, or its database, which fails before"
                  : "look at Quay's log: its database may be broken; when it is this robot alone, "
                    "and no rotation of it is under way, regenerate its token in Quay"};
  }
}

// Quay asks the token's issuer, the cluster's API server, for its keys at each exchange. What fails
// there it does not tell, but by an answer that it gives for much else, too.
Meaning exchange_failed(int status) {
  const bool workers = status == 502;
  return {workers ? Kind::starting_up : Kind::server_error, true,
          "failed inside (" + std::to_string(status) + ")",
          std::string(workers ? "it is starting, or it cannot reach the issuer"
                              : "the issuer does not know the key that signed the token (its keys "
                                "were replaced), or Quay does not trust its certificate") +
              ": it must get /.well-known/openid-configuration and its jwks_uri from the cluster's "
              "--service-account-issuer over https without a login; Quay's log says more"};
}

bool is_of_federation(const Call& call) {
  return call.kind == Call::Kind::exchange || call.kind == Call::Kind::federation;
}

// An old Quay sends paths that it does not know to others of its own.
bool is_unknown_path(int status) {
  return status == 404 || status == 405 || status == 308;
}

// Nothing: as of any other call.
std::optional<Meaning> meaning_of_exchange(int status, const ErrorBody& body) {
  if (status == 500 || status == 502) return exchange_failed(status);
  if (status == 401) {
    return Meaning{Kind::identity_refused, true, "does not accept the login for the exchange",
                   "check spec.robot, and whether a proxy drops the Authorization header"};
  }
  if (status != 400) return std::nullopt;
  if (body.says("not configured for this robot") || body.says("does not have federated login")) {
    return Meaning{Kind::not_federated, true,
                   "does not take tokens of the cluster's issuer for the robot",
                   "set strategy.federate.manage, or put the ServiceAccount's issuer and subject "
                   "into the robot's federation"};
  }
  if (body.says("Token does not match robot")) {
    return Meaning{Kind::not_federated, true,
                   "takes tokens of other ServiceAccounts for the robot, and not of this one",
                   "set strategy.federate.manage, or put the subject system:serviceaccount:"
                   "NAMESPACE:NAME into the robot's federation"};
  }
  if (body.says("Invalid token")) {
    return Meaning{Kind::identity_refused, true, "does not accept the ServiceAccount's token",
                   "its clock may be wrong, or the issuer tells it other keys than those that the "
                   "API server signs with"};
  }
  return std::nullopt;
}

Meaning meaning_of(const Call& call, const http::Response& response) {
  const ErrorBody body = read_error_body(response.body.reveal());
  if (is_of_federation(call) && is_unknown_path(response.status)) {
    return {Kind::no_federation_api, true,
            "knows no federation of robots (" + std::to_string(response.status) + ")",
            "it needs Quay 3.13 or later, and 3.18 for a user's robot; else use the strategy "
            "Regenerate"};
  }
  if (call.kind == Call::Kind::exchange) {
    if (auto meaning = meaning_of_exchange(response.status, body)) return std::move(*meaning);
  }
  switch (response.status) {
    case 400:
      return meaning_of_400(call, body);
    case 401:
      return meaning_of_401(body);
    case 403:
      return meaning_of_403(call, body);
    case 404:
      // A user's name lists that user's robots and has no default permissions.
      if (call.kind == Call::Kind::compare && body.type == "not_found") {
        return no_such_organization(call);
      }
      return {Kind::no_robots_api, body.json && body.text == "not found", "has no robots API (404)",
              "check the url; the small mirror registry has none"};
    case 429:
      return {Kind::rate_limited, true, "limits the rate of requests (429)",
              "lower rateLimit of the connection, or raise Quay's limit"};
    default:
      if (response.status >= 500) return meaning_of_5xx(call, response.status, body);
      return no_meaning(response.status);
  }
}

constexpr std::string_view no_administrator =
    "the owner of the API token may read the robots but not administer them; use an API token of "
    "an administrator of the organization";

// Only a regeneration changes anything; what else is told to a person is in one place, here.
Error error(const Call& call, Kind kind, std::string_view message, bool before_commit) {
  Error made;
  made.kind = kind;
  made.maybe_changed = call.kind == Call::Kind::regenerate && !before_commit;
  made.message = message;
  if (made.maybe_changed) made.message += "; the token may have changed, reading it will tell";
  return made;
}

std::string sentence(const Call& call, std::string_view what, std::string_view advice) {
  return "Quay at " + call.origin + " " + std::string(what) + " (" + call.doing() +
         "): " + std::string(advice);
}

}  // namespace

std::string Call::doing() const {
  switch (kind) {
    case Kind::get:
      return "reading " + subject;
    case Kind::regenerate:
      return "regenerating the token of " + subject;
    case Kind::list:
      return "listing the robots of " + subject;
    case Kind::probe:
      return "trying the API token";
    case Kind::compare:
      return "comparing the rights of " + subject;
    case Kind::log:
      return "reading the log about " + subject;
    case Kind::exchange:
      return "exchanging a ServiceAccount's token for a credential of " + subject;
    case Kind::federation:
      return "looking after the federation of " + subject;
    case Kind::login:
      break;
  }
  return "logging in at the registry as " + subject;
}

std::string place_seen_from(std::string_view origin, std::string_view place) {
  if (place.starts_with('/') && !place.starts_with("//")) return "another path of itself";
  const auto own = http::parse_url(origin);
  const auto other = http::parse_url(place);
  if (!own || !other || own->host != other->host) return "another host";
  if (own->scheme != other->scheme) return other->scheme + ":// at its own host";
  return own->port == other->port ? "another path of itself" : "another port of its host";
}

ErrorBody read_error_body(std::string_view body) {
  ErrorBodyReader reader;
  if (!base::visit_json(body, reader)) return {};
  reader.body.json = true;
  return std::move(reader.body);
}

std::optional<base::Duration> delay_asked_for(const http::Response& response) {
  constexpr base::Duration most = std::chrono::minutes(5);
  const auto asked = response.retry_after();
  if (!asked) return std::nullopt;
  return std::min<base::Duration>(*asked, most);
}

Error refusal(const Call& call, const http::Response& response) {
  const bool redirects = response.status >= 300 && response.status < 400;
  if (redirects && !(is_of_federation(call) && is_unknown_path(response.status))) {
    return redirection(call, response);
  }
  const Meaning meaning = meaning_of(call, response);
  Error made = error(call, meaning.kind, sentence(call, meaning.what, meaning.advice),
                     meaning.before_commit);
  made.retry_after = delay_asked_for(response);
  return made;
}

Error failure(const Call& call, const http::Error& error_of_transport) {
  using From = http::Error::Kind;
  Kind kind = Kind::unreachable;
  std::string_view advice;  // where the transport, which knows of no connection, has none
  switch (error_of_transport.kind) {
    case From::invalid_request:
      kind = Kind::api_token_unusable;  // paths are made of legal names only
      break;
    case From::tls:
      kind = Kind::tls;
      advice = "; set ca of the connection, or correct its url";
      break;
    case From::too_large:
    case From::malformed:
      kind = Kind::unexpected_answer;
      advice = "; check the url and whether a proxy answers in Quay's place";
      break;
    case From::not_allowed:
      kind = Kind::host_not_allowed;
      advice = "; correct the connection's url or proxyURL";
      break;
    case From::cancelled:
      kind = Kind::cancelled;
      break;
    case From::name_not_found:
    case From::unreachable:
      break;
    case From::timeout:
    case From::connection_lost:
      advice = "; look at Quay's log and load, and at what stands in front of it";
      break;
  }
  return error(call, kind, call.doing() + ": " + error_of_transport.message + std::string(advice),
               !error_of_transport.maybe_sent);
}

Error redirection(const Call& call, const http::Response& response) {
  const std::string where = place_seen_from(call.origin, response.header("Location").value_or(""));
  // Quay redirects permanently, before its application sees the request; other redirects are
  // somebody else's, who may have asked Quay first.
  const bool before_commit = response.status == 301 || response.status == 308;
  return error(call, Kind::redirected,
               sentence(call, "redirects to " + where,
                        "redirects are not followed; set the connection's url to where Quay "
                        "itself answers"),
               before_commit);
}

Error unexpected(const Call& call, std::string_view what) {
  return error(call, Kind::unexpected_answer,
               sentence(call, what, "check the url and whether a proxy answers in Quay's place"),
               false);
}

Error wrong_robot(const Call& call) {
  return error(call, Kind::wrong_robot,
               sentence(call, "answered with another robot than the one asked for",
                        "check whether a proxy mixes up answers"),
               false);
}

Error token_missing(const Call& call) {
  return error(call, Kind::token_missing,
               sentence(call, "left the token out of its answer", no_administrator), false);
}

Error rights_missing(const Call& call) {
  return error(call, Kind::insufficient_scope,
               sentence(call, "left the robot's rights out of its answer", no_administrator),
               false);
}

Error robot_missing(const Call& call) {
  const Meaning meaning = no_such_robot();
  return error(call, meaning.kind, sentence(call, meaning.what, meaning.advice),
               meaning.before_commit);
}

}  // namespace quay_rotator::quay
