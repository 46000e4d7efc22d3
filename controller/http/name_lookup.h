// Names to addresses, within the caller's deadline.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/time.h"
#include "http/address.h"

namespace quay_rotator::http {

struct NameLookup {
  enum class End { done, timeout, stopped };
  End end = End::done;
  // In the order in which they are to be tried; empty: the host does not resolve.
  std::vector<Address> addresses;
};

// Numeric hosts are read, others asked for: in a thread of its own, since the system's resolver
// knows no deadline. A look-up that is given up ends by itself and holds nothing of the caller's.
// Thread-safe.
NameLookup look_up(const std::string& host, base::MonotonicTime deadline,
                   const std::stop_token& stop);

}  // namespace quay_rotator::http
