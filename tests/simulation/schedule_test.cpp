// Of schedules themselves; many of them are run by the program simulate.
#include "simulation/schedule.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::simulation {
namespace {

using ::testing::ElementsAre;

TEST(Schedules, ReplayExactly) {
  for (const std::uint64_t seed : {7U, 8U, 9U}) {
    EXPECT_EQ(run_schedule(seed, true).trace, run_schedule(seed, true).trace);
  }
}

TEST(Schedules, HoldEveryKindOfFault) {
  std::set<FaultKind> drawn;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    for (const Fault& fault : draw_plan(seed).faults) drawn.insert(fault.kind);
  }
  EXPECT_EQ(drawn.size(), fault_kind_count);
}

TEST(Schedules, AreShrunkToTheFaultsThatMatter) {
  const Plan plan = draw_plan(7);
  ASSERT_GT(plan.faults.size(), 5U);
  const auto texts = [](const Plan& some) {
    std::vector<std::string> all;
    for (const Fault& fault : some.faults) all.push_back(fault.text());
    return all;
  };
  const std::string first = plan.faults[1].text();
  const std::string last = plan.faults.back().text();
  const Plan fewest = shrink(plan, [&](const Plan& candidate) {
    const std::vector<std::string> left = texts(candidate);
    return std::ranges::count(left, first) == 1 && std::ranges::count(left, last) == 1;
  });
  EXPECT_THAT(texts(fewest), ElementsAre(first, last));
}

TEST(Coverage, NamesWhatIsZeroWithoutAReason) {
  Coverage coverage;
  for (std::size_t kind = 0; kind < fault_kind_count; ++kind) {
    for (std::size_t step = 0; step < step_count; ++step) {
      const auto cell = std::pair{static_cast<FaultKind>(kind), static_cast<Step>(step)};
      if (cell != std::pair{FaultKind::crash, Step::publish} &&
          impossible(cell.first, cell.second).empty()) {
        coverage.add(cell.first, cell.second);
      }
    }
  }
  EXPECT_EQ(coverage.unexplained(), "crash x publish");
  coverage.add(FaultKind::crash, Step::publish);
  EXPECT_EQ(coverage.unexplained(), "");
}

}  // namespace
}  // namespace quay_rotator::simulation
