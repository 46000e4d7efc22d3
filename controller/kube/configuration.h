// Finding the API server and proving who we are, in the order every Kubernetes client uses:
// --kubeconfig, $KUBECONFIG (a list, merged), in-cluster, ~/.kube/config.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/executor.h"
#include "http/proxy.h"
#include "http/transport.h"

namespace quay_rotator::kube {

// Supplies the bearer token for each request. Thread-safe.
class Credentials {
 public:
  virtual ~Credentials() = default;
  // Empty when the client certificate (or nothing) authenticates. Reads files and runs exec plugins
  // as their age demands: a token file at most every minute, an exec plugin before its expiry.
  virtual base::Expected<base::SecretString> bearer_token() = 0;
  // The server answered 401: the next bearer_token() reads anew.
  virtual void invalidate() = 0;
};

struct Configuration {
  http::Endpoint endpoint;
  std::unique_ptr<Credentials> credentials;
  std::string name_space;  // the context's, or the pod's; "default" when there is none
  std::string source;      // "/home/me/.kube/config, context kind", for messages
};

struct ConfigurationOptions {
  std::optional<std::string> kubeconfig;  // --kubeconfig
  http::Environment environment;
  std::string service_account_directory = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Errors name the file, the context, the field and what to do; what is not supported
// (tls-server-name, insecure-skip-tls-verify, username/password, auth-provider, proxy-url) is named
// too. Unknown fields are ignored. `executor` must outlive the credentials.
base::Expected<Configuration> load_configuration(const ConfigurationOptions& options,
                                                 base::Executor& executor);

}  // namespace quay_rotator::kube
