// Every disaster of the torture, by name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "torture/etcd.h"
#include "torture/lane.h"

namespace quay_rotator::torture {

// The size at which the tortured etcd is full.
constexpr std::size_t etcd_quota = std::size_t{64} << 20U;

// What befalls one lane, in its thread: from the request to the end of the fault. Several lanes
// suffer at once, each a disaster of its own. With `break_all` it befalls all lanes at once, one
// disaster for all: strike in each lane, break_all, meanwhile in each lane, mend_all, after in each
// lane.
struct Disaster {
  std::string name;
  std::function<void(Lane&)> strike;
  std::function<void(Etcd&)> break_all{};
  std::function<void(Lane&)> meanwhile{};
  std::function<void(Etcd&)> mend_all{};
  std::function<void(Lane&)> after{};
  // A process that is frozen between its last look at the clock and the socket may cost one more
  // regeneration, as docs/reliability.md says: counted, and no failure.
  bool may_regenerate_again = false;
  // Why a quick run leaves it out; "": it does not.
  std::string left_out{};
};

std::vector<Disaster> disasters();

}  // namespace quay_rotator::torture
