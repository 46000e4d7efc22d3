// The names that tests use. This program's getaddrinfo stands before the C library's, also for
// shared libraries: "*.test" resolves to 127.0.0.1, "missing.test" does not, and "slow.test" only
// when the test lets it. "metadata.test" resolves to 169.254.169.254, "both.test" to that first and
// then to 127.0.0.1.
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

// From its making on the first look-up of "rebinding.test" gives 127.0.0.1, each other one
// 169.254.169.254.
class Rebinding {
 public:
  Rebinding();
  static int lookups();
};

}  // namespace quay_rotator::contract
