// What Quay's simulator noted of the requests that it got.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"

namespace quay_rotator::bench {

struct QuayRequest {
  std::string endpoint;  // robot-get, robot-list, regenerate, auth, v2-challenge, …
  std::string robot;     // "" for a list
  base::WallTime time;
  base::WallTime committed;  // of a regeneration: from here on the old token is dead
};

void clear_journal();
// Since it was cleared. `query` narrows it down, e.g. "endpoint=regenerate&committed=true"; with
// `count` it waits for that many and throws when they do not come.
std::vector<QuayRequest> journal(const std::string& query = "", std::size_t count = 0);
// A robot's name in a query.
std::string encoded(std::string robot);
// Quay's commit of the robot's only regeneration since the journal was cleared; waits for it.
base::WallTime commit_of(const std::string& robot);

}  // namespace quay_rotator::bench
