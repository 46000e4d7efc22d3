#include "kube/object.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::kube {
namespace {

bool is_integer(std::string_view text) {
  return !text.empty() && text[0] != '0' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string Resource::api_version() const {
  std::string text(group);
  if (!text.empty()) text += '/';
  return text.append(version);
}

std::string ObjectKey::text() const {
  return name_space.empty() ? name : name_space + '/' + name;
}

int compare_resource_versions(std::string_view a, std::string_view b) {
  if (a == b) return 0;
  if (!is_integer(a) || !is_integer(b)) return 1;
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a < b ? -1 : 1;
}

base::Expected<nlohmann::json> parse_object(std::string_view text) {
  using nlohmann::json;
  std::vector<std::string> path;  // the member names that lead to where the parser is
  const auto keep = [&path](int depth, json::parse_event_t event, const json& parsed) {
    if (event != json::parse_event_t::key) return true;
    const auto level = static_cast<std::size_t>(depth);
    path.resize(level);
    path.push_back(parsed.get_ref<const std::string&>());
    return path.back() != "managedFields" || level == 0 || path[level - 1] != "metadata";
  };
  try {
    return json::parse(text, keep);
  } catch (const json::exception&) {
    auto again = base::parse_json(text);  // for its message, which quotes nothing
    if (again) return tl::unexpected(base::Error{"not JSON"});
    return again;
  }
}

}  // namespace quay_rotator::kube
