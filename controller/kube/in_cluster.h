// The configuration of a pod: environment variables and the files of its ServiceAccount.
#pragma once

#include <string>

#include "base/executor.h"
#include "kube/configuration.h"

namespace quay_rotator::kube {

// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set.
bool is_in_cluster(const http::Environment& environment);

// The error names the file of `directory` (ca.crt, token) that cannot be read.
base::Expected<Configuration> load_in_cluster(const http::Environment& environment,
                                              const std::string& directory,
                                              base::Executor& executor);

}  // namespace quay_rotator::kube
