#include "runtime/work_queue.h"

#include <atomic>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "support/virtual_executor.h"

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using quay_rotator::testing::VirtualExecutor;
using ::testing::ElementsAre;

kube::ObjectKey key(const std::string& name) {
  return {"team-a", name};
}

using Turn = std::pair<std::string, base::Duration>;
Turn turn(const std::string& name, base::Duration waited) {
  return {name, waited};
}

constexpr base::BackoffPolicy backoff{1s, 10s};

class WorkQueueTest : public ::testing::Test {
 protected:
  // The next key; "" when there is none now.
  std::string take_now() {
    if (queue_.depth() == 0) return "";
    const auto taken = queue_.take({});
    return taken ? taken->name : "";
  }
  std::string work_now() {
    const std::string name = take_now();
    if (!name.empty()) queue_.done(key(name));
    return name;
  }
  // Waits for the next key; the time that this took.
  Turn work_next() {
    const auto before = executor_.now();
    const auto taken = queue_.take({});
    queue_.done(*taken);
    return {taken->name, executor_.now() - before};
  }

  VirtualExecutor executor_{1};
  WorkQueue queue_{executor_, backoff};
};

TEST_F(WorkQueueTest, UrgentFirstThenFirstComeFirstServed) {
  queue_.add(key("i1"), Urgency::initial);
  queue_.add(key("n1"), Urgency::normal);
  queue_.add(key("u1"), Urgency::urgent);
  queue_.add(key("i2"), Urgency::initial);
  queue_.add(key("n2"), Urgency::normal);
  queue_.add(key("u2"), Urgency::urgent);
  queue_.add(key("o1"), Urgency::outage);
  EXPECT_EQ(queue_.depth(), 7U);
  std::vector<std::string> order;
  while (queue_.depth() > 0) order.push_back(work_now());
  EXPECT_THAT(order, ElementsAre("o1", "u1", "u2", "n1", "n2", "i1", "i2"));
}

TEST_F(WorkQueueTest, WhatIsNotUrgentEnoughWaitsUntilItIsAdmitted) {
  queue_.admit(Urgency::outage);
  queue_.add(key("u"), Urgency::urgent);
  queue_.add_at(key("o"), executor_.now() + 3s, Urgency::outage);
  EXPECT_EQ(work_next(), turn("o", base::Duration(3s)));
  std::string taken;
  const auto worker = executor_.spawn("worker", [&](const std::stop_token& stop) {
    while (const auto next = queue_.take(stop)) {
      taken += next->name;
      queue_.done(*next);
    }
  });
  executor_.advance(10s);
  EXPECT_EQ(taken, "");
  queue_.admit(Urgency::initial);
  executor_.settle();
  EXPECT_EQ(taken, "u");
}

TEST_F(WorkQueueTest, KeyThatIsAddedTwiceRunsOnceInTheMoreUrgentClass) {
  queue_.add(key("a"), Urgency::initial);
  queue_.add(key("b"), Urgency::normal);
  queue_.add(key("a"), Urgency::urgent);
  queue_.add(key("a"), Urgency::normal);
  EXPECT_EQ(queue_.depth(), 2U);
  EXPECT_EQ(work_now(), "a");
  EXPECT_EQ(work_now(), "b");
  EXPECT_EQ(queue_.depth(), 0U);
}

TEST_F(WorkQueueTest, KeyInWorkIsGivenToNobodyElseAndRunsOnceMore) {
  queue_.add(key("a"), Urgency::normal);
  ASSERT_EQ(take_now(), "a");
  queue_.add(key("a"), Urgency::initial);
  queue_.add(key("a"), Urgency::urgent);
  EXPECT_EQ(queue_.depth(), 0U);
  queue_.add(key("b"), Urgency::normal);
  queue_.done(key("a"));
  EXPECT_EQ(work_now(), "a") << "in the most urgent class that it was added with";
  EXPECT_EQ(work_now(), "b");
  EXPECT_EQ(queue_.depth(), 0U);
}

TEST_F(WorkQueueTest, DelayedKeyComesAtItsTime) {
  queue_.add_at(key("late"), executor_.now() + 2h, Urgency::normal);
  queue_.add_at(key("soon"), executor_.now() + 3s, Urgency::normal);
  EXPECT_EQ(queue_.depth(), 0U);
  EXPECT_EQ(work_next(), turn("soon", base::Duration(3s)));
  EXPECT_EQ(work_next(), turn("late", base::Duration(2h - 3s)));
}

