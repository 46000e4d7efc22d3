// What is known of a robot's tokens before, and while, Quay is asked.
//
// Quay's reads may lag (read replicas, caches). A fingerprint that is known to be older than the
// newest is a stale read: it is never published, and Quay is asked again. Only one that stays for
// the whole hold, and that the registry accepts, is the truth: a backup of Quay was put back.
#pragma once

#include <optional>
#include <vector>

#include "base/fingerprint.h"
#include "base/time.h"

namespace quay_rotator::credential {

struct Known {
  std::optional<base::Fingerprint> token;     // the status's
  std::vector<base::Fingerprint> superseded;  // that were current before it
  // What Quay answered when it was last asked, if that was a stale read, and since when it has
  // answered nothing else, on this process's monotonic clock.
  std::optional<base::Fingerprint> stale;
  base::Duration stale_for{};
  // How long a POST of which nobody knows what became of it may still be carried out.
  base::Duration hold{};

  [[nodiscard]] bool is_older(base::Fingerprint fingerprint) const;
  // It has been answered, and nothing else, for the whole hold.
  [[nodiscard]] bool persists(base::Fingerprint fingerprint) const;
  void supersede(base::Fingerprint fingerprint) { superseded.push_back(fingerprint); }
  // It is current (again).
  void believe(base::Fingerprint fingerprint) { std::erase(superseded, fingerprint); }
};

}  // namespace quay_rotator::credential
