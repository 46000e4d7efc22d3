// The phrases that conditions and Events are made of. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fingerprint.h"
#include "base/time.h"
#include "credential/outcome.h"
#include "target/problem.h"

namespace quay_rotator::rotation {

// Reasons that are told or looked for in more than one place.
inline constexpr std::string_view stale_read = "StaleRead";
inline constexpr std::string_view federated = "Federated";
inline constexpr std::string_view robots_differ = "RobotsDiffer";
inline constexpr std::string_view unreadable_namespace = "NamespaceUnreadable";

std::string secrets(int count);  // "1 Secret", "3 Secrets"
std::string held_by(int count);  // "1 Secret holds", "3 Secrets hold"
// In whole seconds, at least one.
std::string in_words(base::Duration time);
std::string asking_again(base::Duration delay);
std::string stale_message(base::Fingerprint stale, std::optional<base::Fingerprint> newest);
// What the two robots may not both do. Not for none.
std::string differences(const credential::Comparison& comparison);
// The first problem in words, and how many more there are. Not for none.
std::string summary(const std::vector<target::Problem>& problems);

}  // namespace quay_rotator::rotation
