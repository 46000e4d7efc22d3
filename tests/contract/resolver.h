// The names that tests use. This program's getaddrinfo stands before the C library's, also for
// shared libraries: "*.test" resolves to 127.0.0.1, "missing.test" does not, and "slow.test" only
// when the test lets it.
#pragma once

namespace quay_rotator::contract {

// While one lives, look-ups of "slow.test" block.
class SlowName {
 public:
  SlowName();
  ~SlowName();
  SlowName(const SlowName&) = delete;
  SlowName& operator=(const SlowName&) = delete;
  // Blocks until somebody looks the name up.
  void await_lookup();
};

}  // namespace quay_rotator::contract
