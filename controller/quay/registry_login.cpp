#include "quay/registry_login.h"

#include <utility>

#include "base/base64.h"
#include "base/secret_json.h"
#include "http/url.h"
#include "quay/answers.h"
#include "quay/challenge.h"

namespace quay_rotator::quay {
namespace {

using base::SecretString;
using Kind = Error::Kind;

constexpr std::size_t most_body = 64U << 10U;

Error make(Kind kind, const Call& call, std::string_view what, std::string_view advice) {
  return {kind,
          "the registry at " + call.origin + " " + std::string(what) + " (" + call.doing() +
              "): " + std::string(advice),
          std::nullopt, false};
}

Error unavailable(const Call& call, int status) {
  if (status == 500) {
    return make(Kind::registry_unavailable, call,
                "failed inside (500), which says nothing about the credential",
                "look at Quay's log: with a broken audit log good logins fail so; the login is "
                "tried again");
  }
  return make(Kind::registry_unavailable, call,
              "gave an answer with status " + std::to_string(status) +
                  " that says nothing about the credential",
              "look at Quay's log and at what stands in front of it; the login is tried again");
}

// Is there a registry token in it? Its value is nobody's business.
class TokenFinder : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path.size() == 1 && (path[0] == "token" || path[0] == "access_token")) {
      found = found || !value.empty();
    }
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  bool found = false;
};

// Quay's 401 has one code for everything; only its words tell what is wrong.
Error meaning_of_401(const Call& call, const http::Response& response) {
  const ErrorBody body = read_error_body(response.body.reveal());
  if (!body.errors) return unavailable(call, 401);
  if (body.says("Robot account have been disabled")) {
    return make(Kind::robots_disallowed, call, "does not let robots log in",
                "ROBOTS_DISALLOW is set in Quay's configuration; no rotation cures that: add the "
                "robot to ROBOTS_WHITELIST");
  }
  if (body.says("owner") && body.says("is disabled")) {
    return make(Kind::robot_owner_disabled, call, "says that the robot's owner is disabled",
                "enable the organization or user in Quay; no rotation cures that");
  }
  if (body.says("Could not find robot with specified username")) {
    return make(
        Kind::robot_unknown_to_registry, call, "knows no such robot",
        "create the robot in Quay and grant its rights on repositories again, or check that "
        "the registry belongs to that Quay");
  }
  return make(Kind::login_refused, call, "refused the robot's token",
              "it is not the token that Quay holds for the robot");
}

Expected<void> meaning_of(const Call& call, const http::Response& response) {
  switch (response.status) {
    case 200: {
      TokenFinder finder;
      if (base::visit_json(response.body.reveal(), finder) && finder.found) return {};
      return tl::unexpected(unavailable(call, 200));
    }
    case 401:
      return tl::unexpected(meaning_of_401(call, response));
    case 429:
      return tl::unexpected(refusal(call, response));
    default:
      if (response.status >= 300 && response.status < 400) {
        return tl::unexpected(redirection(call, response));
      }
      Error error = unavailable(call, response.status);
      error.retry_after = delay_asked_for(response);
      return tl::unexpected(std::move(error));
  }
}

Error failure_of(const Call& call, const http::Error& transport_error) {
  Error error = failure(call, transport_error);
  if (error.kind == Kind::unexpected_answer) error.kind = Kind::registry_unavailable;
  return error;
}

// Another token server, service or path: the next login asks for the challenge again.
bool may_be_stale(const Error& error, int status) {
  return error.kind == Kind::redirected ||
         (error.kind == Kind::registry_unavailable && status > 0 && status < 500);
}

// By hand and in wiped memory: a library would keep the password in plain strings.
SecretString basic(const RobotCredential& credential) {
  SecretString pair = SecretString::copy_of(credential.robot);
  pair.append(":");
  pair.append(credential.token.reveal());
  SecretString value = SecretString::copy_of("Basic ");
  value.append(base::base64_encode(pair.reveal()).reveal());
  return value;
}

void observe(const RegistryLoginOptions& options, std::string_view call, const Error* error) {
  if (options.observer) options.observer(call, error == nullptr ? "ok" : reason(error->kind));
}

}  // namespace

RegistryLogin::RegistryLogin(http::Transport& transport, std::string origin,
                             RegistryLoginOptions options)
    : transport_(transport), origin_(std::move(origin)), options_(std::move(options)) {}

