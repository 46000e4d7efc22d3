// One QuayConnection in use: its transports, API token and registry login.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "api/quay_connection.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/one_reader.h"
#include "connection/material.h"
#include "http/allowed_hosts.h"
#include "http/proxy.h"
#include "http/transport.h"
#include "kube/client.h"
#include "quay/federation.h"
#include "quay/registry_login.h"
#include "quay/robots_api.h"
#include "runtime/lane.h"
#include "runtime/store.h"

namespace quay_rotator::connection {

using Observer = std::function<void(std::string_view call, std::string_view outcome)>;

// See quay::RegistryLoginOptions::open_realm.
using RealmOpener = std::function<std::shared_ptr<http::Transport>(const http::Url& realm)>;

// Of a QuayConnection: the lane of whatever needs it.
std::string lane_name(const kube::ObjectKey& connection);

// Thread-safe. The API token is kept between calls and read from its Secret again when Quay refuses
// it (then the call is made once more if the token has changed) and at each refresh(). No call
// waits for the connection's rate limit: what a run needs of it has been reserved of its lane,
// which is told of each call and whether anybody answered.
class Session {
 public:
  Session(const api::QuayConnection& connection, std::string origin, std::string authority,
          std::unique_ptr<http::Transport> transport, base::SecretString api_token,
          kube::Client& client, base::Executor& executor, std::shared_ptr<runtime::Lane> lane,
          const Observer& observer, base::Duration request_deadline, RealmOpener open_realm = {});

  // "https://quay.example.com"; "quay.example.com": the default key in `auths`.
  [[nodiscard]] const std::string& origin() const { return origin_; }
  [[nodiscard]] const std::string& authority() const { return authority_; }

  quay::Expected<quay::RobotCredential> get(const quay::Robot& robot, const std::stop_token& stop);
  // Nothing may come between the check of the ledger's age and the POST. Where the API token was
  // refused and has been replaced, the call is made once more, if `may_send` (which checks that
  // age) still says so.
  quay::Expected<quay::RobotCredential> regenerate(const quay::Robot& robot,
                                                   const std::function<bool()>& may_send,
                                                   const std::stop_token& stop);
  quay::Expected<void> list(
      const std::string& organization, const std::stop_token& stop,
      const std::function<void(const std::string&, base::Fingerprint)>& on_robot,
      quay::TokenSeeker* seeker = nullptr);
  // Up to RobotsApi::most_requests_to_compare and most_pages_of_log requests, as one call of the
  // lane.
  quay::Expected<quay::RobotsCompared> compare(const std::string& organization,
                                               std::string_view first, std::string_view second,
                                               const std::stop_token& stop);
  quay::Expected<quay::Regenerations> regenerations(const quay::Robot& robot, base::WallTime since,
                                                    const std::stop_token& stop);
  // See quay::FederationApi. An exchange needs no API token.
  quay::Expected<quay::FederatedCredential> exchange(const std::string& robot,
                                                     const base::SecretString& identity,
                                                     const std::stop_token& stop);
  quay::Expected<quay::FederationList> federation(const quay::Robot& robot,
                                                  const std::stop_token& stop);
  quay::Expected<void> set_federation(const quay::Robot& robot, const quay::FederationList& list,
                                      const std::stop_token& stop);
  quay::Expected<void> login(const quay::RobotCredential& credential, const std::stop_token& stop);
  quay::Expected<void> probe(const std::stop_token& stop);
  // tenancy::alias_of what this Quay calls itself; asked once.
  std::optional<std::string> alias(const std::stop_token& stop);
  // Calls from now on use this one; calls under way are not touched.
  void replace_api_token(base::SecretString api_token);

 private:
  using Token = std::shared_ptr<const base::SecretString>;
  // Makes a call in the lane.
  template <class Call>
  auto in_lane(const Call& call);
  // `once_more` is asked when the token was refused and another one has been found.
  template <class Call, class OnceMore>
  auto with_api_token(const Call& call, const OnceMore& once_more, const std::stop_token& stop);
  Token other_token_than(const Token& refused, const std::stop_token& stop);
  Token api_token();

  std::string origin_;
  std::string authority_;
  std::unique_ptr<http::Transport> transport_;
  kube::ObjectKey connection_;
  api::KeyReference credentials_;
  kube::Client& client_;
  base::Executor& executor_;
  quay::RobotsApi robots_;
  quay::FederationApi federation_;
  quay::RegistryLogin registry_;
  std::shared_ptr<runtime::Lane> lane_;
  // The first burst of a connection, and the first after its API token was replaced.
  base::OneReader challenge_reader_;
  base::OneReader token_reader_;
  base::Mutex mutex_;
  Token api_token_ GUARDED_BY(mutex_);
};

// Thread-safe. Makes sessions from QuayConnections and keeps each until its connection's spec
// changes or refresh() finds another CA or proxy; another API token is put into the session that is
// there. What several want of a connection at once is read once. No lock is held while the API
// server is asked: where a read and a refresh() resolve one connection at once, the last wins. Who
// still works with a session that was replaced keeps it alive.
class Sessions {
 public:
  Sessions(runtime::Store<api::QuayConnection>& connections, kube::Client& client,
           http::TransportFactory& transports, http::Environment environment,
           base::Executor& executor, runtime::Lanes& lanes, Observer observer,
           base::Duration request_deadline, http::AllowedHosts allowed_hosts = {});

  tl::expected<std::shared_ptr<Session>, Problem> session(const kube::ObjectKey& connection,
                                                          const std::stop_token& stop);
  // Reads the Secret and the CA anew. A connection that cannot be used any more loses its session,
  // except when it is only the API server that did not answer.
  tl::expected<std::shared_ptr<Session>, Problem> refresh(const kube::ObjectKey& connection,
                                                          const std::stop_token& stop);
  // The connection is gone.
  void forget(const kube::ObjectKey& connection);

 private:
  struct Kept;
  using Result = tl::expected<std::shared_ptr<Session>, Problem>;
  // Null: there is none for that spec.
  std::shared_ptr<Session> kept(const kube::ObjectKey& connection);
  Result resolve(const api::QuayConnection& connection, const std::stop_token& stop);
  // How to reach that url, but for the CA that is trusted. ProxyInvalid, HostNotAllowed.
  [[nodiscard]] tl::expected<http::Endpoint, Problem> endpoint(const api::QuayConnectionSpec& spec,
                                                               const http::Url& url) const;
  // Realms that an administrator has named, over what the connection trusts.
  RealmOpener realm_opener(const api::QuayConnectionSpec& spec,
                           std::optional<std::string> ca) const;

  runtime::Store<api::QuayConnection>& connections_;
  kube::Client& client_;
  http::TransportFactory& transports_;
  http::Environment environment_;
  base::Executor& executor_;
  runtime::Lanes& lanes_;
  Observer observer_;
  base::Duration request_deadline_;
  http::AllowedHosts allowed_hosts_;
  base::Mutex mutex_;
  std::map<kube::ObjectKey, std::shared_ptr<Kept>> kept_ GUARDED_BY(mutex_);
  std::map<kube::ObjectKey, std::shared_ptr<base::OneReader>> readers_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::connection
