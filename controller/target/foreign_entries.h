// What a .dockerconfigjson holds that a rotation would not write again. Pure.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace quay_rotator::target {

struct ForeignEntries {
  bool unreadable = false;      // it is no .dockerconfigjson; the rest says nothing then
  std::set<std::string> names;  // of registries and other keys; safe to show
  std::size_t unnamed = 0;      // entries whose names are not: they could hold anything

  [[nodiscard]] bool empty() const { return !unreadable && names.empty() && unnamed == 0; }
  // "docker.io, ghcr.io, credHelpers and 2 more".
  [[nodiscard]] std::string text() const;

  // Everything in `config` but the logins for `registries`. What a kubelet takes for one registry
  // (with or without https://, /v1/ or /v2/) counts as one here.
  static ForeignEntries of(std::string_view config, const std::vector<std::string>& registries);
};

}  // namespace quay_rotator::target
