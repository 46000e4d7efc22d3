// Many short lives under faults. A seed that fails is replayed with
//   QUAY_ROTATOR_SEED=<seed> build/bin/simulation --gtest_filter=Schedules.*
#include "simulation/schedule.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace quay_rotator::simulation {
namespace {

constexpr std::uint64_t fixed_seeds = 300;

std::uint64_t number_in(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  const std::string_view digits(text);
  std::uint64_t number = fallback;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

void expect_promises_kept(std::uint64_t seed, bool with_logs) {
  const Outcome outcome = run_schedule(seed, with_logs);
  if (with_logs) {
    for (const std::string& line : outcome.trace) std::cout << line << "\n";
  }
  for (const std::string& violation : outcome.violations) {
    ADD_FAILURE() << violation << "\n  replay: QUAY_ROTATOR_SEED=" << seed
                  << " build/bin/simulation --gtest_filter=Schedules.*";
  }
}

TEST(Schedules, KeepThePromises) {
  if (const std::uint64_t seed = number_in("QUAY_ROTATOR_SEED", 0); seed != 0) {
    return expect_promises_kept(seed, true);
  }
  const std::uint64_t count = number_in("QUAY_ROTATOR_SEEDS", fixed_seeds);
  const auto started = std::chrono::steady_clock::now();
  std::uint64_t commits = 0;
  std::uint64_t deaths = 0;
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    const Outcome outcome = run_schedule(seed);
    commits += static_cast<std::uint64_t>(outcome.commits);
    deaths += static_cast<std::uint64_t>(outcome.deaths);
    for (const std::string& violation : outcome.violations) {
      ADD_FAILURE() << violation << "\n  replay: QUAY_ROTATOR_SEED=" << seed
                    << " build/bin/simulation --gtest_filter=Schedules.*";
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::cout << count << " schedules, " << commits << " regenerations, " << deaths << " deaths, "
            << static_cast<double>(count) / took.count() << " schedules/s\n";
  EXPECT_GT(commits, 2 * count);  // else the schedules do not test what they should
  EXPECT_GT(deaths, count);
}

TEST(Schedules, ReplayExactly) {
  for (const std::uint64_t seed : {7U, 8U, 9U}) {
    EXPECT_EQ(run_schedule(seed, true).trace, run_schedule(seed, true).trace);
  }
}

}  // namespace
}  // namespace quay_rotator::simulation
