#include "kube/in_cluster.h"

#include "http/url.h"
#include "kube/credentials.h"

namespace quay_rotator::kube {

bool is_in_cluster(const http::Environment& environment) {
  return !environment("KUBERNETES_SERVICE_HOST").value_or("").empty() &&
         !environment("KUBERNETES_SERVICE_PORT").value_or("").empty();
}

base::Expected<Configuration> load_in_cluster(const http::Environment& environment,
                                              const std::string& directory,
                                              base::Executor& executor) {
  const auto failure = [](const base::Error& error) {
    return tl::unexpected(base::Error{
        "in a pod (KUBERNETES_SERVICE_HOST is set): " + error.message +
        "; does the pod set automountServiceAccountToken: false? Else pass --kubeconfig FILE"});
  };
  std::string host = environment("KUBERNETES_SERVICE_HOST").value_or("");
  if (host.find(':') != std::string::npos) host = '[' + host + ']';
  const auto url = http::parse_url("https://" + host + ':' +
                                   environment("KUBERNETES_SERVICE_PORT").value_or(""));
  if (!url) {
    return tl::unexpected(
        base::Error{"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: " + url.error().message});
  }
  const auto ca = read_file(directory + "/ca.crt");
  if (!ca) return failure(ca.error());
  Configuration configuration;
  configuration.endpoint.origin = url->origin();
  configuration.endpoint.ca_certificates = std::string(ca->reveal());
  configuration.credentials = make_file_credentials(directory + "/token", executor);
  configuration.user = base::SecretString(std::string("file of the pod"));
  if (const auto token = configuration.credentials->bearer_token(); !token) {
    return failure(token.error());
  }
  const auto name_space = read_file(directory + "/namespace");
  configuration.name_space = name_space ? std::string(name_space->reveal()) : "default";
  configuration.source = directory;
  return configuration;
}

}  // namespace quay_rotator::kube
