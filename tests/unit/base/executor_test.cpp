#include "base/executor.h"

#include <pthread.h>
#include <set>

#include <gtest/gtest.h>

#include "base/mutex.h"

namespace quay_rotator::base {
namespace {

using namespace std::chrono_literals;

class SystemExecutor : public testing::Test {
 protected:
  std::unique_ptr<Executor> executor_ = make_system_executor();
  Mutex mutex_;
  std::unique_ptr<Signal> signal_ = executor_->make_signal();
};

TEST_F(SystemExecutor, RunsThreadsWithTheirNamesCutToWhatLinuxKeeps) {
  std::string name(16, '\0');
  const auto thread = executor_->spawn("a-name-that-is-too-long", [&](const std::stop_token&) {
    pthread_getname_np(pthread_self(), name.data(), name.size());
  });
  thread->join();
  thread->join();
  EXPECT_STREQ(name.c_str(), "a-name-that-is-");
}

TEST_F(SystemExecutor, StopsAndJoinsAThreadThatIsDestroyed) {
  bool stopped = false;
  {
    const auto thread = executor_->spawn(
        "sleeper", [&](const std::stop_token& stop) { stopped = !executor_->sleep_for(1h, stop); });
  }
  EXPECT_TRUE(stopped);
}

TEST_F(SystemExecutor, SleepsUntilTheTimeHasCome) {
  const MonotonicTime before = executor_->now();
  EXPECT_TRUE(executor_->sleep_for(1ms, {}));
  EXPECT_GE(executor_->now(), before + 1ms);
}

TEST_F(SystemExecutor, SignalWakesEveryWaiter) {
  int waiting = 0;
  bool go = false;
  const auto wait = [&](const std::stop_token& stop) {
    Lock lock(mutex_);
    ++waiting;
    signal_->notify_all();
    while (!go) ASSERT_TRUE(signal_->wait_until(lock, MonotonicTime::max(), stop));
  };
  const auto first = executor_->spawn("first", wait);
  const auto second = executor_->spawn("second", wait);
  {
    Lock lock(mutex_);
    while (waiting < 2) ASSERT_TRUE(signal_->wait_until(lock, MonotonicTime::max(), {}));
    go = true;
  }
  signal_->notify_all();
  first->join();
  second->join();
}

TEST_F(SystemExecutor, WaitEndsAtTheDeadlineAndAtAStop) {
  Lock lock(mutex_);
  const MonotonicTime deadline = executor_->now() + 1ms;
  EXPECT_FALSE(signal_->wait_until(lock, deadline, {}));
  EXPECT_GE(executor_->now(), deadline);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(signal_->wait_until(lock, MonotonicTime::max(), stop.get_token()));
  EXPECT_FALSE(executor_->sleep_until(MonotonicTime::max(), stop.get_token()));
}

TEST_F(SystemExecutor, StopWakesAWaiter) {
  bool ended = false;
  const auto thread = executor_->spawn("waiter", [&](const std::stop_token& stop) {
    Lock lock(mutex_);
    while (signal_->wait_until(lock, MonotonicTime::max(), stop)) {
    }
    ended = true;
  });
  thread->request_stop();
  thread->join();
  EXPECT_TRUE(ended);
}

TEST_F(SystemExecutor, DrawsDifferentNumbersFromAnyThread) {
  std::set<std::uint64_t> numbers;
  const auto draw = [&](const std::stop_token&) {
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t number = executor_->random();
      const Lock lock(mutex_);
      numbers.insert(number);
    }
  };
  const auto first = executor_->spawn("first", draw);
  const auto second = executor_->spawn("second", draw);
  first->join();
  second->join();
  EXPECT_EQ(numbers.size(), 200U);
}

TEST_F(SystemExecutor, RandomBelowStaysBelow) {
  EXPECT_EQ(executor_->random_below(0s), 0s);
  EXPECT_EQ(executor_->random_below(1ns), 0s);
  bool low = false;
  bool high = false;
  for (int i = 0; i < 1000; ++i) {
    const Duration drawn = executor_->random_below(10s);
    ASSERT_GE(drawn, 0s);
    ASSERT_LT(drawn, 10s);
    low = low || drawn < 5s;
    high = high || drawn >= 5s;
  }
  EXPECT_TRUE(low && high);
}

}  // namespace
}  // namespace quay_rotator::base
