#include "kube/api_server.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace quay_rotator::kube {

namespace {

constexpr base::Duration look_interval = std::chrono::minutes(1);
// However often the server refuses us.
constexpr base::Duration shortest_interval = std::chrono::seconds(1);

std::string_view revealed(const std::optional<base::SecretString>& secret) {
  return secret ? secret->reveal() : std::string_view();
}

bool same(const http::Endpoint& a, const http::Endpoint& b) {
  return a.ca_certificates == b.ca_certificates && a.client_certificate == b.client_certificate &&
         revealed(a.client_key) == revealed(b.client_key) && a.server_name == b.server_name &&
         a.proxy == b.proxy && a.proxy_authorization.reveal() == b.proxy_authorization.reveal();
}

http::Endpoint copy(const http::Endpoint& endpoint) {
  http::Endpoint result;
  result.origin = endpoint.origin;
  result.ca_certificates = endpoint.ca_certificates;
  result.client_certificate = endpoint.client_certificate;
  if (endpoint.client_key) result.client_key = endpoint.client_key->clone();
  result.server_name = endpoint.server_name;
  result.proxy = endpoint.proxy;
  result.proxy_authorization = endpoint.proxy_authorization.clone();
  result.allow_insecure = endpoint.allow_insecure;
  result.reach = endpoint.reach;
  return result;
}

}  // namespace

// Goes over to a new transport when what it is made of has changed.
class ApiServer::FollowingTransport final : public http::Transport {
 public:
  FollowingTransport(ApiServer& server, std::unique_ptr<http::Transport> transport, Version version)
      : server_(server),
        path_(server.configuration_.path),
        version_(version),
        transport_(std::move(transport)) {}

  tl::expected<http::Response, http::Error> send(const http::Request& request,
                                                 const http::CallOptions& options) override {
    return noted(with_path(request, [&, transport = present()](const auto& asked) {
      return transport->send(asked, options);
    }));
  }

  tl::expected<http::Response, http::Error> stream(
      const http::Request& request, const http::StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) override {
    return noted(with_path(request, [&, transport = present()](const auto& asked) {
      return transport->stream(asked, options, on_data);
    }));
  }

 private:
  using Answer = tl::expected<http::Response, http::Error>;

  std::shared_ptr<http::Transport> present() {
    const Version version = server_.version();
    const base::Lock lock(mutex_);
    if (version == version_) return transport_;
    version_ = version;
    if (auto opened = server_.transports_.open(server_.endpoint())) {
      transport_ = std::move(*opened);
    } else {
      server_.log_.warning("what was read anew cannot be used",
                           {{"error", opened.error().message}});
    }
    return transport_;
  }

  template <class Call>
  Answer with_path(const http::Request& request, const Call& call) {
    if (path_.empty()) return call(request);
    http::Request below{.method = request.method,
                        .target = path_ + request.target,
                        .headers = request.headers,
                        .authorization = request.authorization.clone(),
                        .content_type = request.content_type,
                        .body = request.body.clone()};
    return call(below);
  }

  Answer noted(Answer answer) {
    if (!answer && answer.error().kind == http::Error::Kind::tls) server_.distrust();
    return answer;
  }

  ApiServer& server_;
  const std::string path_;
  base::Mutex mutex_;
  Version version_ GUARDED_BY(mutex_);
  std::shared_ptr<http::Transport> transport_ GUARDED_BY(mutex_);
};

ApiServer::ApiServer(Configuration configuration, Load load, http::TransportFactory& transports,
                     base::Executor& executor, base::Log log)
    : load_(std::move(load)),
      transports_(transports),
      executor_(executor),
      log_(std::move(log)),
      url_(configuration.endpoint.origin + configuration.path),
      name_space_(configuration.name_space),
      source_(configuration.source),
      configuration_(std::move(configuration)),
      credentials_(std::move(configuration_.credentials)),
      looked_(executor.now()),
      look_again_(looked_ + look_interval) {}

tl::expected<std::unique_ptr<http::Transport>, http::Error> ApiServer::open() {
  const Version now = version();
  auto opened = transports_.open(endpoint());
  if (!opened) return opened;
  return std::make_unique<FollowingTransport>(*this, std::move(*opened), now);
}

base::Expected<base::SecretString> ApiServer::bearer_token() {
  look();
  return credentials()->bearer_token();
}

void ApiServer::invalidate() {
  look_soon();
  credentials()->invalidate();
}

// A certificate of the server's that we refuse, or of ours that it does.
void ApiServer::distrust() {
  look_soon();
  if (const auto present = credentials(); present->certificates() > 0) present->invalidate();
}

void ApiServer::look_soon() {
  const base::Lock lock(mutex_);
  look_again_ = std::min(look_again_, std::max(executor_.now(), looked_ + shortest_interval));
}

void ApiServer::look() {
  {
    const base::Lock lock(mutex_);
    const base::MonotonicTime now = executor_.now();
    if (now < look_again_) return;
    looked_ = now;
    look_again_ = now + look_interval;
  }
  std::shared_ptr<Credentials> former;  // an exec plugin that runs is not waited for with the lock
  auto loaded = load_();
  const base::Lock lock(mutex_);
  const std::string trouble = loaded ? why_not(*loaded) : loaded.error().message;
  if (trouble != trouble_ && !trouble.empty()) {
    log_.warning("the configuration of the API server cannot be read anew: the last one stays",
                 {{"error", trouble}});
  }
  trouble_ = trouble;
  if (!trouble_.empty()) return;

  const bool same_user = loaded->user.reveal() == configuration_.user.reveal();
  if (!same_user) {
    former = std::exchange(credentials_, std::move(loaded->credentials));
    configuration_.user = std::move(loaded->user);
  }
  if (same_user && same(loaded->endpoint, configuration_.endpoint)) return;
  configuration_.endpoint = std::move(loaded->endpoint);
  ++changes_;
  log_.info("the configuration of the API server has changed and was read anew",
            {{"configuration", source_}});
}

std::string ApiServer::why_not(const Configuration& loaded) const {
  const std::string url = loaded.endpoint.origin + loaded.path;
  if (url == url_) return "";
  return "it names another server, " + url + ", for which the program must be started anew";
}

std::shared_ptr<Credentials> ApiServer::credentials() const {
  const base::Lock lock(mutex_);
  return credentials_;
}

ApiServer::Version ApiServer::version() const {
  const auto present = credentials();
  const std::uint64_t certificates = present->certificates();
  const base::Lock lock(mutex_);
  return {changes_, certificates};
}

http::Endpoint ApiServer::endpoint() const {
  auto certificate = credentials()->certificate();
  const base::Lock lock(mutex_);
  http::Endpoint endpoint = copy(configuration_.endpoint);
  if (certificate) {
    endpoint.client_certificate = std::move(certificate->certificate);
    endpoint.client_key = std::move(certificate->key);
  }
  return endpoint;
}

}  // namespace quay_rotator::kube
