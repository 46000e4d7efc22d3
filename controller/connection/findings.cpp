#include "connection/findings.h"

#include <utility>

namespace quay_rotator::connection {

std::set<std::string> Findings::note(const kube::ObjectKey& connection, Organizations found) {
  const base::Lock lock(mutex_);
  auto& known = findings_[connection];
  std::map<std::string, Finding> next;
  std::set<std::string> news;
  for (auto& look : found) {
    const std::string& organization = look.first;
    const auto before = known.find(organization);
    const bool first = before == known.end();
    Finding finding{std::move(look.second), 1};
    // Another trouble that passes by itself (a 502 after a 500) is the same one, with news.
    if (!first && finding.trouble && before->second.trouble) {
      finding.looks = before->second.looks + 1;
    }
    const bool was_told = !first && before->second.told();
    if (finding.told() && (!was_told || before->second.trouble != finding.trouble)) {
      news.insert(organization);
    }
    next.emplace(organization, std::move(finding));
  }
  known = std::move(next);
  return news;
}

void Findings::forget(const kube::ObjectKey& connection) {
  const base::Lock lock(mutex_);
  findings_.erase(connection);
}

std::optional<Findings::Known> Findings::of(const kube::ObjectKey& connection,
                                            const std::string& organization) const {
  const base::Lock lock(mutex_);
  const auto looked_at = findings_.find(connection);
  if (looked_at == findings_.end()) return std::nullopt;
  const auto found = looked_at->second.find(organization);
  if (found == looked_at->second.end() || !found->second.told()) return std::nullopt;
  return Known{found->second.trouble};
}

}  // namespace quay_rotator::connection
