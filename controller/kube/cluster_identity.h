// What tells one cluster from another.
#pragma once

#include <stop_token>
#include <string>

#include "kube/client.h"

namespace quay_rotator::kube {

// Lives as long as the cluster does.
inline constexpr const char* system_namespace = "kube-system";

// The UID of that Namespace: always of the same one, or the identity would change with what may be
// read. Errors as Client::get; an answer without a UID is malformed.
Expected<std::string> cluster_identity(Client& client, const std::string& name_space,
                                       const std::stop_token& stop);

}  // namespace quay_rotator::kube
