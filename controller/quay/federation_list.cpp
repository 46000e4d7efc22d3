#include "quay/federation_list.h"

#include <algorithm>

namespace quay_rotator::quay {

std::optional<FederationList> with_entry(const FederationList& there, const FederationEntry& ours,
                                         const std::optional<FederationEntry>& former) {
  FederationList wanted = there;
  if (former && *former != ours) std::erase(wanted, *former);
  if (std::ranges::find(wanted, ours) == wanted.end()) wanted.push_back(ours);
  if (wanted == there) return std::nullopt;
  return wanted;
}

std::optional<FederationList> without_entry(const FederationList& there,
                                            const FederationEntry& ours) {
  FederationList wanted = there;
  if (std::erase(wanted, ours) == 0) return std::nullopt;
  return wanted;
}

}  // namespace quay_rotator::quay
