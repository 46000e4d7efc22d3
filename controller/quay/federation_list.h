// Whose tokens stand for a robot: a list that several may write and that Quay replaces as a whole.
// What others put in stays; only what is ours goes. Pure.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <vector>

namespace quay_rotator::quay {

struct FederationEntry {
  std::string issuer;   // "https://…"
  std::string subject;  // "system:serviceaccount:team-a:puller"
  auto operator<=>(const FederationEntry&) const = default;
};
using FederationList = std::vector<FederationEntry>;

// What to write so that `ours` is in it, and `former` (which was ours, too) is not; nothing: it is
// as it should be.
std::optional<FederationList> with_entry(const FederationList& there, const FederationEntry& ours,
                                         const std::optional<FederationEntry>& former);
std::optional<FederationList> without_entry(const FederationList& there,
                                            const FederationEntry& ours);

}  // namespace quay_rotator::quay
