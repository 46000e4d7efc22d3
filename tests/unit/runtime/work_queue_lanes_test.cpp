// Whom the queue gives how many workers.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/work_queue.h"
#include "runtime/workers.h"
#include "support/virtual_executor.h"

namespace quay_rotator::runtime {
namespace {

using namespace std::chrono_literals;
using quay_rotator::testing::VirtualExecutor;
using ::testing::ElementsAre;
using Health = Lane::Health;
using Heard = Lane::Heard;

constexpr base::BackoffPolicy backoff{5s, 5min};

// Eight workers, and one for ledgers, whose looks are calls to servers that are made up.
class WorkQueueLanes : public ::testing::Test {
 protected:
  // One look at a key of `lane` makes one call, which is answered, or given up as silent, after
  // that time.
  struct Server {
    std::shared_ptr<Lane> lane = std::make_shared<Lane>();
    base::Duration takes = 100ms;
    Heard heard = Heard::answer;
    int permits = 0;  // that it reserves
    int in_work = 0;
    int most_in_work = 0;
  };

  explicit WorkQueueLanes(int workers = 8) : queue_(executor_, backoff, {}, Shares::of(workers)) {}
  ~WorkQueueLanes() override { stop(); }

  void start(int workers = 8) {
    const auto task = [this] {
      return WorkerTask{[this](const kube::ObjectKey& key) {
                          look(key);
                          return Next{};
                        },
                        nullptr};
    };
    workers_.push_back(
        std::make_unique<Workers>(executor_, queue_, workers, Serves::everything, task));
    workers_.push_back(std::make_unique<Workers>(executor_, queue_, 1, Serves::ledgers, task));
    executor_.settle();
  }
  void stop() {
    for (const auto& workers : workers_) workers->request_stop();
    workers_.clear();
  }
  // Keys are named for their server, which is made when it is new: "quay/1", and live in a
  // namespace.
  Server& server(const std::string& name) { return servers_[name]; }
  Server& dead(const std::string& name) {
    server(name).takes = 30s;
    server(name).heard = Heard::silence;
    return server(name);
  }
  void add(const std::string& name_space, const std::string& name, Urgency urgency) {
    queue_.add({name_space, name}, urgency, server(server_of(name)).lane);
  }
  [[nodiscard]] static std::string server_of(const std::string& name) {
    return name.substr(0, name.find('/'));
  }
  // Since the test began.
  [[nodiscard]] base::Duration began(const std::string& name) const {
    return began_.contains(name) ? began_.at(name) - VirtualExecutor::monotonic_start
                                 : base::Duration::max();
  }
  [[nodiscard]] base::Duration time() const {
    return executor_.now() - VirtualExecutor::monotonic_start;
  }

  void look(const kube::ObjectKey& key) {
    Server& at = server(server_of(key.name));
    const Urgency urgency = key.name.ends_with("ledger") ? Urgency::outage : Urgency::normal;
    if (at.permits > 0 && !queue_.reserve(key, at.permits, urgency)) return;
    began_[key.name] = executor_.now();
    order_.push_back(key.name);
    at.most_in_work = std::max(at.most_in_work, ++at.in_work);
    most_in_work_ = std::max(most_in_work_, ++in_work_);
    for (int quick = 1; quick < at.permits; ++quick) {
      at.lane->begin_call(executor_.now());
      at.lane->end_call(executor_.now(), at.heard);
    }
    at.lane->begin_call(executor_.now());
    executor_.sleep_for(at.takes, {});
    at.lane->end_call(executor_.now(), at.heard);
    --at.in_work;
    --in_work_;
    if (again_) again_(key);
  }

