#include "support/virtual_executor.h"

#include <set>

#include <gtest/gtest.h>

#include "base/mutex.h"

namespace quay_rotator::testing {
namespace {

using namespace std::chrono_literals;
using base::Duration;
using base::MonotonicTime;
using base::Signal;
using base::Thread;

// Three threads write their letter between sleeps; who comes first at one instant is chance.
std::string order_of(std::uint64_t seed, VirtualExecutor::MakeRunners make = make_runners) {
  std::string order;
  VirtualExecutor executor(seed, make);
  executor.run([&] {
    std::vector<std::unique_ptr<Thread>> threads;
    for (const char letter : {'a', 'b', 'c'}) {
      threads.push_back(executor.spawn({letter}, [&, letter](const std::stop_token& stop) {
        for (int i = 0; i < 5; ++i) {
          order += letter;
          executor.sleep_for(Duration{1s}, stop);
        }
      }));
    }
    for (const auto& thread : threads) thread->join();
  });
  return order;
}

TEST(VirtualExecutor, ReplaysASeedAndDiffersBetweenSeeds) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    orders.insert(order_of(seed));
    EXPECT_EQ(order_of(seed), order_of(seed));
  }
  EXPECT_GT(orders.size(), 10U);
}

TEST(VirtualExecutor, ReplaysTheSameWithThreads) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(order_of(seed), order_of(seed, make_threads));
  }
}

TEST(VirtualExecutor, TimePassesOnlyWhileEverybodyWaits) {
  VirtualExecutor executor(1);
  const MonotonicTime start = executor.now();
  EXPECT_EQ(base::format_time(executor.wall_now()), "2026-03-01T12:00:00Z");
  EXPECT_TRUE(executor.sleep_for(1000h, {}));
  EXPECT_EQ(executor.now(), start + 1000h);
  EXPECT_EQ(base::format_time(executor.wall_now()), "2026-04-12T04:00:00Z");
  executor.shift_wall_clock(-1000h);
  EXPECT_EQ(base::format_time(executor.wall_now()), "2026-03-01T12:00:00Z");
  EXPECT_EQ(executor.now(), start + 1000h);
}

TEST(VirtualExecutor, SleepersWakeInTheOrderOfTheirDeadlines) {
  VirtualExecutor executor(3);
  std::vector<int> order;
  std::vector<std::unique_ptr<Thread>> threads;
  for (const int seconds : {3, 1, 2}) {
    threads.push_back(executor.spawn("sleeper", [&, seconds](const std::stop_token& stop) {
      executor.sleep_for(std::chrono::seconds(seconds), stop);
      order.push_back(seconds);
    }));
  }
  executor.advance(2s);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  threads.clear();  // stops the last one
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(VirtualExecutor, SignalWakesItsWaitersAndNobodyElse) {
  VirtualExecutor executor(4);
  base::Mutex mutex;
  const auto signal = executor.make_signal();
  const auto other = executor.make_signal();
  int woken = 0;
  const auto wait_on = [&](Signal& which) {
    return executor.spawn("waiter", [&](const std::stop_token& stop) {
      base::Lock lock(mutex);
      while (which.wait_until(lock, MonotonicTime::max(), stop)) ++woken;
    });
  };
  const auto first = wait_on(*signal);
  const auto second = wait_on(*signal);
  const auto third = wait_on(*other);
  executor.settle();
  {
    const base::Lock lock(mutex);
    signal->notify_all();
  }
  executor.settle();
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(executor.now(), VirtualExecutor::monotonic_start);
}

TEST(VirtualExecutor, WaitEndsAtTheDeadlineAndAtAStop) {
  VirtualExecutor executor(5);
  base::Mutex mutex;
  const auto signal = executor.make_signal();
  base::Lock lock(mutex);
  const MonotonicTime deadline = executor.now() + 5s;
  EXPECT_FALSE(signal->wait_until(lock, deadline, {}));
  EXPECT_EQ(executor.now(), deadline);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(signal->wait_until(lock, MonotonicTime::max(), stop.get_token()));
  EXPECT_FALSE(executor.sleep_until(MonotonicTime::max(), stop.get_token()));
  EXPECT_EQ(executor.now(), deadline);
}

TEST(VirtualExecutor, StopWakesASleeper) {
  VirtualExecutor executor(6);
  std::optional<bool> slept;
  executor.run([&] {
    const auto thread = executor.spawn("sleeper", [&](const std::stop_token& stop) {
      slept = executor.sleep_until(MonotonicTime::max(), stop);
    });
    executor.settle();
    EXPECT_FALSE(slept.has_value());
  });
  EXPECT_EQ(slept, false);
}

TEST(VirtualExecutor, ThreadsMaySpawnAndJoinThreads) {
  VirtualExecutor executor(7);
  std::string order;
  executor.run([&] {
    const auto outer = executor.spawn("outer", [&](const std::stop_token&) {
      const auto inner = executor.spawn("inner", [&](const std::stop_token& stop) {
        executor.sleep_for(1s, stop);
        order += "inner ";
      });
      inner->join();
      order += "outer";
    });
    outer->join();
  });
  EXPECT_EQ(order, "inner outer");
}

TEST(VirtualExecutor, NumbersComeFromTheSeed) {
  VirtualExecutor one(8);
  VirtualExecutor same(8);
  VirtualExecutor other(9);
  const std::uint64_t number = one.random();
  EXPECT_EQ(number, same.random());
  EXPECT_NE(number, other.random());
}

TEST(VirtualExecutorDeathTest, NamesWhoWaitsForEver) {
  EXPECT_DEATH(
      {
        VirtualExecutor executor(10);
        executor.sleep_until(MonotonicTime::max(), {});
      },
      "every thread waits for ever:\n  main waits for the end of its sleep");
}

TEST(VirtualExecutorDeathTest, NamesAThreadThatOutlivesItsRun) {
  EXPECT_DEATH(
      {
        VirtualExecutor executor(11);
        std::unique_ptr<Thread> thread;
        executor.run([&] { thread = executor.spawn("forgotten", [](const std::stop_token&) {}); });
      },
      "thread forgotten was never joined");
}

}  // namespace
}  // namespace quay_rotator::testing
