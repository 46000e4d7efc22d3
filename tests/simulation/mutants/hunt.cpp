// Runs schedules against the operator with one deliberate bug in it, and fails unless the checker
// sees the promise that the bug breaks broken. The tests of this folder's CMakeLists.txt are
//   mutant-<name> <name> <promise> <what the bug does> [<seed> | <fault>[@<step>] ...]
//
// Schedules are run until that is seen, at most 5,000 of them and at least 40, or as many as
// QUAY_ROTATOR_SEEDS says. Prints a row of the table in docs/reliability.md. Without
// QUAY_ROTATOR_SEEDS what is named at the end is tried first, and if it shows the bug that is all:
// the schedule of that seed, or a few hundred in each of which those faults come together.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulation/schedule.h"

namespace {

constexpr std::uint64_t most_schedules = 5000;
constexpr std::uint64_t least_schedules = 40;
constexpr std::uint64_t most_directed = 300;

using quay_rotator::simulation::Plan;

// The promises that a schedule found broken; a replica that dies by itself is none of them.
std::set<std::string> broken_by(const Plan& plan) {
  std::set<std::string> broken;
  for (const std::string& violation : quay_rotator::simulation::run_schedule(plan).violations) {
    broken.insert(violation.substr(0, violation.find(' ')));
  }
  return broken;
}

// What the test names at its end; nothing: neither a seed nor faults.
std::optional<std::vector<Plan>> directed(const std::vector<std::string>& words) {
  namespace simulation = quay_rotator::simulation;
  if (words.size() == 1 && words.front().find_first_not_of("0123456789") == std::string::npos) {
    return std::vector{simulation::draw_plan(std::stoull(words.front()))};
  }
  std::vector<simulation::Aim> together;
  for (const std::string& word : words) {
    const std::size_t at = word.find('@');
    const auto kind = simulation::fault_kind(word.substr(0, at));
    if (!kind) return std::nullopt;
    together.push_back({*kind, std::nullopt});
    if (at == std::string::npos) continue;
    together.back().step = simulation::step(word.substr(at + 1));
    if (!together.back().step) return std::nullopt;
  }
  std::vector<Plan> plans;
  for (std::uint64_t seed = 1; !words.empty() && seed <= most_directed; ++seed) {
    plans.push_back(simulation::draw_plan(seed, together));
  }
  return plans;
}

}  // namespace

int main(int count, char** arguments) {
  const auto plans = directed({arguments + std::min(count, 4), arguments + count});
  if (count < 4 || !plans) {
    std::cerr << "usage: " << arguments[0]
              << " <name> <promise> <what the bug does> [<seed> | <fault>[@<step>] ...]\n";
    return 2;
  }
  const std::string name = arguments[1];
  const std::string promise = arguments[2];
  const char* wanted = std::getenv("QUAY_ROTATOR_SEEDS");
  const std::uint64_t least =
      wanted == nullptr ? least_schedules : std::strtoull(wanted, nullptr, 10);
  std::uint64_t tried = 0;
  for (const Plan& plan : wanted == nullptr ? *plans : std::vector<Plan>()) {
    ++tried;
    if (!broken_by(plan).contains(promise)) continue;
    std::cout << name << ": schedule " << tried << " of those that are drawn for it shows that "
              << promise << " is broken\n";
    return 0;
  }

  std::set<std::string> others;
  std::uint64_t first = 0;
  std::uint64_t caught = 0;
  std::uint64_t schedules = 0;
  while (schedules < least || (first == 0 && schedules < most_schedules)) {
    const std::set<std::string> broken =
        broken_by(quay_rotator::simulation::draw_plan(++schedules));
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
