// What was measured again and again, and whether it grew.
#pragma once

#include <string>
#include <vector>

namespace quay_rotator::soak {

// Not synchronized. Samples are taken at even intervals.
struct Series {
  std::string name;
  std::string unit;
  // The last quarter may be above the second by this share, or by this much, whichever is more.
  // (The first quarter is left out: caches fill, the allocator finds its size.)
  double share = 0;
  double amount = 0;
  std::vector<double> samples{};

  [[nodiscard]] bool flat() const;
  // A line of the table. `hours` is what the samples cover.
  void print(double hours) const;
  static void print_header();
};

}  // namespace quay_rotator::soak
