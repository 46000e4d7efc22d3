#include <utility>

#include "base/mutex.h"
#include "connection/session.h"

namespace quay_rotator::connection {

struct Sessions::Kept {
  std::string uid;
  api::QuayConnectionSpec spec;
  std::optional<std::string> ca;
  std::optional<std::string> proxy;
  std::shared_ptr<Session> session;

  [[nodiscard]] bool made_from(const api::QuayConnection& connection) const {
    return uid == connection.meta.uid && spec == connection.spec;
  }
};

Sessions::Sessions(runtime::Store<api::QuayConnection>& connections, kube::Client& client,
                   http::TransportFactory& transports, http::Environment environment,
                   base::Executor& executor, runtime::Lanes& lanes, Observer observer,
                   base::Duration request_deadline, http::AllowedHosts allowed_hosts)
    : connections_(connections),
      client_(client),
      transports_(transports),
      environment_(std::move(environment)),
      executor_(executor),
      lanes_(lanes),
      observer_(std::move(observer)),
      request_deadline_(request_deadline),
      allowed_hosts_(std::move(allowed_hosts)) {}

std::shared_ptr<Session> Sessions::kept(const kube::ObjectKey& connection) {
  const auto cached = connections_.find(connection);
  if (!cached) return nullptr;
  const base::Lock lock(mutex_);
  const auto found = kept_.find(connection);
  const bool fits = found != kept_.end() && found->second->made_from(*cached);
  return fits ? found->second->session : nullptr;
}

Sessions::Result Sessions::session(const kube::ObjectKey& connection, const std::stop_token& stop) {
  if (auto session = kept(connection)) return session;
  std::shared_ptr<base::OneReader> reader;
  {
    const base::Lock lock(mutex_);
    auto& place = readers_[connection];
    if (!place) place = std::make_shared<base::OneReader>(executor_);
    reader = place;
  }
  std::optional<Result> read;
  reader->read([&] { read = refresh(connection, stop); }, stop);
  if (read) return *read;
  if (auto session = kept(connection)) return session;
  return refresh(connection, stop);
}

Sessions::Result Sessions::refresh(const kube::ObjectKey& connection, const std::stop_token& stop) {
  const auto cached = connections_.find(connection);
  if (!cached) {
    forget(connection);
    return tl::unexpected(Problem{"ConnectionNotFound",
                                  "QuayConnection " + connection.text() +
                                      " does not exist: create it, or correct spec.connectionRef"});
  }
  auto result = resolve(*cached, stop);
  if (!result && result.error().reason != "ApiServerUnavailable") forget(connection);
  return result;
}

void Sessions::forget(const kube::ObjectKey& connection) {
  std::shared_ptr<Kept> gone;  // destroyed without the lock
  const base::Lock lock(mutex_);
  readers_.erase(connection);
  const auto found = kept_.find(connection);
  if (found == kept_.end()) return;
  gone = std::move(found->second);
  kept_.erase(found);
}

Sessions::Result Sessions::resolve(const api::QuayConnection& connection,
                                   const std::stop_token& stop) {
  const auto& spec = connection.spec;
  const auto& name_space = connection.meta.key.name_space;
  const auto url = url_of(spec);
  if (!url) return tl::unexpected(url.error());
  auto endpoint = this->endpoint(spec, *url);
  if (!endpoint) return tl::unexpected(endpoint.error());
  auto token = read_api_token(client_, name_space, spec.credentials, stop);
  if (!token) return tl::unexpected(token.error());
  std::optional<std::string> ca;
  if (const api::KeyReference* reference = spec.ca()) {
    auto pem = read_ca(client_, name_space, *reference, stop);
    if (!pem) return tl::unexpected(pem.error());
    ca = std::move(*pem);
  }

  {
    const base::Lock lock(mutex_);
    const auto found = kept_.find(connection.meta.key);
    if (found != kept_.end() && found->second->made_from(connection) && found->second->ca == ca &&
        found->second->proxy == endpoint->proxy) {
      found->second->session->replace_api_token(std::move(*token));
      return found->second->session;
    }
  }

  endpoint->ca_certificates = ca;
  auto proxy = endpoint->proxy;
  auto transport = transports_.open(std::move(*endpoint));
  if (!transport) {
    // The URL and the proxy have been parsed already: what is left is what the transport cannot do.
    std::string reason = "InvalidURL";
    std::string message = transport.error().message;
    if (transport.error().kind == http::Error::Kind::tls) {
      reason = "CAInvalid";
      message += "; store certificates in PEM where spec.ca points to";
    } else if (transport.error().message.find("proxy") != std::string::npos) {
      reason = "ProxyInvalid";
    }
    return tl::unexpected(Problem{reason, std::move(message)});
  }
  auto kept = std::make_shared<Kept>();
  kept->uid = connection.meta.uid;
  kept->spec = spec;
  kept->ca = std::move(ca);
  kept->proxy = std::move(proxy);
  kept->session = std::make_shared<Session>(
      connection, url->origin(), url->authority(), std::move(*transport), std::move(*token),
      client_, executor_, lanes_.of(lane_name(connection.meta.key)), observer_, request_deadline_,
      realm_opener(spec, kept->ca));
  auto session = kept->session;
  // What it replaces is destroyed without the lock, unless somebody still uses it.
  {
    const base::Lock lock(mutex_);
    std::swap(kept_[connection.meta.key], kept);
  }
  return session;
}

tl::expected<http::Endpoint, Problem> Sessions::endpoint(const api::QuayConnectionSpec& spec,
                                                         const http::Url& url) const {
  auto proxy = proxy_of(spec, url, environment_);
  if (!proxy) return tl::unexpected(proxy.error());
  const auto reach = reach_of(spec, url, *proxy, allowed_hosts_);
  if (!reach) return tl::unexpected(reach.error());
  http::Endpoint endpoint;
  endpoint.origin = url.origin();
  endpoint.allow_insecure = spec.allow_insecure;
  endpoint.reach = *reach;
  if (*proxy) {
    endpoint.proxy = std::move((*proxy)->url);
    endpoint.proxy_authorization = std::move((*proxy)->authorization);
  }
  return endpoint;
}

RealmOpener Sessions::realm_opener(const api::QuayConnectionSpec& spec,
                                   std::optional<std::string> ca) const {
  return
      [this, spec, ca = std::move(ca)](const http::Url& realm) -> std::shared_ptr<http::Transport> {
        // "Every host" is said of what tenants write; a realm is what a server says.
        if (!allowed_hosts_.names(realm)) return nullptr;
        auto endpoint = this->endpoint(spec, realm);
        if (!endpoint) return nullptr;
        endpoint->ca_certificates = ca;
        auto transport = transports_.open(std::move(*endpoint));
        return transport ? std::shared_ptr<http::Transport>(std::move(*transport)) : nullptr;
      };
}

}  // namespace quay_rotator::connection
