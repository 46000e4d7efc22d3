// Who regenerated a robot's token and from where it was used, as the log of its organization or
// user tells it.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"

namespace quay_rotator::quay {

// The log tells no fingerprint (seen on a real Quay): match it by the time, which has whole seconds
// and is that of the entry, written after the commit. All texts are the server's, shown as
// public_text() does.
struct Regeneration {
  base::WallTime time;
  std::string
      performer;        // the user; of an API token the one who granted it; "" where Quay has none
  std::string address;  // that Quay saw
  std::string application;  // of the API token that was used; "": by hand, in Quay's web page

  bool operator==(const Regeneration&) const = default;
};

// From where somebody logged in or pulled as the robot.
struct Use {
  std::string address;
  int count = 0;
  base::WallTime first;
  base::WallTime last;

  bool operator==(const Use&) const = default;
};

struct Regenerations {
  std::vector<Regeneration> entries;  // the newest first
  std::vector<Use> uses;              // by address, the most recent first
  // There may be more: the log was longer than is read of it, or a part of it could not be read.
  bool incomplete = false;
};

}  // namespace quay_rotator::quay
