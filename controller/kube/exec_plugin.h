// Credentials from a program, as `users[].user.exec` of a kubeconfig asks for
// (client.authentication.k8s.io/v1 and v1beta1): aws, gke-gcloud-auth-plugin, kubelogin, …
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "kube/configuration.h"

namespace quay_rotator::kube {

struct ExecPlugin {
  std::string api_version;
  std::string command;  // a path, or a name that is looked up in PATH
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  std::string install_hint;
  // What the plugin is told of the cluster when it asks for that; else empty.
  std::string server;
  std::string ca_certificates;
};

struct ExecLimits {
  base::Duration deadline = std::chrono::seconds(60);
  std::size_t max_output = 1U << 20U;
};

// What a plugin prints.
struct ExecCredential {
  base::SecretString token;              // never empty
  std::optional<base::WallTime> expiry;  // nothing: valid until it is refused
};
// The error continues "exec plugin … " and never holds the token.
base::Expected<ExecCredential> read_exec_credential(const base::SecretString& output,
                                                    const std::string& api_version);

// How long after `now` a token of that expiry is to be renewed: a while before it expires, at least
// a minute, and at most a year, however far the expiry is.
base::Duration renewal_delay(base::WallTime expiry, base::WallTime now);

// Runs the plugin (no shell, no terminal) when there is no token, its expiry is near, or
// invalidate() was called; one call at a time. The child is always reaped; one that takes too long
// or prints too much is killed with everything it started.
//
// The exception to the Executor's rule on blocking: bearer_token() blocks in poll() while the
// plugin runs, and other callers of this object block on its mutex meanwhile. A simulation has no
// plugins.
//
// Errors name `place` ("user eks of /home/me/.kube/config") and the command, and hold what a plugin
// that failed wrote to its standard error, never its output. A plugin that gives a client
// certificate and no token is not supported.
std::unique_ptr<Credentials> make_exec_credentials(ExecPlugin plugin, std::string place,
                                                   base::Executor& executor,
                                                   ExecLimits limits = {});

}  // namespace quay_rotator::kube
