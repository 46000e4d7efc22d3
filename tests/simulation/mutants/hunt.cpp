// Runs schedules against the operator with one deliberate bug in it, and fails unless the checker
// sees the promise that the bug breaks broken. The tests of this folder's CMakeLists.txt are
//   mutant-<name> <name> <promise> <what the bug does> [<seed>]
//
// Schedules are run until that is seen, at most 5,000 of them and at least 40, or as many as
// QUAY_ROTATOR_SEEDS says. Prints a row of the table in docs/reliability.md. Without
// QUAY_ROTATOR_SEEDS the schedule of that seed is tried first, and if it shows the bug that is all.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>
#include <string>

#include "simulation/schedule.h"

namespace {

constexpr std::uint64_t most_schedules = 5000;
constexpr std::uint64_t least_schedules = 40;

// The promises that a schedule found broken; a replica that dies by itself is none of them.
std::set<std::string> broken_by(std::uint64_t seed) {
  std::set<std::string> broken;
  for (const std::string& violation : quay_rotator::simulation::run_schedule(seed).violations) {
    broken.insert(violation.substr(0, violation.find(' ')));
  }
  return broken;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4 && count != 5) {
    std::cerr << "usage: " << arguments[0] << " <name> <promise> <what the bug does> [<seed>]\n";
    return 2;
  }
  const std::string name = arguments[1];
  const std::string promise = arguments[2];
  const char* wanted = std::getenv("QUAY_ROTATOR_SEEDS");
  const std::uint64_t least =
      wanted == nullptr ? least_schedules : std::strtoull(wanted, nullptr, 10);
  if (count == 5 && wanted == nullptr &&
      broken_by(std::strtoull(arguments[4], nullptr, 10)).contains(promise)) {
    std::cout << name << ": seed " << arguments[4] << " shows that " << promise << " is broken\n";
    return 0;
  }

  std::set<std::string> others;
  std::uint64_t first = 0;
  std::uint64_t caught = 0;
  std::uint64_t schedules = 0;
  while (schedules < least || (first == 0 && schedules < most_schedules)) {
    const std::set<std::string> broken = broken_by(++schedules);
    for (const std::string& other : broken) {
      if (other.starts_with('I') && other != promise) others.insert(other);
    }
    if (!broken.empty()) ++caught;
    if (first == 0 && broken.contains(promise)) first = schedules;
  }

  std::cout << "| " << name << " | " << arguments[3] << " | " << promise;
  for (const std::string& other : others) std::cout << ", " << other;
  std::cout << " | " << first << " | " << caught << " of " << schedules << " |\n";
  if (first != 0) return 0;
  std::cerr << name << ": the checker does not see that " << promise << " is broken\n";
  return 1;
}
