// Tenants beside the population, each in a namespace of its own and with Quays of its own choice.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "kube/object.h"

namespace quay_rotator::bench {

// A namespace with the Secret quay-api and the ConfigMap quay-ca, which trusts Quay's simulator and
// `authority`. All throw when the API server refuses.
void move_in(const std::string& name_space, const std::string& authority);
// Whatever would still act: resources and connections.
void move_out(const std::string& name_space);

nlohmann::json manifest(const char* version, const char* kind, const std::string& name);
void create(const kube::Resource& resource, const std::string& name_space,
            const nlohmann::json& object);
// A QuayConnection, with `more` over its spec.
void connect(const kube::ObjectKey& key, const std::string& url,
             const nlohmann::json& more = nlohmann::json::object());
// A RobotTokenRotation of the robot of its own name, with a Secret of that name.
void rotate(const kube::ObjectKey& key, const std::string& connection);

}  // namespace quay_rotator::bench
