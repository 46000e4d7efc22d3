#include "rotation/quay_session.h"

#include <utility>

namespace quay_rotator::rotation {

namespace {

bool is_token_refusal(const quay::Error& error) {
  return error.kind == quay::Error::Kind::api_token_refused ||
         error.kind == quay::Error::Kind::api_token_foreign;
}

quay::Error cancelled() {
  quay::Error error;
  error.kind = quay::Error::Kind::cancelled;
  error.message = "stopped while waiting for the connection's rate limit";
  error.maybe_changed = false;
  return error;
}

}  // namespace

QuaySession::QuaySession(const api::QuayConnection& connection, std::string origin,
                         std::string authority, std::unique_ptr<http::Transport> transport,
                         base::SecretString api_token, kube::Client& client,
                         base::Executor& executor, const QuayObserver& observer,
                         base::Duration request_deadline, RealmOpener open_realm)
    : origin_(std::move(origin)),
      authority_(std::move(authority)),
      transport_(std::move(transport)),
      connection_(connection.meta.key),
      credentials_(connection.spec.credentials),
      client_(client),
      executor_(executor),
      robots_(*transport_, origin_, {request_deadline, observer}),
      registry_(*transport_, origin_, {request_deadline, observer, std::move(open_realm)}),
      api_token_(std::make_shared<const base::SecretString>(std::move(api_token))) {
  if (connection.spec.requests_per_second > 0) {
    rate_limit_ = std::make_unique<base::RateLimit>(connection.spec.requests_per_second,
                                                    connection.spec.burst);
  }
}

template <class Call, class OnceMore>
auto QuaySession::with_api_token(const Call& call, const OnceMore& once_more,
                                 const std::stop_token& stop) {
  const Token token = api_token();
  auto answer = call(*token);
  if (answer || !is_token_refusal(answer.error())) return answer;
  const Token other = other_token_than(token, stop);
  if (!other || !once_more(answer.error())) return answer;
  return call(*other);
}

quay::Expected<quay::RobotCredential> QuaySession::get(const quay::Robot& robot,
                                                       const std::stop_token& stop) {
  if (!wait_for_permit(stop)) return tl::unexpected(cancelled());
  return with_api_token(
      [&](const base::SecretString& token) { return robots_.get(robot, token, stop); },
      [&](const quay::Error&) { return wait_for_permit(stop); }, stop);
}

quay::Expected<quay::RobotCredential> QuaySession::regenerate(const quay::Robot& robot,
                                                              const std::function<bool()>& may_send,
                                                              const std::stop_token& stop) {
  return with_api_token(
      [&](const base::SecretString& token) { return robots_.regenerate(robot, token, stop); },
      [&](const quay::Error& error) { return !error.maybe_changed && may_send(); }, stop);
}

quay::Expected<void> QuaySession::list(
    const std::string& organization, const std::stop_token& stop,
    const std::function<void(const std::string&, base::Fingerprint)>& on_robot) {
  if (!wait_for_permit(stop)) return tl::unexpected(cancelled());
  return with_api_token(
      [&](const base::SecretString& token) {
        return robots_.list(organization, token, stop, on_robot);
      },
      [&](const quay::Error&) { return wait_for_permit(stop); }, stop);
}

quay::Expected<void> QuaySession::login(const quay::RobotCredential& credential,
                                        const std::stop_token& stop) {
  if (!wait_for_permit(stop)) return tl::unexpected(cancelled());
  return registry_.login(credential, stop);
}

quay::Expected<void> QuaySession::probe(const std::stop_token& stop) {
  if (!wait_for_permit(stop)) return tl::unexpected(cancelled());
  return with_api_token([&](const base::SecretString& token) { return robots_.probe(token, stop); },
                        [&](const quay::Error&) { return wait_for_permit(stop); }, stop);
}

bool QuaySession::wait_for_permit(const std::stop_token& stop) {
  if (!rate_limit_) return true;
  const base::MonotonicTime now = executor_.now();
  const base::MonotonicTime time = rate_limit_->take(now);
  return time <= now || executor_.sleep_until(time, stop);
}

void QuaySession::replace_api_token(base::SecretString api_token) {
  const std::lock_guard lock(mutex_);
  if (api_token_->reveal() == api_token.reveal()) return;
  api_token_ = std::make_shared<const base::SecretString>(std::move(api_token));
}

QuaySession::Token QuaySession::api_token() {
  const std::lock_guard lock(mutex_);
  return api_token_;
}

QuaySession::Token QuaySession::other_token_than(const Token& refused,
                                                 const std::stop_token& stop) {
  if (auto current = api_token(); current != refused) return current;  // another thread was faster
  auto token = read_api_token(client_, connection_.name_space, credentials_, stop);
  if (!token) return nullptr;
  replace_api_token(std::move(*token));
  auto current = api_token();
  return current == refused ? nullptr : current;
}

}  // namespace quay_rotator::rotation