  VirtualExecutor executor_{1};
  WorkQueue queue_;
  std::map<std::string, Server> servers_;
  std::map<std::string, base::MonotonicTime> began_;  // the last look at each
  std::vector<std::string> order_;
  int in_work_ = 0;
  int most_in_work_ = 0;
  std::function<void(const kube::ObjectKey&)> again_;
  std::vector<std::unique_ptr<Workers>> workers_;
};

TEST_F(WorkQueueLanes, TellsWhatWaitsByWhetherItsLaneAnswers) {
  const auto call = [&](const std::string& name, Heard heard) {
    server(name).lane->begin_call(executor_.now());
    server(name).lane->end_call(executor_.now(), heard);
  };
  call("good", Heard::answer);
  call("dead", Heard::silence);
  add("a", "good/1", Urgency::normal);
  executor_.advance(10s);
  for (const char* name_space : {"a", "b"}) {
    add(name_space, "dead/1", Urgency::normal);
    add(name_space, "dead/2", Urgency::urgent);
  }
  executor_.advance(5s);
  queue_.add({"a", "laneless"}, Urgency::normal);
  const auto loads = queue_.lane_loads();
  EXPECT_EQ(loads.at(Health::answering).lanes, 1U);
  EXPECT_EQ(loads.at(Health::answering).waiting, 1U);
  EXPECT_EQ(loads.at(Health::answering).oldest, base::Duration(15s));
  EXPECT_EQ(loads.at(Health::failing).lanes, 1U) << "of two namespaces";
  EXPECT_EQ(loads.at(Health::failing).waiting, 4U);
  EXPECT_EQ(loads.at(Health::failing).oldest, base::Duration(5s));
  EXPECT_EQ(loads.at(Health::unproven).lanes, 0U);
}

TEST_F(WorkQueueLanes, SharesOfWorkers) {
  const auto shares = [](int workers) {
    const Shares of = Shares::of(workers);
    return std::vector{of.lane, of.name_space, of.unproven, of.failing, of.doubtful, of.young};
  };
  EXPECT_THAT(shares(8), ElementsAre(3, 4, 3, 2, 2, 8));
  EXPECT_THAT(shares(64), ElementsAre(8, 32, 22, 2, 2, 16));
  EXPECT_THAT(shares(2), ElementsAre(1, 1, 1, 1, 2, 8));
  EXPECT_THAT(shares(1), ElementsAre(1, 1, 1, 1, 2, 8));
}

class WorkQueueOfMany : public WorkQueueLanes {
 protected:
  WorkQueueOfMany() : WorkQueueLanes(64) {}
  void add_many(const std::string& server_prefix, base::Duration takes, Urgency urgency) {
    for (int i = 0; i < 300; ++i) {
      const std::string name = server_prefix + std::to_string(i % 30);
      server(name).lane->presume(Health::answering);
      server(name).takes = takes;
      add("team-" + std::to_string(i % 30), name + "/" + std::to_string(i), urgency);
    }
  }
};

TEST_F(WorkQueueOfMany, RunsThatNobodyWaitsForLeaveWorkersToWhoeverIsUrgent) {
  add_many("a", 900ms, Urgency::initial);
  start(64);
  EXPECT_EQ(in_work_, 16);
  server("b").lane->presume(Health::answering);
  add("team-b", "b/urgent", Urgency::urgent);
  add("team-b", "b/ledger", Urgency::outage);
  executor_.settle();
  EXPECT_EQ(began("b/urgent"), 0s);
  EXPECT_EQ(began("b/ledger"), 0s);
  executor_.advance(20s);
  EXPECT_EQ(most_in_work_, 18);
  EXPECT_EQ(order_.size(), 302U);
}

TEST_F(WorkQueueOfMany, RunsThatWaitForSlowServersHoldNobodyBackForLongerThanASecond) {
  add_many("a", 4s, Urgency::normal);
  start(64);
  EXPECT_EQ(in_work_, 16);
  executor_.advance(1s);
  EXPECT_EQ(in_work_, 32);
  executor_.advance(2s);
  EXPECT_EQ(in_work_, 64);
  executor_.advance(60s);
  EXPECT_EQ(order_.size(), 300U);
}

TEST_F(WorkQueueLanes, LaneHoldsAThirdOfTheWorkers) {
  server("a").lane->presume(Health::answering);
  for (int i = 0; i < 20; ++i) add("team-a", "a/" + std::to_string(i), Urgency::normal);
  start();
  executor_.advance(10s);
  EXPECT_EQ(order_.size(), 20U);
  EXPECT_EQ(server("a").most_in_work, 3);
}

TEST_F(WorkQueueLanes, NamespaceHoldsHalfOfThem) {
  for (int i = 0; i < 20; ++i) {
    const std::string name = "a" + std::to_string(i);
    server(name).lane->presume(Health::answering);
    add("team-a", name, Urgency::urgent);
  }
  server("b").lane->presume(Health::answering);
  start();
  add("team-b", "b", Urgency::initial);
  executor_.settle();
  EXPECT_EQ(in_work_, 5);
  EXPECT_EQ(began("b"), 0s);
  executor_.advance(10s);
  EXPECT_EQ(most_in_work_, 5);
  EXPECT_EQ(order_.size(), 21U);
}

TEST_F(WorkQueueLanes, UnprovenLaneHoldsOneWorkerUntilItAnswered) {
  for (int i = 0; i < 10; ++i) add("team-a", "a/" + std::to_string(i), Urgency::normal);
  start();
  EXPECT_EQ(in_work_, 1);
  executor_.advance(150ms);
  EXPECT_EQ(in_work_, 3);
}

TEST_F(WorkQueueLanes, LanesTakeTurnsAndWithinALaneItIsFirstComeFirstServed) {
  for (const char* lane : {"a", "b", "c"}) server(lane).lane->presume(Health::answering);
  for (const char* name : {"a/1", "a/2", "a/3", "b/1", "a/4", "c/1", "b/2"}) {
    add("team-" + server_of(name), name, Urgency::normal);
  }
  add("team-c", "c/u", Urgency::urgent);
  start(1);
  executor_.advance(10s);
  EXPECT_THAT(order_, ElementsAre("c/u", "a/1", "b/1", "c/1", "a/2", "b/2", "a/3", "a/4"));
}

TEST_F(WorkQueueLanes, FailingLanesTogetherHoldTwoWorkersAndAHealthyOneStartsAtOnce) {
  for (int i = 0; i < 60; ++i) {
    const std::string name = "dead" + std::to_string(i);
    dead(name).lane->presume(Health::failing);
    for (int key = 0; key < 3; ++key) {
      add("team-" + std::to_string(i), name + "/" + std::to_string(key), Urgency::outage);
    }
  }
  again_ = [this](const kube::ObjectKey& key) {  // as shipped: for ever, with a back-off
    if (key.name.starts_with("dead")) queue_.add_after_failure(key, Urgency::outage);
  };
  server("quay").lane->presume(Health::answering);
  start();
  for (int minute = 0; minute < 60; ++minute) {
    executor_.advance(1min);
    EXPECT_EQ(in_work_, 2);
    add("team-a", "quay/1", Urgency::urgent);
    executor_.settle();
    EXPECT_EQ(began("quay/1"), time());
  }
  executor_.advance(1h);
  std::set<std::string> seen;
  for (const std::string& name : order_) seen.insert(name);
  EXPECT_EQ(seen.size(), 181U) << "each gets its turn";
}

TEST_F(WorkQueueLanes, BurstOfLanesThatNobodyKnowsYetLeavesWorkersForTheOthers) {
  for (int i = 0; i < 60; ++i) {
    const std::string name = "dead" + std::to_string(i);
    dead(name);
    add("team-" + std::to_string(i), name, Urgency::outage);
  }
  server("quay").lane->presume(Health::answering);
  start();
  for (int second = 0; second < 120; ++second) {
    executor_.advance(1s);
    EXPECT_LE(in_work_, 5);
    add("team-a", "quay/1", Urgency::urgent);
    executor_.settle();
    EXPECT_EQ(began("quay/1"), time());
  }
}

TEST_F(WorkQueueLanes, NamespaceFullOfSilentLanesDoesNotHoldUpSomebodyElsesNewOne) {
  for (int i = 0; i < 60; ++i) {
    const std::string name = "tarpit" + std::to_string(i);
    dead(name);
    add("team-a", name, Urgency::urgent);
  }
  start();
  executor_.advance(10s);
  EXPECT_EQ(in_work_, 2);
  add("team-b", "new/1", Urgency::urgent);
  executor_.settle();
  EXPECT_EQ(began("new/1"), 10s);
}

TEST_F(WorkQueueLanes, LaneThatTurnsSilentAtOnceKeepsItsShareAndThenOne) {
  dead("quay").lane->presume(Health::answering);
  for (int i = 0; i < 24; ++i) add("team-a", "quay/" + std::to_string(i), Urgency::outage);
  server("other").lane->presume(Health::answering);
  start();
  EXPECT_EQ(in_work_, 3);
  add("team-b", "other/1", Urgency::initial);
  executor_.settle();
  EXPECT_EQ(began("other/1"), 0s) << "24 ledgers of one lane do not come before all other work";
  executor_.advance(31s);
  EXPECT_EQ(in_work_, 1);
  server("quay").heard = Heard::answer;  // it is back
  server("quay").takes = 100ms;
  executor_.advance(40s);
  EXPECT_EQ(server("quay").most_in_work, 3);
  EXPECT_EQ(order_.size(), 25U);
}

TEST_F(WorkQueueLanes, LedgerDoesNotWaitForTheWorkersThatOthersHold) {
  for (int i = 0; i < 8; ++i) {  // all answered until now
    const std::string name = "silent" + std::to_string(i);
    dead(name).lane->presume(Health::answering);
    add("team-" + std::to_string(i), name, Urgency::normal);
  }
  server("quay").lane->presume(Health::answering);
  start();
  EXPECT_EQ(in_work_, 8);
  add("team-a", "quay/urgent", Urgency::urgent);
  add("team-a", "quay/ledger", Urgency::outage);
  executor_.settle();
  EXPECT_EQ(began("quay/ledger"), 0s);
  EXPECT_EQ(began("quay/urgent"), base::Duration::max());
  executor_.advance(31s);
  EXPECT_EQ(began("quay/urgent"), 30s);
}

TEST_F(WorkQueueLanes, LaneThatRecoversIsNoticed) {
  dead("quay").lane->presume(Health::failing);
  dead("other1").lane->presume(Health::failing);
  dead("other2").lane->presume(Health::failing);
  start();
  add("team-b", "other1", Urgency::normal);
  add("team-c", "other2", Urgency::normal);
  add("team-a", "quay/1", Urgency::normal);
  executor_.advance(5s);
  EXPECT_EQ(began("quay/1"), base::Duration::max());
  // Somebody else has talked with it.
  server("quay").lane->begin_call(executor_.now());
  server("quay").lane->end_call(executor_.now(), Heard::answer);
  executor_.advance(1s);
  EXPECT_LE(began("quay/1"), 6s);
}

TEST_F(WorkQueueLanes, KeyIsMovedToAnotherLane) {
  for (const char* name : {"dead1", "dead2", "dead3"}) dead(name).lane->presume(Health::failing);
  add("team-a", "dead1", Urgency::normal);
  add("team-b", "dead2", Urgency::normal);
  start();
  add("team-c", "dead3/moved", Urgency::normal);
  executor_.advance(1s);
  EXPECT_EQ(began("dead3/moved"), base::Duration::max());
  server("quay").lane->presume(Health::answering);
  queue_.add({"team-c", "dead3/moved"}, Urgency::normal, server("quay").lane);
  executor_.settle();
  EXPECT_EQ(began("dead3/moved"), 1s);
  executor_.advance(1h);
  EXPECT_EQ(queue_.depth(), 0U);
}

TEST_F(WorkQueueLanes, RemovedKeyLeavesItsLane) {
  dead("quay").lane->presume(Health::failing);
  start();
  add("team-a", "quay/1", Urgency::normal);
  add("team-a", "quay/2", Urgency::normal);
  executor_.settle();
  queue_.remove({"team-a", "quay/2"});
  EXPECT_EQ(queue_.depth(), 0U);
  queue_.remove({"team-a", "quay/1"});  // while in work
  executor_.advance(31s);
  EXPECT_THAT(order_, ElementsAre("quay/1"));
  EXPECT_EQ(server("quay").lane.use_count(), 1);
}

class WorkQueuePermits : public WorkQueueLanes {
 protected:
  Server& limited(const std::string& name, double per_second, int burst, int permits) {
    Server& made = server(name);
    made.lane->presume(Health::answering);
    made.lane->set_rate_limit(per_second, burst);
    made.permits = permits;
    made.takes = 0s;
    return made;
  }
};

TEST_F(WorkQueuePermits, RunBeginsWhenItsPermitsAreThereAndNobodyWaitsForIt) {
  limited("slow", 0.01, 1, 4);
  for (int i = 0; i < 9; ++i) add("team-a", "slow/" + std::to_string(i), Urgency::normal);
  server("quay").lane->presume(Health::answering);
  start();
  EXPECT_EQ(in_work_, 0);
  for (int i = 0; i < 60; ++i) {
    executor_.advance(1s);
    add("team-b", "quay/1", Urgency::normal);
    executor_.settle();
    EXPECT_EQ(began("quay/1"), time());
  }
  executor_.advance(1h);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(began("slow/" + std::to_string(i)), 300s + i * 400s);
  }
}

TEST_F(WorkQueuePermits, RunsGoOnAsFastAsTheLimitAllows) {
  limited("quay", 10, 20, 4);
  for (int i = 0; i < 10; ++i) add("team-a", "quay/" + std::to_string(i), Urgency::normal);
  start();
  executor_.advance(10s);
  EXPECT_EQ(began("quay/4"), 0s) << "five times four at once";
  EXPECT_EQ(began("quay/5"), 400ms);
  EXPECT_EQ(began("quay/9"), 2s);
}

TEST_F(WorkQueuePermits, MostUrgentKeyGetsThemFirst) {
  limited("slow", 0.1, 1, 1);
  start();
  for (const char* name : {"slow/0", "slow/1", "slow/2"}) add("team-a", name, Urgency::normal);
  executor_.advance(5s);
  add("team-a", "slow/ledger", Urgency::outage);
  executor_.advance(10min);
  EXPECT_THAT(order_, ElementsAre("slow/0", "slow/ledger", "slow/1", "slow/2"));
}

TEST_F(WorkQueuePermits, KeyThatIsAddedWhileItWaitsKeepsItsPlace) {
  limited("slow", 0.1, 1, 1);
  start();
  for (const char* name : {"slow/0", "slow/1", "slow/2"}) add("team-a", name, Urgency::normal);
  executor_.advance(1s);
  for (int i = 0; i < 5; ++i) {
    add("team-a", "slow/1", Urgency::normal);
    executor_.advance(1s);
  }
  executor_.advance(1min);
  EXPECT_THAT(order_, ElementsAre("slow/0", "slow/1", "slow/2"));
}

TEST_F(WorkQueuePermits, LookThatNeedsNoneIsNotHeldUp) {
  limited("slow", 0.01, 1, 4);
  start();
  add("team-a", "slow/0", Urgency::normal);
  executor_.advance(1s);
  EXPECT_EQ(began("slow/0"), base::Duration::max());
  server("slow").permits = 0;  // nothing is to be done for it any more
  add("team-a", "slow/0", Urgency::normal);
  executor_.settle();
  EXPECT_EQ(began("slow/0"), 1s);
  server("slow").permits = 4;
  add("team-a", "slow/1", Urgency::normal);
  executor_.advance(1h);
  EXPECT_EQ(began("slow/1"), 300s) << "the permits that were promised are not lost";
}

TEST_F(WorkQueuePermits, KeyIsRemovedWhileItWaits) {
  limited("slow", 0.01, 1, 4);
  start();
  add("team-a", "slow/0", Urgency::normal);
  add("team-a", "slow/1", Urgency::normal);
  executor_.advance(1s);
  queue_.remove({"team-a", "slow/0"});
  executor_.advance(1h);
  EXPECT_THAT(order_, ElementsAre("slow/1"));
  EXPECT_EQ(began("slow/1"), 300s);
  queue_.remove({"team-a", "slow/1"});
  EXPECT_EQ(server("slow").lane.use_count(), 1);
}

TEST(WorkersTest, ExceptionCostsItsKeyABackOffAndNobodyElseAnything) {
  VirtualExecutor executor(1);
  WorkQueue queue(executor, backoff);
  std::vector<base::Duration> tries;
  std::vector<std::string> failed;
  int good = 0;
  bool poisoned = true;
  const auto task = [&] {
    return WorkerTask{[&](const kube::ObjectKey& key) {
                        if (key.name == "good") ++good;
                        if (key.name != "bad") return Next{};
                        tries.push_back(executor.now() - VirtualExecutor::monotonic_start);
                        if (poisoned) throw std::bad_alloc();
                        return Next{};
                      },
                      [&](const kube::ObjectKey& key, const std::string& exception) -> Next {
                        failed.push_back(key.name + " " + exception);
                        throw std::runtime_error("no status can be written either");
                      }};
  };
  Workers workers(executor, queue, 1, Serves::everything, task);
  queue.add({"team-a", "bad"}, Urgency::outage);
  queue.add({"team-a", "good"}, Urgency::normal);
  executor.advance(1h);
  EXPECT_EQ(good, 1);
  EXPECT_GE(tries.size(), 12U);
  EXPECT_LE(tries.size(), 32U);
  EXPECT_GE(tries[1] - tries[0], 2500ms);
  EXPECT_GE(tries.back() - tries[tries.size() - 2], 150s) << "it grows";
  EXPECT_EQ(failed.size(), tries.size());
  EXPECT_EQ(failed.front(), "bad std::bad_alloc");
  poisoned = false;
  executor.advance(1h);
  const std::size_t so_far = tries.size();
  poisoned = true;
  queue.add({"team-a", "bad"}, Urgency::normal);
  executor.advance(5s);
  EXPECT_EQ(tries.size(), so_far + 2) << "it was forgotten";
  workers.request_stop();
  workers.join();
}

TEST(WorkersTest, AKeyComesBackWhenItsLookSays) {
  VirtualExecutor executor(1);
  WorkQueue queue(executor, backoff);
  std::vector<base::Duration> looks;
  std::vector<Next> answers{Next::at(VirtualExecutor::monotonic_start + 7s, Urgency::normal),
                            Next::failed(), Next::failed(), Next{}};
  const auto task = [&] {
    return WorkerTask{[&](const kube::ObjectKey&) {
                        looks.push_back(executor.now() - VirtualExecutor::monotonic_start);
                        return answers[std::min(looks.size(), answers.size()) - 1];
                      },
                      nullptr};
  };
  Workers workers(executor, queue, 1, Serves::everything, task);
  queue.add({"team-a", "puller"}, Urgency::normal);
  executor.advance(1h);
  ASSERT_EQ(looks.size(), 4U) << "then nothing brings it back";
  EXPECT_EQ(looks[1], 7s);
  EXPECT_GT(looks[3] - looks[2], looks[2] - looks[1]) << "its back-off grows";
  workers.request_stop();
  workers.join();
}

TEST(Next, TheEarlierOfTwoTimes) {
  const base::MonotonicTime now = VirtualExecutor::monotonic_start;
  const Next late = Next::at(now + 2s, Urgency::normal);
  const Next soon = Next::at(now + 1s, Urgency::outage);
  EXPECT_EQ(late.or_earlier(soon).time, soon.time);
  EXPECT_EQ(soon.or_earlier(late).time, soon.time);
  EXPECT_EQ(Next{}.or_earlier(late).time, late.time);
  EXPECT_EQ(late.or_earlier({}).time, late.time);
}

}  // namespace
}  // namespace quay_rotator::runtime