Expected<RegistryLogin::Challenge> RegistryLogin::read_challenge(const std::string& robot,
                                                                 const std::stop_token& stop) {
  const Call call{Call::Kind::login, origin_, "robot " + robot};
  http::Request request;
  request.target = "/v2/";
  const auto response = transport_.send(request, {options_.deadline, most_body, stop});
  if (!response) return tl::unexpected(failure_of(call, response.error()));
  if (response->status >= 300 && response->status < 400) {
    return tl::unexpected(redirection(call, *response));
  }
  if (response->status == 429) return tl::unexpected(refusal(call, *response));
  if (response->status != 401 && response->status != 200) {
    if (response->status < 500) call_it("");
    return tl::unexpected(unavailable(call, response->status));
  }
  std::optional<BearerChallenge> bearer;
  for (const http::Header& header : response->headers) {
    http::Response one;
    one.headers = {header};
    if (!bearer && one.header("WWW-Authenticate")) bearer = parse_bearer_challenge(header.value);
  }
  if (!bearer) {
    call_it("");
    return tl::unexpected(make(Kind::realm_refused, call,
                               "did not name a token server (no Bearer challenge at /v2/)",
                               "check that the connection's url is a Quay with its registry"));
  }
  const auto realm = http::parse_url(bearer->realm);
  call_it(!bearer->service.empty() ? bearer->service : realm ? realm->authority() : "");
  const auto own = http::parse_url(origin_);
  std::shared_ptr<http::Transport> elsewhere;
  const bool at_home = realm && own && realm->origin() == own->origin();
  if (realm && !at_home && options_.open_realm) elsewhere = options_.open_realm(*realm);
  if (!at_home && !elsewhere) {
    return tl::unexpected(make(
        Kind::realm_refused, call,
        "sends logins to " +
            (realm ? place_seen_from(origin_, bearer->realm) : std::string("a malformed address")) +
            ", which would get the robot's token",
        "set the connection's url to what Quay calls itself (SERVER_HOSTNAME and "
        "PREFERRED_URL_SCHEME), or let an administrator name that host in "
        "--allowed-quay-hosts; curl -i " +
            origin_ + "/v2/ shows the realm"));
  }
  return Challenge{realm->target, std::move(bearer->service), std::move(elsewhere)};
}

Expected<RegistryLogin::Challenge> RegistryLogin::challenge(const std::string& robot,
                                                            const std::stop_token& stop) {
  {
    const base::Lock lock(mutex_);
    if (challenge_) return *challenge_;
  }
  auto read = read_challenge(robot, stop);
  observe(options_, "registry-challenge", read ? nullptr : &read.error());
  if (read) {
    const base::Lock lock(mutex_);
    challenge_ = *read;
  }
  return read;
}

void RegistryLogin::call_it(std::string name) {
  const base::Lock lock(mutex_);
  name_ = std::move(name);
}

std::optional<std::string> RegistryLogin::self_given_name(const std::stop_token& stop) {
  {
    const base::Lock lock(mutex_);
    if (name_) return name_;
  }
  // A challenge that cannot be used tells the name all the same.
  static_cast<void>(challenge("", stop));
  const base::Lock lock(mutex_);
  return name_;
}

Expected<void> RegistryLogin::prepare(const std::string& robot, const std::stop_token& stop) {
  const auto read = challenge(robot, stop);
  if (!read) return tl::unexpected(read.error());
  return {};
}

bool RegistryLogin::prepared() {
  const base::Lock lock(mutex_);
  return challenge_.has_value();
}

Expected<void> RegistryLogin::login(const RobotCredential& credential,
                                    const std::stop_token& stop) {
  const auto where = challenge(credential.robot, stop);
  if (!where) return tl::unexpected(where.error());

  const Call call{Call::Kind::login, origin_, "robot " + credential.robot};
  http::Request request;
  request.target = where->target;
  if (!where->service.empty()) {
    request.target += where->target.find('?') == std::string::npos ? '?' : '&';
    request.target += "service=" + http::percent_encode(where->service);
  }
  request.headers = {{"Accept", "application/json"}};
  request.authorization = basic(credential);
  http::Transport& transport = where->elsewhere ? *where->elsewhere : transport_;
  const auto response = transport.send(request, {options_.deadline, most_body, stop});
  Expected<void> result =
      response ? meaning_of(call, *response) : tl::unexpected(failure_of(call, response.error()));
  if (!result && may_be_stale(result.error(), response ? response->status : 0)) {
    const base::Lock lock(mutex_);
    challenge_.reset();
  }
  observe(options_, "registry-login", result ? nullptr : &result.error());
  return result;
}

}  // namespace quay_rotator::quay
