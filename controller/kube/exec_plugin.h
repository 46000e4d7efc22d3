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
  // What the plugin is told of the cluster when it asks for that, as JSON (spec.cluster of an
  // ExecCredential); else empty.
  std::string cluster;
};

struct ExecLimits {
  base::Duration deadline = std::chrono::seconds(60);
  std::size_t max_output = 1U << 20U;
  // How long a request waits for a new credential in place of one that was refused with 401 and
  // that should be valid still: the refusal may have been the server's fault.
  base::Duration patience = std::chrono::seconds(2);
};

// What a plugin prints: a token, a client certificate, or both.
struct ExecCredential {
  base::SecretString token;
  std::optional<ClientCertificate> certificate;
  std::optional<base::WallTime> expiry;  // nothing: valid until it is refused
};
// The error continues "exec plugin … " and never holds the token.
base::Expected<ExecCredential> read_exec_credential(const base::SecretString& output,
                                                    const std::string& api_version);

// How long after `now` a token of that expiry is to be renewed: a while before it expires, at least
// a minute, and at most a year, however far the expiry is.
base::Duration renewal_delay(base::WallTime expiry, base::WallTime now);

// Runs the plugin (no shell, no terminal) when there is no credential, its expiry is near, or
// invalidate() was called; one run at a time, in a thread of its own. While the present credential
// is valid nobody waits for a run: a plugin that hangs or fails costs nothing before that expires.
// The child is always reaped; one that takes too long or prints too much is killed with everything
// it started, and so is one that runs when this is destroyed.
//
// The exception to the Executor's rule on blocking: that thread blocks in poll() while the plugin
// runs. A simulation has no plugins.
//
// Errors name `place` ("user eks of /home/me/.kube/config") and the command, and hold what a plugin
// that failed wrote to its standard error, never its output.
std::unique_ptr<Credentials> make_exec_credentials(ExecPlugin plugin, std::string place,
                                                   base::Executor& executor,
                                                   ExecLimits limits = {});

}  // namespace quay_rotator::kube
