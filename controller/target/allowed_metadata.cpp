#include "target/allowed_metadata.h"

#include <algorithm>
#include <set>

namespace quay_rotator::target {

base::Expected<AllowedMetadata> AllowedMetadata::parse(const std::vector<std::string>& patterns) {
  AllowedMetadata allowed;
  for (const std::string& pattern : patterns) {
    const std::size_t slash = pattern.find('/');
    const std::size_t star = pattern.find('*');
    const bool whole = pattern == "*";
    const bool key = slash != std::string::npos && slash > 0 && slash + 1 < pattern.size();
    const bool prefix = star == slash + 1 && star + 1 == pattern.size();
    if (!whole && (!key || (star != std::string::npos && !prefix))) {
      return tl::unexpected(base::Error{"\"" + pattern +
                                        "\" is no key or prefix: expected example.com/team, "
                                        "example.com/* or *"});
    }
    allowed.patterns_.push_back(pattern);
  }
  return allowed;
}

bool AllowedMetadata::allows(std::string_view key) const {
  if (key.find('/') == std::string_view::npos || key.starts_with("app.kubernetes.io/")) return true;
  return std::ranges::any_of(patterns_, [&](std::string_view pattern) {
    if (!pattern.ends_with('*')) return key == pattern;
    pattern.remove_suffix(1);
    return key.starts_with(pattern);
  });
}

std::vector<std::string> AllowedMetadata::refused(const api::RobotTokenRotation& rotation) const {
  std::set<std::string> keys;
  for (const api::SecretTarget& target : rotation.spec.targets) {
    for (const auto* map : {&target.labels, &target.annotations}) {
      for (const auto& [key, value] : *map) {
        if (!allows(key)) keys.insert(key);
      }
    }
  }
  return {keys.begin(), keys.end()};
}

}  // namespace quay_rotator::target
