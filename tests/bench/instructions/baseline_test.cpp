#include "bench/instructions/baseline.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

const Counts before{{"rotation", {1000, {{"quay_rotator::kube::parse", 500}, {"malloc", 100}}}}};

std::string outcome(const Counts& now, bool good) {
  std::ostringstream out;
  EXPECT_EQ(compare(out, before, now), good);
  return out.str();
}

TEST(Baseline, IsReadAsItWasWritten) {
  std::stringstream text;
  write_counts(text, before);
  const Counts read = read_counts(text);
  EXPECT_EQ(read.at("rotation").total, 1000U);
  EXPECT_EQ(read.at("rotation").functions, before.at("rotation").functions);
}

TEST(Baseline, ToleratesATenthInSilence) {
  EXPECT_THAT(outcome({{"rotation", {1100, {}}}}, true), Not(HasSubstr("where it grew")));
}

TEST(Baseline, ToleratesADouble) {
  EXPECT_THAT(outcome({{"rotation", {2000, {}}}}, true), HasSubstr("where it grew"));
}

TEST(Baseline, SaysWhereMoreThanADoubleWent) {
  const std::string text = outcome(
      {{"rotation",
        {2001,
         {{"quay_rotator::kube::parse", 501}, {"malloc", 90}, {"quay_rotator::kube::copy", 100}}}}},
      false);
  EXPECT_THAT(text, HasSubstr("100             0           100  quay_rotator::kube::copy"));
  EXPECT_THAT(text, HasSubstr("1           500           501  quay_rotator::kube::parse"));
  EXPECT_THAT(text, Not(HasSubstr("malloc")));
}

TEST(Baseline, WantsEveryPhase) {
  outcome({{"idle", {1, {}}}}, false);
}

TEST(Baseline, NoticesWhatGotCheaper) {
  EXPECT_THAT(outcome({{"rotation", {800, {}}}}, true), HasSubstr("UPDATE=1"));
}

TEST(Baseline, RefusesALineThatIsNone) {
  std::istringstream lines("rotation many\n");
  EXPECT_THROW(read_counts(lines), std::runtime_error);
}

}  // namespace
}  // namespace quay_rotator::bench
