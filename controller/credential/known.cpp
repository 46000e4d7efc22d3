#include "credential/known.h"

#include <algorithm>

namespace quay_rotator::credential {

bool Known::is_older(base::Fingerprint fingerprint) const {
  return std::ranges::find(superseded, fingerprint) != superseded.end();
}

bool Known::persists(base::Fingerprint fingerprint) const {
  return stale == fingerprint && stale_for >= hold;
}

}  // namespace quay_rotator::credential
