// What a benchmark allocates: this program's operator new counts.
#pragma once

#include <cstdint>

#include <benchmark/benchmark.h>

namespace quay_rotator::bench {

// Counts from here to report(), which adds the counters "allocs" and "bytes" of one iteration. One
// thread at a time.
class Allocations {
 public:
  Allocations();
  void report(benchmark::State& state) const;

 private:
  std::uint64_t count_;
  std::uint64_t bytes_;
};

}  // namespace quay_rotator::bench
