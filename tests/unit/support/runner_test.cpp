#include "support/runner.h"

#include <exception>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::testing {
namespace {

// Each test with the runners that work in this build.
class RunnersTest : public ::testing::TestWithParam<std::unique_ptr<Runners> (*)()> {
 protected:
  std::unique_ptr<Runners> runners_ = GetParam()();
};

std::string name_of(const ::testing::TestParamInfo<RunnersTest::ParamType>& info) {
  return info.param == make_threads ? "Threads" : "Fibers";
}

// Threads alone under the sanitizers.
const auto kinds = make_runners == make_threads
                       ? std::vector<RunnersTest::ParamType>{make_threads}
                       : std::vector<RunnersTest::ParamType>{make_threads, make_fibers};
INSTANTIATE_TEST_SUITE_P(Runner, RunnersTest, ::testing::ValuesIn(kinds), name_of);

TEST_P(RunnersTest, TakeTurns) {
  std::string order;
  std::unique_ptr<Runner> left;
  std::unique_ptr<Runner> right;
  left = runners_->make([&]() -> Runner& {
    order += "L1 ";
    left->pass_to(*right);
    order += "L2 ";
    left->pass_to(runners_->first());
    order += "L3 ";
    return *right;
  });
  right = runners_->make([&]() -> Runner& {
    order += "R1 ";
    right->pass_to(*left);
    order += "R2 ";
    return runners_->first();
  });
  runners_->first().pass_to(*left);
  order += "main ";
  runners_->first().pass_to(*left);
  EXPECT_EQ(order, "L1 R1 L2 main L3 R2 ");
}

TEST_P(RunnersTest, MayPassOnWhileTheyHandleExceptions) {
  std::string order;
  const auto fail = [&](const char* name, Runner& self, Runner& other) {
    struct Unwinding {
      Runner& self;
      Runner& other;
      ~Unwinding() { self.pass_to(other); }
    };
    try {
      const Unwinding unwinding{self, other};
      throw std::runtime_error(name);
    } catch (const std::runtime_error&) {
      self.pass_to(other);
      try {
        throw;  // the one that this runner handles
      } catch (const std::runtime_error& error) {
        order += error.what();
      }
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
  };
  std::unique_ptr<Runner> other;
  Runner& first = runners_->first();
  other = runners_->make([&]() -> Runner& {
    fail("other ", *other, first);
    return first;
  });
  fail("first ", first, *other);
  first.pass_to(*other);
  EXPECT_EQ(order, "first other ");
}

TEST_P(RunnersTest, EndWhatTheirBodyOwnsBeforeTheNextRuns) {
  const auto owned = std::make_shared<int>(1);
  Runner& first = runners_->first();
  for (int round = 0; round < 100; ++round) {
    const auto runner = runners_->make([owned, &first]() -> Runner& { return first; });
    first.pass_to(*runner);
    EXPECT_EQ(owned.use_count(), 1);
  }
}

}  // namespace
}  // namespace quay_rotator::testing