TEST_F(WorkQueueTest, EarliestTimeAndMostUrgentClassWin) {
  queue_.add_at(key("a"), executor_.now() + 5s, Urgency::initial);
  queue_.add_at(key("a"), executor_.now() + 9s, Urgency::urgent);
  queue_.add_at(key("b"), executor_.now() + 9s, Urgency::normal);
  queue_.add_at(key("b"), executor_.now() + 5s, Urgency::normal);
  executor_.advance(5s);
  EXPECT_EQ(work_next(), turn("a", base::Duration(0s)));
  EXPECT_EQ(work_next(), turn("b", base::Duration(0s)));
}

TEST_F(WorkQueueTest, TimeInThePastIsNow) {
  queue_.add_at(key("a"), executor_.now() - 1h, Urgency::normal);
  EXPECT_EQ(work_next(), turn("a", base::Duration(0s)));
}

TEST_F(WorkQueueTest, TakingAKeyDropsItsDelay) {
  queue_.add_at(key("a"), executor_.now() + 5s, Urgency::normal);
  queue_.add(key("a"), Urgency::normal);
  ASSERT_EQ(take_now(), "a");
  queue_.add_at(key("a"), executor_.now() + 1h, Urgency::normal);
  queue_.done(key("a"));
  EXPECT_EQ(work_next(), turn("a", base::Duration(1h)));
}

TEST_F(WorkQueueTest, DelayThatEndsDuringWorkMakesTheKeyRunOnceMore) {
  queue_.add(key("a"), Urgency::normal);
  ASSERT_EQ(take_now(), "a");
  queue_.add_at(key("a"), executor_.now() + 1s, Urgency::normal);
  queue_.add_at(key("b"), executor_.now() + 2s, Urgency::normal);
  ASSERT_EQ(work_next(), turn("b", base::Duration(2s)));
  EXPECT_EQ(queue_.depth(), 0U);
  queue_.done(key("a"));
  EXPECT_EQ(work_next(), turn("a", base::Duration(0s)));
}

TEST_F(WorkQueueTest, FailuresBackOffForEachKeyUntilItIsWorkedOnWithoutOne) {
  const auto fail = [&](const char* name) {
    const auto delay = queue_.add_after_failure(key(name), Urgency::normal);
    queue_.done(key(name));
    return delay;
  };
  queue_.add(key("a"), Urgency::normal);
  ASSERT_EQ(take_now(), "a");
  base::Duration whole = 1s;
  for (int failure = 0; failure < 6; ++failure) {
    const base::Duration delay = fail("a");
    EXPECT_GE(delay, whole / 2);
    EXPECT_LE(delay, whole);
    whole = std::min<base::Duration>(whole * 2, 10s);
    const auto before = executor_.now();
    ASSERT_TRUE(queue_.take({}));
    EXPECT_EQ(executor_.now() - before, delay);
  }
  EXPECT_LE(fail("b"), 1s);
  queue_.done(key("a"));
  EXPECT_LE(fail("a"), 1s);
}

TEST_F(WorkQueueTest, RemovedKeyDoesNotComeBackAndItsFailuresAreForgotten) {
  for (int failure = 0; failure < 5; ++failure) {
    queue_.add_after_failure(key("gone"), Urgency::normal);
  }
  queue_.remove(key("gone"));
  queue_.remove(key("never seen"));
  queue_.add_at(key("b"), executor_.now() + 1h, Urgency::normal);
  EXPECT_EQ(work_next(), turn("b", base::Duration(1h)));
  EXPECT_LE(queue_.add_after_failure(key("gone"), Urgency::normal), 1s);
}

TEST_F(WorkQueueTest, EarlierKeyWakesAWorkerThatSleepsUntilALaterOne) {
  std::vector<std::string> worked;
  queue_.add_at(key("late"), executor_.now() + 1h, Urgency::normal);
  const auto worker = executor_.spawn("worker", [&](const std::stop_token& stop) {
    while (const auto taken = queue_.take(stop)) {
      worked.push_back(taken->name);
      queue_.done(*taken);
    }
  });
  executor_.settle();
  queue_.add_at(key("soon"), executor_.now() + 1s, Urgency::normal);
  executor_.advance(1s);
  EXPECT_THAT(worked, ElementsAre("soon"));
  queue_.add(key("now"), Urgency::normal);
  executor_.settle();
  EXPECT_THAT(worked, ElementsAre("soon", "now"));
  worker->request_stop();
  worker->join();
  EXPECT_THAT(worked, ElementsAre("soon", "now"));
}

