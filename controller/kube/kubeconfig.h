// kubeconfig files, as kubectl reads them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "kube/configuration.h"

namespace quay_rotator::kube {

// Merges the files, the first value of each name wins, and resolves the current context. Relative
// paths in a file are relative to its folder. `context` goes before current-context. `executor`
// must outlive the credentials.
base::Expected<Configuration> load_kubeconfig(const std::vector<std::string>& files,
                                              const std::optional<std::string>& context,
                                              base::Executor& executor);

}  // namespace quay_rotator::kube
