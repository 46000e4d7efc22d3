// OpenSSL without memory, at a chosen place.
#pragma once

namespace quay_rotator::contract {

// Call before anything uses OpenSSL, or nothing fails.
void let_allocations_fail();

// While one lives, the `nth` allocation of OpenSSL in this thread fails, counted from 0.
class FailingAllocation {
 public:
  explicit FailingAllocation(int nth);
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();
  // Whether there were that many.
  [[nodiscard]] bool happened() const;
};

}  // namespace quay_rotator::contract