TEST_F(WorkQueueTest, StopEndsTakeEvenWhenThereIsWork) {
  std::stop_source stop;
  stop.request_stop();
  queue_.add(key("a"), Urgency::urgent);
  EXPECT_FALSE(queue_.take(stop.get_token()));
  EXPECT_EQ(queue_.depth(), 1U);
}

TEST(WorkQueueMetricsTest, TellDepthWaitAndWork) {
  VirtualExecutor executor(1);
  std::vector<std::size_t> depths;
  std::vector<base::Duration> waits;
  std::vector<base::Duration> works;
  WorkQueue queue(executor, backoff,
                  {.depth = [&](std::size_t depth) { depths.push_back(depth); },
                   .started = [&](base::Duration waited) { waits.push_back(waited); },
                   .finished = [&](base::Duration worked) { works.push_back(worked); }});
  queue.add(key("a"), Urgency::normal);
  executor.advance(2s);
  ASSERT_TRUE(queue.take({}));
  executor.advance(3s);
  queue.done(key("a"));
  // A delayed key has waited since it was due, not since it was added.
  queue.add_at(key("b"), executor.now() + 1s, Urgency::normal);
  executor.advance(5s);
  ASSERT_TRUE(queue.take({}));
  EXPECT_THAT(waits, ElementsAre(2s, 4s));
  EXPECT_THAT(works, ElementsAre(3s));
  EXPECT_EQ(depths.front(), 1U);
  EXPECT_EQ(depths.back(), 0U);
}

// Concurrency itself, on real threads; worth the most under ThreadSanitizer.
TEST(WorkQueueThreadsTest, NoKeyIsWithTwoWorkersAndNoneIsLost) {
  constexpr int keys = 20;
  constexpr int additions = 2000;
  const auto executor = base::make_system_executor();
  WorkQueue queue(*executor, {1ns, 1us},
                  {.depth = [](std::size_t) {}, .started = nullptr, .finished = nullptr},
                  Shares::of(6));
  std::vector<std::shared_ptr<Lane>> lanes;
  for (int lane = 0; lane < 3; ++lane) lanes.push_back(std::make_shared<Lane>());
  lanes.back()->set_rate_limit(1e6, 1);

  base::Mutex mutex;
  std::set<std::string> in_work;
  std::set<std::string> unseen;
  bool twice = false;
  const auto signal = executor->make_signal();
  std::vector<std::unique_ptr<base::Thread>> workers;
  for (int worker = 0; worker < 4; ++worker) {
    const Serves serves = worker == 0 ? Serves::ledgers : Serves::everything;
    workers.push_back(executor->spawn("worker", [&, serves](const std::stop_token& stop) {
      while (const auto taken = queue.take(stop, serves)) {
        if (executor->random() % 4 == 0 && !queue.reserve(*taken, 2, Urgency::normal)) {
          queue.done(*taken);
          continue;
        }
        {
          const base::Lock lock(mutex);
          twice = twice || !in_work.insert(taken->name).second;
          unseen.erase(taken->name);
        }
        if (executor->random() % 8 == 0) {
          queue.add_after_failure(*taken, Urgency::normal);
        }
        {
          const base::Lock lock(mutex);
          in_work.erase(taken->name);
          signal->notify_all();
        }
        queue.done(*taken);
      }
    }));
  }
  for (int addition = 0; addition < additions; ++addition) {
    const std::string name = std::to_string(addition % keys);
    {
      const base::Lock lock(mutex);
      unseen.insert(name);
    }
    queue.add(key(name), static_cast<Urgency>(addition % 3), lanes[addition % lanes.size()]);
  }
  {
    base::Lock lock(mutex);
    const auto deadline = executor->now() + 60s;
    while (!unseen.empty() && executor->now() < deadline) {
      signal->wait_until(lock, deadline, {});
    }
    EXPECT_TRUE(unseen.empty());
    EXPECT_FALSE(twice);
  }
  for (const auto& worker : workers) worker->request_stop();
  for (const auto& worker : workers) worker->join();
}

}  // namespace
}  // namespace quay_rotator::runtime
