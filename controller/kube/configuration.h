// Finding the API server and proving who we are, in the order every Kubernetes client uses:
// --kubeconfig, $KUBECONFIG (a list, merged), in-cluster, ~/.kube/config.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/executor.h"
#include "http/proxy.h"
#include "http/transport.h"

namespace quay_rotator::kube {

struct ClientCertificate {  // PEM
  std::string certificate;
  base::SecretString key;
};

// Supplies the bearer token for each request. Thread-safe.
class Credentials {
 public:
  virtual ~Credentials() = default;
  // Empty when the client certificate (or nothing) authenticates. Reads files and runs exec plugins
  // as their age demands: a token file at most every minute, an exec plugin before its expiry.
  virtual base::Expected<base::SecretString> bearer_token() = 0;
  // The server answered 401: the next bearer_token() reads anew.
  virtual void invalidate() = 0;
  // A client certificate that is had together with the token, from an exec plugin: how many there
  // were so far, and the latest. Nothing before bearer_token() has brought the first one.
  [[nodiscard]] virtual std::uint64_t certificates() const { return 0; }
  [[nodiscard]] virtual std::optional<ClientCertificate> certificate() const {
    return std::nullopt;
  }
};

struct Configuration {
  http::Endpoint endpoint;
  std::string path;  // what every request's target begins with: "/k8s/clusters/c-1", or ""
  std::unique_ptr<Credentials> credentials;
  base::SecretString user;  // what the credentials are made of: equal when nothing has changed
  std::string name_space;   // the context's, or the pod's; "default" when there is none
  std::string context;      // of a kubeconfig
  std::string source;       // "/home/me/.kube/config, context kind", for messages
};

struct ConfigurationOptions {
  std::optional<std::string> kubeconfig{};  // --kubeconfig
  std::optional<std::string> context{};     // of a kubeconfig, in place of its current-context
  http::Environment environment{};
  std::string service_account_directory = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Errors name the file, the context, the field and what to do; what is not supported
// (insecure-skip-tls-verify, username/password, auth-provider, impersonation, proxies other than
// http) is named too. Unknown fields are ignored. `executor` must outlive the credentials.
base::Expected<Configuration> load_configuration(const ConfigurationOptions& options,
                                                 base::Executor& executor);

}  // namespace quay_rotator::kube
