#include "bench/micro/allocations.h"

#include <cstdlib>
#include <new>

namespace {

std::uint64_t total_count = 0;
std::uint64_t total_bytes = 0;

}  // namespace

// Those of arrays, and those that do not throw, call this one.
void* operator new(std::size_t size) {
  ++total_count;
  total_bytes += size;
  if (void* block = std::malloc(size == 0 ? 1 : size)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace quay_rotator::bench {

Allocations::Allocations() : count_(total_count), bytes_(total_bytes) {}

void Allocations::report(benchmark::State& state) const {
  using benchmark::Counter;
  const auto of_one = [](std::uint64_t total) {
    return Counter(static_cast<double>(total), Counter::kAvgIterations);
  };
  const std::uint64_t count = total_count - count_;
  const std::uint64_t bytes = total_bytes - bytes_;
  state.counters["allocs"] = of_one(count);
  state.counters["bytes"] = of_one(bytes);
}

}  // namespace quay_rotator::bench
