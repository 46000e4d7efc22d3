#include "base/one_reader.h"

#include <memory>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

using std::chrono::milliseconds;

TEST(OneReaderTest, ReadsEachTimeWhereNobodyElseDoes) {
  const auto executor = make_system_executor();
  OneReader reader(*executor);
  int reads = 0;
  reader.read([&] { ++reads; }, {});
  reader.read([&] { ++reads; }, {});
  EXPECT_EQ(reads, 2);
}

TEST(OneReaderTest, WhoComesMeanwhileWaitsAndDoesNotRead) {
  const auto executor = make_system_executor();
  OneReader reader(*executor);
  int reads = 0;
  int inside = 0;
  reader.read(
      [&] {
        ++reads;
        // The others are stopped while they wait, for this thread cannot wait for them to do so.
        const auto other = executor->spawn(
            "other", [&](const std::stop_token& stop) { reader.read([&] { ++inside; }, stop); });
        other->request_stop();
        other->join();
      },
      {});
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(inside, 0);
}

TEST(OneReaderTest, AReadThatThrowsLeavesTheNextOneFree) {
  const auto executor = make_system_executor();
  OneReader reader(*executor);
  EXPECT_THROW(reader.read([] { throw std::runtime_error("no"); }, {}), std::runtime_error);
  int reads = 0;
  reader.read([&] { ++reads; }, {});
  EXPECT_EQ(reads, 1);
}

}  // namespace
}  // namespace quay_rotator::base
