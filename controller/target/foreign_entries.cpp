#include "target/foreign_entries.h"

#include <algorithm>

#include "base/secret_json.h"

namespace quay_rotator::target {

namespace {

constexpr std::size_t most_shown = 8;
constexpr std::size_t longest_registry = 100;
constexpr std::size_t longest_key = 32;

// As the kubelet reads the keys of `auths`, and without a user that somebody wrote there.
std::string_view registry_of(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  const std::size_t slash = key.find('/');
  const std::size_t user = key.substr(0, slash).rfind('@');
  if (user != std::string_view::npos) key.remove_prefix(user + 1);
  return key;
}

std::string plain_registry(std::string_view key) {
  key = registry_of(key);
  const std::size_t slash = key.find('/');
  std::string registry(key.substr(0, slash));
  if (slash == std::string_view::npos) return registry;
  std::string_view path = key.substr(slash);
  for (const std::string_view version : {"/v1/", "/v2/"}) {
    if (path.starts_with(version)) path.remove_prefix(version.size() - 1);
  }
  return path == "/" ? registry : registry.append(path);
}

bool consists_of(std::string_view text, std::string_view others, bool upper) {
  return std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z') ||
           others.find(c) != std::string_view::npos;
  });
}

class Looker final : public base::JsonVisitor {
 public:
  explicit Looker(const std::vector<std::string>& registries) {
    for (const std::string& registry : registries) ours_.insert(plain_registry(registry));
  }

  void on_string(const base::JsonPath& path, std::string_view /*value*/) override {
    // No object at all, or no list of logins.
    if (path.empty() || (path.size() == 1 && path[0] == "auths")) found.unreadable = true;
    note(path);
  }
  void on_other(const base::JsonPath& path) override {
    if (path.empty()) found.unreadable = true;
    note(path);
  }
  void on_begin(const base::JsonPath& path) override {
    if (path.size() > 1) note(path);
  }
  void on_end(const base::JsonPath& /*path*/) override {}

  ForeignEntries found;

 private:
  void note(const base::JsonPath& path) {
    if (path.empty()) return;
    if (path[0] != "auths") return name(path[0], longest_key, "._-", true);
    if (path.size() != 2) return;
    const std::string registry = plain_registry(path[1]);
    if (!ours_.contains(registry)) name(registry, longest_registry, ".:-_/[]", false);
  }
  // A token or password has upper-case letters or is no name of a registry.
  void name(const std::string& name, std::size_t longest, std::string_view others, bool upper) {
    if (!name.empty() && name != "[]" && name.size() <= longest &&
        consists_of(name, others, upper)) {
      found.names.insert(name);
    } else if (unnamed_.insert(name).second) {
      ++found.unnamed;
    }
  }

  std::set<std::string> ours_;
  std::set<std::string> unnamed_;
};

}  // namespace

ForeignEntries ForeignEntries::of(std::string_view config,
                                  const std::vector<std::string>& registries) {
  Looker looker(registries);
  if (!base::visit_json(config, looker)) looker.found.unreadable = true;
  return std::move(looker.found);
}

std::string ForeignEntries::text() const {
  std::string list;
  std::size_t shown = 0;
  for (const std::string& name : names) {
    if (shown == most_shown) break;
    list += (shown++ == 0 ? "" : ", ") + name;
  }
  const std::size_t more = names.size() - shown + unnamed;
  if (more == 0) return list;
  if (shown == 0) return std::to_string(more) + (more == 1 ? " entry" : " entries");
  return list + " and " + std::to_string(more) + " more";
}

}  // namespace quay_rotator::target
