#include "connection/session.h"

#include <utility>

#include "tenancy/ownership.h"

namespace quay_rotator::connection {

namespace {

bool is_token_refusal(const quay::Error& error) {
  return error.kind == quay::Error::Kind::api_token_refused ||
         error.kind == quay::Error::Kind::api_token_foreign;
}

// A call that changes nothing may be made once more.
constexpr auto always = [](const quay::Error&) { return true; };

runtime::Lane::Heard heard(const quay::Error& error) {
  using Kind = quay::Error::Kind;
  switch (error.kind) {
    case Kind::unreachable:
    case Kind::tls:
    case Kind::too_slow:
    case Kind::starting_up:
    case Kind::registry_unavailable:
      return runtime::Lane::Heard::silence;
    case Kind::cancelled:
    case Kind::host_not_allowed:
    case Kind::illegal_name:
    case Kind::api_token_unusable:
      return runtime::Lane::Heard::unknown;
    default:
      return runtime::Lane::Heard::answer;
  }
}

// Tells the lane of one call, however it ends.
class CallInLane {
 public:
  CallInLane(runtime::Lane& lane, const base::Executor& executor)
      : lane_(lane), executor_(executor) {
    lane_.begin_call(executor_.now());
  }
  ~CallInLane() { lane_.end_call(executor_.now(), heard); }
  CallInLane(const CallInLane&) = delete;
  CallInLane& operator=(const CallInLane&) = delete;

  runtime::Lane::Heard heard = runtime::Lane::Heard::unknown;

 private:
  runtime::Lane& lane_;
  const base::Executor& executor_;
};

}  // namespace

std::string lane_name(const kube::ObjectKey& connection) {
  return "QuayConnection/" + connection.text();
}

Session::Session(const api::QuayConnection& connection, std::string origin, std::string authority,
                 std::unique_ptr<http::Transport> transport, base::SecretString api_token,
                 kube::Client& client, base::Executor& executor,
                 std::shared_ptr<runtime::Lane> lane, const Observer& observer,
                 base::Duration request_deadline, RealmOpener open_realm)
    : origin_(std::move(origin)),
      authority_(std::move(authority)),
      transport_(std::move(transport)),
      connection_(connection.meta.key),
      credentials_(connection.spec.credentials),
      client_(client),
      executor_(executor),
      robots_(*transport_, origin_,
              {request_deadline, observer,
               [this] {
                 lane_->begin_call(executor_.now());
                 lane_->end_call(executor_.now(), runtime::Lane::Heard::answer);
               }}),
      federation_(*transport_, origin_, {request_deadline, observer}),
      registry_(*transport_, origin_, {request_deadline, observer, std::move(open_realm)}),
      lane_(std::move(lane)),
      challenge_reader_(executor),
      token_reader_(executor),
      api_token_(std::make_shared<const base::SecretString>(std::move(api_token))) {}

template <class Call>
auto Session::in_lane(const Call& call) {
  CallInLane in_lane(*lane_, executor_);
  auto answer = call();
  in_lane.heard = answer ? runtime::Lane::Heard::answer : heard(answer.error());
  return answer;
}

template <class Call, class OnceMore>
auto Session::with_api_token(const Call& call, const OnceMore& once_more,
                             const std::stop_token& stop) {
  const Token token = api_token();
  auto answer = in_lane([&] { return call(*token); });
  if (answer || !is_token_refusal(answer.error())) return answer;
  const Token other = other_token_than(token, stop);
  if (!other || !once_more(answer.error())) return answer;
  return in_lane([&] { return call(*other); });
}

quay::Expected<quay::RobotCredential> Session::get(const quay::Robot& robot,
                                                   const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) { return robots_.get(robot, token, stop); }, always,
      stop);
}

quay::Expected<quay::RobotCredential> Session::regenerate(const quay::Robot& robot,
                                                          const std::function<bool()>& may_send,
                                                          const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) { return robots_.regenerate(robot, token, stop); },
      [&](const quay::Error& error) { return !error.maybe_changed && may_send(); }, stop);
}

quay::Expected<void> Session::list(
    const std::string& organization, const std::stop_token& stop,
    const std::function<void(const std::string&, base::Fingerprint)>& on_robot,
    quay::TokenSeeker* seeker) {
  return with_api_token(
      [&](const base::SecretString& token) {
        return robots_.list(organization, token, stop, on_robot, seeker);
      },
      always, stop);
}

quay::Expected<quay::RobotsCompared> Session::compare(const std::string& organization,
                                                      std::string_view first,
                                                      std::string_view second,
                                                      const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) {
        return robots_.compare(organization, first, second, token, stop);
      },
      always, stop);
}

quay::Expected<quay::Regenerations> Session::regenerations(const quay::Robot& robot,
                                                           base::WallTime since,
                                                           const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) {
        return robots_.regenerations(robot, since, token, stop);
      },
      always, stop);
}

quay::Expected<quay::FederatedCredential> Session::exchange(const std::string& robot,
                                                            const base::SecretString& identity,
                                                            const std::stop_token& stop) {
  CallInLane in_lane(*lane_, executor_);
  auto answer = federation_.exchange(robot, identity, stop);
  // What an issuer that does not answer Quay makes of Quay's own answer is no silence of Quay's.
  const bool answered = answer || answer.error().kind == quay::Error::Kind::starting_up;
  in_lane.heard = answered ? runtime::Lane::Heard::answer : heard(answer.error());
  return answer;
}

quay::Expected<quay::FederationList> Session::federation(const quay::Robot& robot,
                                                         const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) { return federation_.read(robot, token, stop); }, always,
      stop);
}

quay::Expected<void> Session::set_federation(const quay::Robot& robot,
                                             const quay::FederationList& list,
                                             const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) { return federation_.write(robot, list, token, stop); },
      always, stop);
}

quay::Expected<void> Session::login(const quay::RobotCredential& credential,
                                    const std::stop_token& stop) {
  return in_lane([&]() -> quay::Expected<void> {
    if (!registry_.prepared()) {
      quay::Expected<void> answer;
      challenge_reader_.read([&] { answer = registry_.prepare(credential.robot, stop); }, stop);
      if (!answer) return answer;
    }
    return registry_.login(credential, stop);
  });
}

quay::Expected<void> Session::probe(const std::stop_token& stop) {
  return with_api_token([&](const base::SecretString& token) { return robots_.probe(token, stop); },
                        always, stop);
}

std::optional<std::string> Session::alias(const std::stop_token& stop) {
  const auto name = in_lane([&]() -> quay::Expected<std::string> {
    if (auto known = registry_.self_given_name(stop)) return *known;
    quay::Error error;
    error.kind = quay::Error::Kind::registry_unavailable;
    return tl::unexpected(std::move(error));
  });
  return name ? std::optional(tenancy::alias_of(*name)) : std::nullopt;
}

void Session::replace_api_token(base::SecretString api_token) {
  const base::Lock lock(mutex_);
  if (api_token_->reveal() == api_token.reveal()) return;
  api_token_ = std::make_shared<const base::SecretString>(std::move(api_token));
}

Session::Token Session::api_token() {
  const base::Lock lock(mutex_);
  return api_token_;
}

Session::Token Session::other_token_than(const Token& refused, const std::stop_token& stop) {
  if (auto current = api_token(); current != refused) return current;  // another thread was faster
  token_reader_.read(
      [&] {
        auto token = read_api_token(client_, connection_.name_space, credentials_, stop);
        if (token) replace_api_token(std::move(*token));
      },
      stop);
  auto current = api_token();
  return current == refused ? nullptr : current;
}

}  // namespace quay_rotator::connection
