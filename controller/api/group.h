// The API group of the product's resources.
#pragma once

#include <string_view>

#include "kube/object.h"

namespace quay_rotator::api {

inline constexpr std::string_view group_name = "quayrotator.dev";
inline constexpr std::string_view group_version = "v1alpha1";
// What to do where an API server does not know the resources of the group.
inline constexpr std::string_view install =
    "install the CRDs of quay-rotator: kubectl apply -f crds/";

inline constexpr kube::Resource rotations{
    group_name, group_version, "robottokenrotations", "RobotTokenRotation", true, install};
inline constexpr kube::Resource connections{group_name,       group_version, "quayconnections",
                                            "QuayConnection", true,          install};

}  // namespace quay_rotator::api
