// What was counted before, as the repository keeps it, and what has grown since.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <ostream>
#include <string>

#include "bench/instructions/profile.h"

namespace quay_rotator::bench {

// Instructions of one unit (a rotation, a resource, a minute), and what the most expensive
// functions have of it: all of the operator's with what they call, libraries' without.
struct Count {
  std::uint64_t total = 0;
  std::map<std::string, std::uint64_t> functions;
};
Count count_of(const Profile& profile, std::uint64_t units);

// By phase. As text: "phase <TAB> total", and "phase <TAB> instructions <TAB> function".
using Counts = std::map<std::string, Count>;
Counts read_counts(std::istream& lines);
void write_counts(std::ostream& lines, const Counts& counts);

// Prints how each phase compares, and where one has grown by more than a tenth. False when one has
// more than doubled, or has no
// baseline: every feature moves the counts, and a number is no reason not to have it.
bool compare(std::ostream& out, const Counts& before, const Counts& now);

}  // namespace quay_rotator::bench
