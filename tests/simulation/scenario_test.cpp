// Named stories, each with one disaster at one chosen moment.
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/group.h"
#include "simulation/story.h"

namespace quay_rotator::simulation {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Scenario : public Story {
 protected:
  void adopt(const RotationOptions& options = {}) {
    live(options);
    ASSERT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  }
  // The replica dies once, after that step.
  static Replica::DiesAfter once_after(std::string step) {
    return [wanted = std::move(step), done = std::make_shared<bool>(false)](std::string_view name) {
      return name == wanted && !std::exchange(*done, true);
    };
  }

  std::string robot = "acme+puller";
};

TEST_F(Scenario, AdoptsTheTokenThatIsThere) {
  const std::string first = [&] {
    world.quay.add_robot(robot);
    return world.quay.token(robot);
  }();
  adopt();
  EXPECT_EQ(world.quay.token(robot), first);
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

TEST_F(Scenario, RotatesOnItsInterval) {
  adopt({.interval = "1h"});
  world.advance(hours(5));
  EXPECT_EQ(world.commits(robot), 5);
  EXPECT_EQ(world.observer.outages_timed(), 5);
  expect_settled();
}

TEST_F(Scenario, RotatesInitiallyOnce) {
  adopt({.initially_rotate = true});
  world.advance(hours(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, RotatesOncePerRequest) {
  adopt();
  for (int request = 1; request <= 3; ++request) {
    world.rotate_now(rotation);
    world.advance(minutes(1));
    EXPECT_EQ(world.commits(robot), request);
  }
  expect_settled();
}

TEST_F(Scenario, RotatesTheRobotOfAUser) {
  robot = "admin+puller";
  adopt({.organization = ""});
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, MendsAStatusThatCannotBeReadWithoutARotation) {
  adopt({.initially_rotate = true});
  int commits = 1;
  ASSERT_EQ(world.commits(robot), commits);
  for (const auto& [member, value] :
       {std::pair<const char*, json>{"/robots/0/fingerprint", "nonsense"},
        {"/robots/0/role", "Twin"},
        {"/rotation", json::object()},
        {"/rotation", {{"id", "1"}, {"reason", "Incident"}}},
        {"/robots/0/knownSince", "yesterday"}}) {
    world.edit_rotation(
        rotation, [&](json& object) { object["status"][json::json_pointer(member)] = value; });
    world.advance(minutes(1));
    if (member == std::string("/rotation")) {
      world.rotate_now(rotation);
      world.advance(seconds(30));
      EXPECT_TRUE(world.status(rotation).contains("rotation")) << "a POST may be in flight";
      EXPECT_EQ(condition(world.status(rotation), "Ready", "reason"), "RotationUnclear");
      EXPECT_EQ(world.commits(robot), commits);
      world.advance(minutes(3));
      ++commits;
    }
    const json status = world.status(rotation);
    EXPECT_FALSE(status.contains("rotation")) << member;
    ASSERT_EQ(status["robots"].size(), 1U) << member;
    const json& known = status["robots"][0];
    EXPECT_EQ(known["fingerprint"], base::Fingerprint::of(world.quay.token(robot)).text())
        << member;
    EXPECT_EQ(known["role"], "Active");
    EXPECT_NE(known["knownSince"], "yesterday");
    EXPECT_EQ(world.commits(robot), commits) << member;
  }
  expect_settled();
}

// All of it is ours but the owner's uid, which is of a former life.
TEST_F(Scenario, HealsItsOwnSecretThatABackupBroughtBackWithoutARotation) {
  adopt();
  const kube::ObjectKey secret{World::name_space, "quay-pull"};
  const std::string uid = text_at(*world.api.find(kube::secrets, secret), "/metadata/uid");
  world.api.edit(kube::secrets, secret, [](json& object) {
    object["data"] = {{".dockerconfigjson", "e30="}};
    object["metadata"]["ownerReferences"] = {{{"apiVersion", "quayrotator.dev/v1alpha1"},
                                              {"kind", "RobotTokenRotation"},
                                              {"name", "puller"},
                                              {"uid", "former"},
                                              {"controller", true}}};
  });
  world.advance(minutes(1));
  const auto healed = world.api.find(kube::secrets, secret);
  EXPECT_EQ(text_at(*healed, "/metadata/uid"), uid);
  EXPECT_FALSE(is_owned_by(*healed, "former"));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

// Quay has regenerated, its answer is lost and it is away; then the resource is deleted.
class DeletedWithALedger
    : public Scenario,
      public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
 protected:
  void remove() {
    if (way() == std::string("plain")) return world.api.remove(api::rotations, rotation);
    world.edit_rotation(rotation, [&](json& object) {
      object["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z";
      object["metadata"]["finalizers"] = {way()};
    });
  }
  static const char* way() { return std::get<0>(GetParam()); }
  static const char* policy() { return std::get<1>(GetParam()); }
};

TEST_P(DeletedWithALedger, LeavesNoDeadToken) {
  adopt({.deletion_policy = policy()});
  world.start(0, {}, [&](std::string_view step) {
    if (step == "before-regenerate") world.quay.faults.network.lost_back = 1;
    return false;
  });
  world.advance(minutes(1));
  world.rotate_now(rotation);
  for (int wait = 0; wait < 60 && world.commits(robot) == 0; ++wait) world.advance(seconds(1));
  ASSERT_EQ(world.commits(robot), 1);
  ASSERT_TRUE(world.status(rotation).contains("rotation"));
  remove();
  world.advance(minutes(3));
  world.quay.faults = {};
  world.advance(minutes(2));
  EXPECT_EQ(world.commits(robot), 1);
  const bool stays = policy() == std::string("Retain");
  if (stays) {
    EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  }
  if (way() != std::string("plain")) {
    EXPECT_EQ(world.status(rotation).contains("rotation"), !stays);
    world.api.remove(api::rotations, rotation);
    world.advance(minutes(1));
  }
  EXPECT_EQ(world.api.find(kube::secrets, {World::name_space, "quay-pull"}) != nullptr, stays);
  expect_no_violation();
}

INSTANTIATE_TEST_SUITE_P(EachWay, DeletedWithALedger,
                         ::testing::Combine(::testing::Values("plain", "example.com/finalizer",
                                                              "foregroundDeletion"),
                                            ::testing::Values("Retain", "Delete")));

class CrashAfter : public Scenario, public ::testing::WithParamInterface<const char*> {};

TEST_P(CrashAfter, RotatesOnceAllTheSame) {
  adopt({.targets = {"quay-pull", "quay-pull-2"}});
  world.start(0, {}, once_after(GetParam()));
  world.advance(minutes(1));
  world.rotate_now(rotation);
  for (int wait = 0; wait < 60 && !world.replica(0)->dead(); ++wait) world.advance(seconds(1));
  ASSERT_TRUE(world.replica(0)->dead());
  world.start(0);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

INSTANTIATE_TEST_SUITE_P(EachStep, CrashAfter,
                         ::testing::Values("read-robot", "dry-run", "login", "ledger",
                                           "before-regenerate", "regenerate", "publish", "commit",
                                           "event"),
                         [](const auto& step) {
                           std::string name = step.param;
                           std::erase(name, '-');
                           return name;
                         });

class CrashBeforeALongList : public Scenario {
 protected:
  void crash_and_restart(const std::string& step) {
    adopt();
    world.start(0, {}, once_after(step));
    world.advance(minutes(1));
    world.rotate_now(rotation);
    for (int wait = 0; wait < 60 && !world.replica(0)->dead(); ++wait) world.advance(seconds(1));
    ASSERT_TRUE(world.replica(0)->dead());
    world.api.unlisted = {"secrets"};
    world.start(0);
  }
};

TEST_F(CrashBeforeALongList, WhatHasALedgerIsPublishedBeforeTheSecretsAreListed) {
  crash_and_restart("regenerate");
  world.advance(seconds(1));
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  world.rotate_now(rotation);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1) << "nothing else is done before the caches are complete";
  EXPECT_EQ(condition(world.status(rotation), "Ready", "reason"), "NamespaceUnreadable");
  world.api.unlisted.clear();
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 2);
  expect_settled();
}

TEST_F(CrashBeforeALongList, WhatDidNotHappenIsNotSentBeforeTheSecretsAreListed) {
  crash_and_restart("ledger");
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 0);
  world.api.unlisted.clear();
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, RecoversFromALostAnswer) {
  adopt();
  world.quay.faults.network.lost_back = 1;
  world.rotate_now(rotation);
  world.advance(minutes(1));
  world.quay.faults = {};
  world.advance(minutes(5));
  EXPECT_LE(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, RecoversFromA500ThatChangedTheToken) {
  adopt();
  world.quay.faults.broken_after = 1;
  world.rotate_now(rotation);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, RecoversFromACommitThatComesLate) {
  adopt();
  world.quay.faults.late_commit = 1;
  world.rotate_now(rotation);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

// Nobody waits that long: the second attempt is made, and the first one's commit follows.
TEST_F(Scenario, DeliversWhatIsCommittedAfterASecondAttempt) {
  adopt({.interval = "24h"});
  world.quay.faults.late_commit = world.quay.faults.beyond = 1;
  world.rotate_now(rotation);
  world.advance(seconds(30));
  world.quay.faults = {};
  for (int wait = 0; wait < 20 && world.commits(robot) < 2; ++wait) world.advance(seconds(30));
  ASSERT_EQ(world.commits(robot), 2);
  world.advance(seconds(61));  // the next look, long before drift is read
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  EXPECT_EQ(world.observer.extra_regenerations(), 1);
  expect_settled();
}

// Quay's reads and its registry lag behind its commits.
TEST_F(Scenario, NeverGoesBackToATokenThatALaggingQuayTells) {
  adopt();
  world.quay.faults.stale_reads = world.quay.faults.stale_logins = 1;
  world.quay.faults.lag = seconds(90);
  world.rotate_now(rotation);
  for (int look = 0; look < 110; ++look) {
    world.advance(seconds(1));
    ASSERT_EQ(world.commits(robot), 1);
    ASSERT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  }
  EXPECT_EQ(world.status(rotation)["history"].size(), 2U) << world.status(rotation)["history"];
  world.advance(minutes(5));
  expect_settled();
}

// … and somebody deletes a Secret meanwhile: a token that is known to be dead helps nobody.
TEST_F(Scenario, HealsWithNoTokenThatALaggingQuayTells) {
  adopt();
  world.rotate_now(rotation);
  world.advance(seconds(5));
  world.quay.faults.stale_reads = 1;
  world.quay.faults.lag = seconds(60);
  world.api.remove(kube::secrets, {World::name_space, "quay-pull"});
  world.advance(seconds(40));
  EXPECT_EQ(world.token_in("quay-pull"), "");
  world.advance(minutes(2));
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  expect_settled();
}

// A stale read looks like a backup that was put back; but that stays, and the registry agrees.
TEST_F(Scenario, BelievesABackupOfQuayOnceItStays) {
  adopt();
  world.rotate_now(rotation);
  world.advance(minutes(1));
  ASSERT_TRUE(world.quay.put_back(robot));
  world.advance(minutes(18));
  EXPECT_EQ(world.commits(robot), 1);
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  expect_settled();
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 2);
  expect_settled();
}

// The token of a POST is replaced before anybody has published it, and a backup of Quay brings it
// back in the middle of the next rotation: what that tells of its outage is compared with no more.
TEST_F(Scenario, ATokenThatABackupBringsBackIsAnOutageFromThen) {
  adopt();
  world.start(0, {}, once_after("regenerate"));
  world.rotate_now(rotation);
  world.advance(minutes(1));
  ASSERT_EQ(world.commits(robot), 1);
  world.quay.regenerate_in_ui(robot);
  world.start(0, {}, once_after("ledger"));
  world.advance(minutes(30));
  world.rotate_now(rotation);
  world.advance(minutes(1));
  ASSERT_TRUE(world.quay.put_back(robot));
  world.start(0);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  expect_no_violation();
}

// "Retry-After: 3600", of a POST that may have committed: nobody waits for an hour.
TEST_F(Scenario, AsksAgainSoonerThanToldWhilePullsMayFail) {
  adopt();
  world.start(0, {}, [&](std::string_view step) {
    if (step == "before-regenerate") world.quay.faults.retry_after = 1;
    return false;
  });
  world.advance(minutes(1));
  for (int round = 1; round <= 4; ++round) {
    world.rotate_now(rotation);
    world.advance(seconds(10));
    EXPECT_GT(world.quay.faults.retry_after, 0);
    world.quay.faults = {};
    world.advance(seconds(16));
    EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
    // What did not happen is sent again after the hold, and meets the same.
    for (int wait = 0; wait < 20 && world.commits(robot) < round; ++wait) {
      world.advance(minutes(1));
      world.quay.faults = {};
    }
    world.advance(minutes(1));
    EXPECT_EQ(world.commits(robot), round);
  }
  expect_settled();
}

// The POST waits in front of Quay while the process that sent it dies; the next one is less
// patient.
TEST_F(Scenario, ASuccessorWithAShorterTimeoutWaitsAsLongAsTheOneBefore) {
  adopt();
  world.crash(0);
  world.start(0, {.quay_timeout = minutes(2), .regenerate_hold = minutes(4)});
  world.advance(minutes(1));
  world.quay.hold = seconds(61);  // its commit comes 30 s later at the most
  world.quay.faults.late_commit = 1;
  world.rotate_now(rotation);
  world.advance(seconds(1));
  world.crash(0);
  world.quay.faults = {};
  world.quay.troubles.down = true;
  world.start(0, {.quay_timeout = seconds(10), .regenerate_hold = seconds(20)});
  world.advance(seconds(25));
  world.quay.troubles.down = false;
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, DriftThatIsNotedDuringALookIsLookedAtRightAfterIt) {
  world.create_connection();
  rotation = world.create_rotation({});
  bool slow = false;
  world.start(0, {.drift_interval = seconds(10)}, [&](std::string_view step) {
    if (step != "read-robot" || !std::exchange(slow, false)) return false;
    world.quay.regenerate_in_ui(robot);
    world.executor.sleep_for(seconds(25), {});
    return false;
  });
  world.advance(minutes(2));
  slow = true;
  world.api.edit(kube::secrets, {World::name_space, "quay-pull"},
                 [](json& secret) { secret["data"][".dockerconfigjson"] = "e30="; });
  world.advance(seconds(26));
  ASSERT_FALSE(slow);
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  world.advance(minutes(1));
  expect_settled();
}

TEST_F(Scenario, NewsOfARobotEndsABackOff) {
  world.create_connection();
  rotation = world.create_rotation({});
  world.start(0, {.drift_interval = seconds(10)});
  world.advance(minutes(2));
  world.quay.troubles.robots_missing.insert(robot);
  world.advance(minutes(20));
  ASSERT_GE(world.status(rotation)["consecutiveFailures"].get<int>(), 5);
  world.quay.restore_robot(robot);
  world.advance(seconds(13));
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  expect_settled();
}

TEST_F(Scenario, AClockThatWasWrongOnceDoesNotEndRotation) {
  adopt({.interval = "1h"});
  world.api.edit(api::rotations, rotation, [](json& object) {
    object["status"]["lastRotationTime"] = "2099-01-01T00:00:00Z";
  });
  world.advance(minutes(31));
  EXPECT_EQ(world.commits(robot), 0);
  world.advance(minutes(61));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

// Every write of its status is overtaken by somebody's.
TEST_F(Scenario, ARotationThatCannotBeginIsTriedMoreAndMoreSeldom) {
  adopt();
  int meddled = 0;
  const auto meddle = [&](std::string_view step) {
    if (step == "login") {
      world.api.edit(api::rotations, rotation, [&](json& object) {
        object["metadata"]["annotations"]["meddled"] = std::to_string(++meddled);
      });
    }
    return false;
  };
  world.start(0, {}, meddle);
  world.advance(minutes(1));
  const std::uint64_t before = world.quay.requests();
  world.rotate_now(rotation);
  world.advance(minutes(10));
  EXPECT_LT(world.quay.requests() - before, 60U);
  EXPECT_EQ(world.commits(robot), 0);
  EXPECT_THAT(world.status(rotation)["conditions"].dump(), ::testing::HasSubstr("CannotBegin"));
  world.start(0);
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, SendsAgainWhatDidNotHappen) {
  adopt();
  world.quay.faults.broken_before = 1;
  world.rotate_now(rotation);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 0);
  world.quay.faults = {};
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, AnotherReplicaTakesOver) {
  adopt();
  world.start(1);
  world.start(2);
  world.rotate_now(rotation);
  world.advance(std::chrono::milliseconds(40));
  world.crash(0);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, AStoppedLeaderHandsOver) {
  adopt();
  world.start(1);
  world.advance(minutes(1));
  world.stop(0);
  world.advance(seconds(5));
  EXPECT_TRUE(world.replica(1)->leading());
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, TwoLeadersRotateOnce) {
  adopt();
  // Nobody elects anybody: both act on everything at once.
  world.crash(0);
  world.start(0, {.leader_elect = false});
  world.start(1, {.leader_elect = false});
  world.advance(minutes(1));
  for (int request = 1; request <= 5; ++request) {
    world.rotate_now(rotation);
    world.advance(minutes(5));
    EXPECT_EQ(world.commits(robot), request);
  }
  expect_settled();
}

// One leader sends a second attempt while the other, which knows of the first alone, gives it up.
TEST_F(Scenario, AnAttemptOfAnotherLeaderKeepsItsLedger) {
  adopt();
  world.crash(0);
  QuayFaults& quay = world.quay.faults;
  bool again = false;  // the second attempt's time has come …
  bool sent = false;   // … and it is on its way
  const auto post = [&](std::string_view step) {
    if (step == "before-regenerate") (again ? quay.late_commit : quay.broken_before) = 1;
    if (step == "regenerate") quay = {};
  };
  world.start(0, {.leader_elect = false}, [&](std::string_view step) {
    post(step);
    sent = sent || (again && step == "regenerate");
    return false;
  });
  world.start(1, {.leader_elect = false}, [&](std::string_view step) {
    post(step);
    if (again && !sent && step == "read-robot") {
      while (!sent) world.executor.sleep_for(std::chrono::milliseconds(1), {});
      world.api.denied.insert({World::name_space, "quay-pull"});
    }
    return false;
  });
  world.advance(minutes(1));
  world.rotate_now(rotation);
  world.advance(seconds(30));
  again = true;
  world.advance(seconds(150));
  ASSERT_TRUE(sent);
  ASSERT_FALSE(world.api.denied.empty());
  world.api.denied.clear();
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

// The one exception to "once": see docs/how-it-works.md.
TEST_F(Scenario, ASenderFrozenAfterItsLastCheckCostsOneMoreAndLosesNothing) {
  adopt();
  world.crash(0);
  world.start(0, {.leader_elect = false});
  world.start(1, {.leader_elect = false});
  world.advance(minutes(1));
  world.quay.faults.held = 1;
  world.quay.faults.held_for = minutes(4);
  world.rotate_now(rotation);
  world.advance(seconds(1));
  world.quay.faults = {};
  world.advance(minutes(3));
  EXPECT_EQ(world.commits(robot), 1);  // the other's
  world.advance(minutes(2));
  EXPECT_EQ(world.commits(robot), 2);
  EXPECT_EQ(world.observer.late_sends(), 1);
  EXPECT_EQ(world.observer.extra_regenerations(), 1);
  world.advance(minutes(15));
  expect_settled();
}

TEST_F(Scenario, ALeaderFrozenBeforeItsLastCheckSendsNothing) {
  adopt();
  world.start(1);
  bool frozen = false;
  world.on_enter = [&](Step step, Process& process) {
    if (step == Step::record && !std::exchange(frozen, true)) process.freeze(minutes(5));
  };
  world.rotate_now(rotation);
  world.advance(minutes(4));
  ASSERT_TRUE(frozen);
  EXPECT_TRUE(world.replica(1)->leading());
  EXPECT_EQ(world.commits(robot), 1);
  world.advance(minutes(20));
  EXPECT_EQ(world.observer.late_sends(), 0);
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, ReplicasWhoseClocksDisagreeRotateOnce) {
  adopt({.interval = "24h"});
  world.observer.clocks_lie();
  world.replica(0)->process().set_clock(hours(3));
  world.advance(hours(20));
  EXPECT_EQ(world.commits(robot), 0);
  world.advance(hours(2));
  EXPECT_EQ(world.commits(robot), 1);
  world.crash(0);
  world.start(1);
  world.replica(1)->process().set_clock(-hours(3));
  world.advance(hours(20));
  world.replica(1)->process().set_clock({});
  world.advance(hours(2));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, ListsThatExpireBetweenTwoPagesStartOver) {
  adopt();
  for (int number = 0; number < 4; ++number) {
    const std::string name = "more-" + std::to_string(number);
    world.create_rotation({.name = name, .robot = name, .targets = {name}});
  }
  world.advance(minutes(2));
  world.api.faults.page_expired = 0.5;
  world.start(0);
  world.advance(minutes(5));
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, WritesThatComeLateDoNoHarm) {
  adopt();
  for (int round = 1; round <= 3; ++round) {
    world.api.faults.late_write = 0.5;
    world.rotate_now(rotation);
    world.advance(seconds(40));
    world.api.faults = {};
    world.advance(minutes(10));
    if (world.replica(0)->dead()) world.start(0);  // its lease was not renewed in time
    world.advance(minutes(15));
    EXPECT_EQ(world.commits(robot), round);
  }
  expect_settled();
}

TEST_F(Scenario, TheNamespaceOfAllGoesAwayAndComesBack) {
  adopt();
  world.api.terminating.insert(World::name_space);
  world.api.remove(kube::secrets, {World::name_space, "quay-pull"});
  world.rotate_now(rotation);
  world.advance(minutes(2));
  EXPECT_EQ(world.commits(robot), 0);  // a target could not be written
  world.api.remove(api::rotations, rotation);
  world.api.remove(kube::secrets, {World::name_space, "quay-api"});
  world.api.remove(api::connections, {World::name_space, "quay"});
  world.api.terminating.clear();
  world.advance(minutes(2));
  world.create_connection();
  world.create_rotation({});
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

TEST_F(Scenario, HealsADamagedSecretWithoutRotating) {
  adopt();
  world.api.edit(kube::secrets, {World::name_space, "quay-pull"},
                 [](json& secret) { secret["data"][".dockerconfigjson"] = "e30="; });
  world.advance(minutes(1));
  expect_settled();
  world.api.remove(kube::secrets, {World::name_space, "quay-pull"});
  world.advance(minutes(2));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

TEST_F(Scenario, FollowsATokenThatWasRegeneratedInTheUi) {
  adopt();
  world.quay.regenerate_in_ui(robot);
  world.advance(minutes(12));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

TEST_F(Scenario, RotatesNothingThatATargetWouldRefuse) {
  adopt();
  world.api.denied.insert({World::name_space, "quay-pull"});
  world.rotate_now(rotation);
  world.advance(minutes(30));
  EXPECT_EQ(world.commits(robot), 0);
  world.api.denied.clear();
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, SurvivesWatchesThatExpire) {
  adopt();
  for (int round = 1; round <= 3; ++round) {
    world.api.compact();
    world.api.cut_watches();
    world.rotate_now(rotation);
    world.api.compact();
    world.advance(minutes(3));
    EXPECT_EQ(world.commits(robot), round);
  }
  expect_settled();
}

TEST_F(Scenario, HealsWhatABackupOfEtcdBroughtBackWhileItRan) {
  adopt();
  const auto backup = world.api.back_up();
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  world.api.restore(*backup);
  EXPECT_NE(world.token_in("quay-pull"), world.quay.token(robot));
  world.advance(minutes(12));
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  EXPECT_EQ(world.commits(robot), 1) << "the request is undone, too";
  world.rotate_now(rotation);
  world.advance(minutes(2));
  EXPECT_EQ(world.commits(robot), 2);
  expect_settled();
}

// … in the moment in which a rotation is over, and at once it is past what was seen of it before:
// the cache knows a ledger that is in no status any more, until everything is listed again.
TEST_F(Scenario, WhatABackupOfEtcdUndidIsLookedAtMoreAndMoreSeldom) {
  adopt();
  auto backup = world.api.back_up();
  world.start(0, {}, [&, done = false](std::string_view step) mutable {
    if (step != "publish" || std::exchange(done, true)) return false;
    world.api.restore(*backup);
    for (int change = 0; change < 20; ++change) {
      world.api.edit(kube::secrets, {World::name_space, "quay-api"}, [&](json& secret) {
        secret["metadata"]["annotations"]["change"] = std::to_string(change);
      });
    }
    return false;
  });
  world.advance(minutes(1));
  backup = world.api.back_up();
  world.rotate_now(rotation);
  world.advance(seconds(30));
  EXPECT_EQ(world.commits(robot), 1);
  const auto before = world.quay.requests();
  world.advance(minutes(1));
  EXPECT_LT(world.quay.requests() - before, 30);
}

TEST_F(Scenario, WaitsForAQuayThatIsDown) {
  adopt();
  world.quay.troubles.down = true;
  world.rotate_now(rotation);
  world.advance(hours(2));
  EXPECT_EQ(world.commits(robot), 0);
  world.quay.troubles.down = false;
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, WaitsForAnApiServerThatIsDown) {
  adopt();
  world.rotate_now(rotation);
  world.advance(std::chrono::milliseconds(60));
  world.api.set_down(true);
  world.advance(minutes(20));
  world.api.set_down(false);
  world.start(0);  // it has lost its lease and ended
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

TEST_F(Scenario, TheOldestOwnsARobot) {
  adopt();
  world.advance(minutes(1));
  const auto younger = world.create_rotation({.name = "another", .targets = {"another-secret"}});
  world.rotate_now(younger);
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
  world.api.remove(api::rotations, rotation);
  world.advance(minutes(5));
  expect_settled();
}

// Quay alone knows whose robot it is: not yet when the second resource is first looked at.
TEST_F(Scenario, TheOldestOwnsTheRobotOfAUser) {
  robot = "admin+puller";
  adopt({.organization = ""});
  world.create_rotation({.name = "another",
                         .organization = "",
                         .initially_rotate = true,
                         .targets = {"another-secret"}});
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(robot), 0);
  expect_settled();
}

// Two leaders, of which one reads Secrets early and rotations late.
TEST_F(Scenario, NoTargetIsDeletedThatAnotherLeaderHasJustWritten) {
  adopt();
  world.crash(0);
  for (std::size_t replica = 0; replica < 3; ++replica) {
    world.start(replica, {.leader_elect = false});
  }
  world.api.faults.watch_lag = seconds(20);
  for (int added = 0; added < 10; ++added) {
    world.api.cut_watches();
    world.advance(minutes(2));
    world.edit_rotation(rotation, [&](json& object) {
      object["spec"]["targets"].push_back(
          {{"secret", {{"name", "more-" + std::to_string(added)}}}});
    });
    world.advance(minutes(2));
  }
  world.api.faults = {};
  world.advance(minutes(10));
  expect_settled();
}

TEST_F(Scenario, TakesAReplacedApiToken) {
  adopt();
  world.quay.replace_api_token();
  world.rotate_now(rotation);
  world.advance(minutes(3));
  EXPECT_EQ(world.commits(robot), 0);
  world.store_api_tokens();
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

// Two robots of one name, in two organizations' Quays, for two tenants.
TEST_F(Scenario, TenantsOfTwoQuaysRotateEachTheirOwn) {
  adopt();
  world.add_quay();
  world.create_connection({.name_space = "team-b", .quay = 1});
  const auto theirs = world.create_rotation({.name_space = "team-b"});
  world.advance(minutes(1));
  const kube::ObjectKey their_secret{"team-b", "quay-pull"};
  EXPECT_EQ(world.token_in(their_secret), world.token_of(theirs));
  EXPECT_NE(world.token_of(theirs), world.token_of(rotation));
  world.rotate_now(theirs);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(theirs), 1);
  EXPECT_EQ(world.commits(rotation), 0);
  world.quays[1]->troubles.down = true;
  world.rotate_now(theirs);
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(theirs), 1);
  EXPECT_EQ(world.commits(rotation), 1);
  world.stop_faults();
  world.advance(minutes(10));
  EXPECT_EQ(world.commits(theirs), 2);
  expect_settled();
}

TEST_F(Scenario, ARateLimitedConnectionRotatesAtItsPace) {
  world.create_connection({.requests_per_second = 1, .burst = 1});
  rotation = world.create_rotation({});
  world.start(0);
  world.advance(minutes(2));
  world.rotate_now(rotation);
  world.advance(seconds(2));
  EXPECT_EQ(world.commits(robot), 0) << "four requests, one a second";
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  expect_settled();
}

// Requests to the Quay, by what is asked for: "list acme", "robot", "login", "challenge".
std::map<std::string, int> count_requests(SimulatedQuay& quay, const std::function<void()>& work) {
  std::map<std::string, int> count;
  quay.on_request = [&](const Message& message) {
    const std::string target(message.target);
    std::string what = "robot";
    if (target.ends_with("/robots")) what = "list" + target.substr(target.find("ion/") + 3, 5);
    if (target.starts_with("/v2/")) what = target == "/v2/" ? "challenge" : "login";
    ++count[what];
  };
  work();
  quay.on_request = nullptr;
  return count;
}

TEST_F(Scenario, ABurstOfAdoptionsCostsAListForEachOrganizationAndALoginForEachRobot) {
  world.create_connection();
  const auto create = [&](const std::string& organization, int number) {
    const std::string name = organization + "-" + std::to_string(number);
    world.create_rotation({.name = name,
                           .organization = organization,
                           .robot = "robot" + std::to_string(number),
                           .targets = {name}});
  };
  world.start(0);
  world.advance(minutes(1));  // the connection has been looked at
  auto requests = count_requests(world.quay, [&] {
    for (int i = 0; i < 100; ++i) {
      for (const char* organization : {"acme", "zinc"}) create(organization, i);
    }
    world.advance(minutes(2));
  });
  EXPECT_EQ(requests["login"], 200);
  EXPECT_EQ(requests["list/acme"] + requests["robot"], 1);
  EXPECT_EQ(requests["list/zinc"], 1);
  expect_settled();

  // They trickle in, as from a file of many, faster than Quay answers.
  world.quay.troubles.answers_after = milliseconds(200);
  requests = count_requests(world.quay, [&] {
    for (int i = 100; i < 200; ++i) {
      create("acme", i);
      world.advance(milliseconds(50));
    }
    world.advance(minutes(1));
  });
  EXPECT_EQ(requests["login"], 100);
  EXPECT_LE(requests["list/acme"] + requests["robot"], 15) << "about one a second";
  world.quay.troubles.answers_after = {};
  create("acme", 200);
  EXPECT_EQ(count_requests(world.quay, [&] { world.advance(seconds(30)); }),
            (std::map<std::string, int>{{"login", 1}, {"robot", 1}}));
  expect_settled();
}

// Between the list and the adoption; and the list itself may be old.
TEST_F(Scenario, AListedTokenThatIsDeadByThenIsNotWritten) {
  world.create_connection();
  std::vector<std::string> robots;
  for (const char* name : {"one", "two", "three"}) {
    world.create_rotation({.name = name, .robot = name, .targets = {name}});
    robots.push_back("acme+" + std::string(name));
  }
  int logins = 0;
  world.quay.on_request = [&](const Message& message) {
    if (!message.target.starts_with("/v2/auth") || ++logins != 1) return;
    for (const std::string& name : robots) world.quay.regenerate_in_ui(name);
  };
  world.start(0);
  world.advance(minutes(1));
  world.quay.on_request = nullptr;
  for (const char* name : {"one", "two", "three"}) {
    EXPECT_EQ(world.token_in(name), world.quay.token("acme+" + std::string(name)));
  }
  EXPECT_EQ(logins, 6);
  expect_settled();
}

TEST_F(Scenario, AHostThatDoesNotExistConcernsOnlyItsConnection) {
  adopt();
  world.create_connection({.name = "typo", .url = "https://quay.example.org"});
  const auto lost =
      world.create_rotation({.name = "lost", .targets = {"lost"}, .connection = "typo"});
  world.advance(minutes(1));
  EXPECT_EQ(world.token_in("lost"), "");
  world.rotate_now(rotation);
  world.advance(minutes(1));
  EXPECT_EQ(world.commits(robot), 1);
  world.api.remove(api::rotations, lost);
  expect_settled();
}

// Virtual days: nothing piles up, nothing drifts.
TEST_F(Scenario, RotatesForTwoWeeks) {
  world.create_connection();
  rotation = world.create_rotation({.interval = "6h", .jitter = "10m"});
  world.start(0, {.election_scale = 20});
  world.advance(hours(24 * 14));
  EXPECT_GE(world.commits(robot), 53);
  EXPECT_LE(world.commits(robot), 56);
  expect_settled();
}

// --- What a look at a connection learns is on every resource that it concerns.

TEST_F(Scenario, TellsAResourceWithinADriftIntervalThatItsOrganizationIsGone) {
  adopt();
  world.quay.troubles.organization_missing = true;
  world.advance(minutes(12));
  EXPECT_EQ(condition(world.status(rotation), "Ready", "reason"), "OrganizationNotFound");
  EXPECT_EQ(condition(world.status(rotation), "Published"), "Unknown");
  world.quay.troubles.organization_missing = false;
  world.advance(minutes(12));
  expect_settled();
}

TEST_F(Scenario, TellsAResourceThatTheApiTokenIsRefusedAndWhenItIsNot) {
  adopt();
  world.quay.replace_api_token();
  world.advance(minutes(12));
  EXPECT_EQ(condition(world.status(rotation), "Ready", "reason"), "ApiTokenRefused");
  EXPECT_EQ(condition(world.status(rotation), "Verified"), "Unknown");
  world.store_api_tokens();
  world.advance(minutes(12));
  expect_settled();
}

TEST_F(Scenario, LeavesResourcesReadyWhileQuayIsAway) {
  adopt();
  world.quay.troubles.down = true;
  world.advance(minutes(15));
  EXPECT_EQ(condition(world.status(rotation), "Ready"), "True");
  EXPECT_EQ(condition(world.status(rotation), "Published"), "Unknown");
  world.quay.troubles.down = false;
  world.advance(minutes(12));
  EXPECT_EQ(condition(world.status(rotation), "Published"), "True");
  expect_settled();
}

// A user's robot, on a connection whose API token may only look after an organization's.
TEST_F(Scenario, AResourceThatItsConnectionCannotServeLeavesTheConnectionReady) {
  adopt();
  world.quay.troubles.no_rights_as_user = true;
  const auto users = world.create_rotation(
      {.name = "users", .organization = "", .robot = "other", .targets = {"other-pull"}});
  world.advance(minutes(12));
  EXPECT_EQ(condition(world.status(users), "Ready", "reason"), "InsufficientScope");
  EXPECT_EQ(condition(world.status(rotation), "Ready"), "True");
  const auto connection = world.api.find(api::connections, {World::name_space, "quay"});
  EXPECT_EQ(condition(connection->at("status"), "Ready"), "True");
}

// Of one tenant, the resource and the Quay that all is well with; of many others, all that is not.
class Neighbours : public Story {
 protected:
  static constexpr int many = 60;

  // As shipped; with one replica, which adopts everything while all Quays are well.
  void settle() {
    live({}, options);
    ASSERT_EQ(world.token_in(secret), world.token_of(rotation));
  }
  // A tenant with a connection of its own.
  void tenant(const std::string& name_space, std::size_t quay, int resources = 1,
              std::optional<double> requests_per_second = {}) {
    world.create_connection({.name_space = name_space,
                             .quay = quay,
                             .requests_per_second = requests_per_second,
                             .burst = 1});
    for (int i = 0; i < resources; ++i) {
      const std::string name = name_space + "-" + std::to_string(i);
      theirs.push_back(world.create_rotation(
          {.name = name, .robot = name, .targets = {name}, .name_space = name_space}));
    }
  }
  void ask_theirs() {
    for (const kube::ObjectKey& key : theirs) world.rotate_now(key);
  }
  // Mine is rotated within a second, now and for as long as it goes on.
  void expect_unhindered(int times = 10) {
    for (int i = 0; i < times; ++i) {
      const int before = world.commits(rotation);
      world.rotate_now(rotation);
      world.advance(seconds(1));
      EXPECT_EQ(world.commits(rotation), before + 1);
      EXPECT_EQ(world.token_in(secret), world.token_of(rotation));
      EXPECT_FALSE(world.status(rotation).contains("rotation"));
      world.advance(minutes(1));
    }
    expect_no_violations();
  }
  // That a token is away for as long as a slow Quay keeps its answer to itself is that Quay's
  // fault.
  void expect_no_violations() {
    EXPECT_THAT(world.observer.violations(), Each(HasSubstr("at quay-2.example.com was")));
  }
  // Mine has a ledger when the process starts anew.
  void expect_ledger_settled_after_a_start() {
    world.start(0, options, [](std::string_view step) { return step == "regenerate"; });
    world.advance(seconds(30));
    world.rotate_now(rotation);
    world.advance(seconds(2));
    ASSERT_TRUE(world.status(rotation).contains("rotation"));
    world.start(0, options);
    world.advance(seconds(2));
    EXPECT_EQ(world.token_in(secret), world.token_of(rotation));
    EXPECT_FALSE(world.status(rotation).contains("rotation"));
    expect_no_violations();
  }

  ReplicaOptions options{.workers = 64};
  kube::ObjectKey secret{World::name_space, "quay-pull"};
  std::vector<kube::ObjectKey> theirs;
};

TEST_F(Neighbours, SixtyDeadQuaysHoldNobodyUp) {
  SimulatedQuay& other = world.add_quay();
  for (int i = 0; i < many; ++i) tenant("tenant-" + std::to_string(i), 1);
  settle();
  other.troubles.answers_after = hours(1);
  ask_theirs();  // all at once, right then
  expect_unhindered();
  world.advance(hours(1));  // and when it is known
  ask_theirs();
  expect_unhindered();
  expect_ledger_settled_after_a_start();
}

TEST_F(Neighbours, SixtyThatNobodyKnowsYetHoldNobodyUp) {
  settle();
  world.add_quay().troubles.answers_after = hours(1);
  for (int i = 0; i < many; ++i) tenant("tenant-" + std::to_string(i), 1);
  expect_unhindered();
}

TEST_F(Neighbours, QuayThatAnswersJustBeforeEachDeadlineHoldsNobodyUp) {
  SimulatedQuay& other = world.add_quay();
  tenant("slow", 1, many);
  settle();
  other.troubles.answers_after = seconds(29);
  ask_theirs();
  expect_unhindered();
}

TEST_F(Neighbours, RateLimitOfOneHundredthHoldsNobodyUp) {
  world.add_quay();
  tenant("slow", 1, 9, 0.01);
  settle();
  expect_unhindered();
  world.advance(hours(2));  // two calls each to adopt
  for (const kube::ObjectKey& key : theirs) {
    EXPECT_EQ(world.token_in({key.name_space, key.name}), world.token_of(key));
  }
  ask_theirs();
  expect_unhindered();
  expect_ledger_settled_after_a_start();
}

TEST_F(Neighbours, LedgersByTheDozenAtASilentQuayHoldNobodyUp) {
  SimulatedQuay& other = world.add_quay();
  for (const char* name : {"silent-a", "silent-b", "silent-c"}) tenant(name, 1, 8);
  settle();
  other.troubles.answers_after = hours(1);
  other.troubles.posts_only = true;
  ask_theirs();
  world.advance(seconds(5));
  other.troubles.posts_only = false;
  int open = 0;
  for (const kube::ObjectKey& key : theirs) open += world.status(key).contains("rotation") ? 1 : 0;
  EXPECT_EQ(open, 24);
  expect_unhindered();
  expect_ledger_settled_after_a_start();
}

TEST_F(Neighbours, DriftIsReadBesideDeadConnections) {
  SimulatedQuay& other = world.add_quay();
  for (int i = 0; i < 15; ++i) tenant("tenant-" + std::to_string(i), 1);
  settle();
  other.troubles.answers_after = hours(1);
  world.advance(hours(1));
  for (int i = 0; i < 5; ++i) {
    world.quay.regenerate_in_ui("acme+puller");
    world.advance(minutes(12));
    EXPECT_EQ(world.token_in(secret), world.token_of(rotation));
  }
}

TEST_F(Neighbours, NamespaceThatCannotBeReadCostsItself) {
  options.namespaces = {"team-a", "team-b"};
  world.create_connection();
  rotation = world.create_rotation({});
  tenant("team-b", 0);
  world.start(0, options);
  world.advance(minutes(2));
  ASSERT_EQ(world.token_in(secret), world.token_of(rotation));
  world.api.unlisted = {"team-b"};
  world.observer.calm().disturb_namespace("team-b", minutes(20));
  world.start(0, options);
  world.advance(minutes(1));
  expect_unhindered(3);
  ask_theirs();
  const kube::ObjectKey younger = world.create_rotation(
      {.name = "new", .robot = "new", .initially_rotate = true, .targets = {"new"}});
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(theirs.front()), 0);
  EXPECT_EQ(world.commits(younger), 0) << "somebody in team-b may own it";
  EXPECT_EQ(condition(world.status(younger), "Reconciling", "reason"), "OwnersUnknown");
  EXPECT_THAT(world.replica(0)->metrics(), HasSubstr("\nquay_rotator_unreadable_namespaces 1\n"));
  world.api.unlisted.clear();
  world.advance(minutes(5));
  EXPECT_EQ(world.commits(theirs.front()), 1);
  EXPECT_EQ(world.commits(younger), 1);
  EXPECT_EQ(condition(world.status(younger), "Reconciling", "reason"), "");
  expect_no_violation();
}

TEST_F(Neighbours, ExceptionInOneLookCostsThatResourceABackOff) {
  tenant("team-b", 0);
  settle();
  for (const char* where : {"read-robot", "ledger", "regenerate", "publish", "commit"}) {
    bool thrown = true;
    world.start(0, options, [&thrown, where](std::string_view step) -> bool {
      if (step == where && !std::exchange(thrown, true)) throw std::bad_alloc();
      return false;
    });
    world.advance(minutes(1));
    const int before = world.commits(theirs.front());
    thrown = false;
    world.rotate_now(theirs.front());
    world.advance(seconds(1));
    EXPECT_TRUE(thrown) << where;
    EXPECT_NE(world.replica(0)->metrics().find("quay_rotator_internal_errors_total 1"),
              std::string::npos);
    expect_unhindered(1);
    world.advance(minutes(30));
    EXPECT_EQ(world.commits(theirs.front()), before + 1) << where;
  }
  EXPECT_THAT(world.observer.unsettled(), IsEmpty());
}

}  // namespace
}  // namespace quay_rotator::simulation
