// Stories of two robots that take turns.
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/group.h"
#include "simulation/story.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

class Alternating : public Story {
 protected:
  void adopt(RotationOptions options = {.interval = "1h"}) {
    options.standby = "puller-b";
    live(options);
  }
  std::string user() {
    return testing::user_in(*world.api.find(kube::secrets, {World::name_space, "quay-pull"}));
  }
  void expect_current(const std::string& robot) {
    EXPECT_EQ(user(), robot);
    EXPECT_EQ(world.token_in("quay-pull"), world.quay.token(robot));
  }
  json standby() {
    const json status = world.status(rotation);
    for (const json& robot : status.at("robots")) {
      if (robot.at("role") == "Standby") return robot;
    }
    return json();
  }

  const std::string a = "acme+puller";
  const std::string b = "acme+puller-b";
};

TEST_F(Alternating, TakesTurnsAndNoTargetEverHoldsADeadToken) {
  adopt();
  expect_current(a);
  EXPECT_EQ(world.commits(a) + world.commits(b), 0);
  EXPECT_EQ(standby().at("name"), b);
  std::string before = a;
  std::string after = b;
  for (int turn = 1; turn <= 10; ++turn) {
    const std::string valid = world.quay.token(before);
    world.advance(hours(1));
    expect_current(after);
    EXPECT_EQ(world.quay.token(before), valid)
        << "the token of before is valid until the next turn";
    EXPECT_EQ(world.commits(a) + world.commits(b), turn);
    std::swap(before, after);
  }
  expect_settled();
}

TEST_F(Alternating, RetiresTheTokenThatWasReplacedWhenTheOverlapIsOver) {
  adopt({.overlap = "20m", .interval = "1h"});
  world.rotate_now(rotation);
  world.advance(minutes(1));
  expect_current(b);
  const std::string valid = world.quay.token(a);
  world.advance(minutes(18));
  EXPECT_EQ(world.quay.token(a), valid);
  EXPECT_EQ(world.status(rotation).at("next").at("reason"), "Retire");
  world.advance(minutes(2));
  EXPECT_NE(world.quay.token(a), valid) << "dead";
  expect_current(b);
  EXPECT_TRUE(standby().contains("retiredAt"));
  EXPECT_EQ(world.status(rotation).at("next").at("reason"), "Interval");
  EXPECT_EQ(world.commits(a), 1);
  EXPECT_EQ(world.commits(b), 1);
  world.advance(hours(1));
  expect_current(a);
  EXPECT_EQ(world.commits(a), 2);
  expect_settled();
}

TEST_F(Alternating, ATokenThatSomebodyStillUsesIsNotRetired) {
  adopt({.overlap = "20m", .interval = "24h"});
  world.rotate_now(rotation);
  world.advance(minutes(10));
  expect_current(b);
  world.quay.logged_in(a);
  const std::string valid = world.quay.token(a);
  world.advance(minutes(30));
  EXPECT_EQ(world.quay.token(a), valid);
  EXPECT_EQ(reason(rotation), "OldCredentialInUse");
  // Nor does a turn kill it, unless a person says so.
  world.advance(hours(25));
  EXPECT_EQ(world.quay.token(a), valid);
  world.rotate_now(rotation);
  world.advance(minutes(6));
  expect_current(a);
  expect_settled();
}

TEST_F(Alternating, RobotsThatDifferTakeNoTurnUntilTheyAreEqual) {
  world.quay.add_robot(a);
  world.quay.rights(a).repositories["base"] = "read";
  adopt();
  expect_current(a);
  EXPECT_EQ(reason(rotation), "RobotsDiffer");
  EXPECT_THAT(condition(world.status(rotation), "Ready", "message"), HasSubstr("base"));
  world.advance(hours(2));
  EXPECT_EQ(world.commits(b), 0);
  world.quay.rights(b).repositories["base"] = "read";
  world.advance(minutes(6));
  expect_current(b);
  EXPECT_EQ(world.commits(b), 1);
  expect_settled();
}

TEST_F(Alternating, GoesFromOneRobotToTwoAndBackWithoutADeadToken) {
  live({.interval = "24h"});
  const std::string first = world.quay.token(a);
  world.quay.add_robot(b);
  world.edit_rotation(rotation, [](json& object) {
    object["spec"]["strategy"] = {{"type", "Alternate"},
                                  {"alternate", {{"standby", {{"name", "puller-b"}}}}}};
  });
  world.advance(minutes(2));
  EXPECT_EQ(standby().at("name"), b);
  EXPECT_EQ(world.commits(a) + world.commits(b), 0);
  world.rotate_now(rotation);
  world.advance(minutes(1));
  expect_current(b);
  world.edit_rotation(rotation, [](json& object) { object["spec"].erase("strategy"); });
  world.advance(minutes(2));
  expect_current(a);
  EXPECT_EQ(world.quay.token(a), first) << "nothing was regenerated for it";
  EXPECT_TRUE(standby().is_null());
  world.advance(hours(25));
  EXPECT_EQ(world.commits(a), 1);
  EXPECT_EQ(world.commits(b), 1);
  expect_settled();
}

TEST_F(Alternating, AResourceThatOwnsTheStandbyPreventsATurn) {
  world.create_connection();
  world.start(0);
  const auto other =
      world.create_rotation({.name = "other", .robot = "puller-b", .targets = {"other-pull"}});
  world.advance(minutes(2));
  rotation = world.create_rotation({.standby = "puller-b", .interval = "1h"});
  world.advance(hours(3));
  EXPECT_EQ(reason(rotation), "Conflict");
  EXPECT_EQ(world.commits(a) + world.commits(b), 0);
  EXPECT_EQ(reason(other), "Current");
  world.api.remove(api::rotations, other);
  world.advance(hours(2));
  EXPECT_GE(world.commits(b), 1);
  expect_no_violation();
}

class AlternatingDies : public Alternating, public ::testing::WithParamInterface<const char*> {};

TEST_P(AlternatingDies, AfterThatStepAndNothingIsLostOrDoneTwice) {
  world.create_connection();
  rotation = world.create_rotation({.standby = "puller-b", .overlap = "20m", .interval = "1h"});
  const auto die = std::make_shared<int>(0);
  world.start(0, {}, [die, step = std::string(GetParam())](std::string_view name) {
    return *die > 0 && name == step && (*die)-- > 0;
  });
  world.advance(minutes(2));
  expect_current(a);
  // In the turn; then in the retirement.
  for (const base::Duration span : {base::Duration(minutes(60)), base::Duration(minutes(25))}) {
    *die = 1;
    for (base::Duration waited{}; waited < span; waited += seconds(30)) {
      world.advance(seconds(30));
      if (!world.replica(0)->dead()) continue;
      world.crash(0);
      world.start(0);
    }
    if (world.replica(0)->dead()) world.start(0);
  }
  expect_current(b);
  EXPECT_EQ(world.commits(b), 1);
  EXPECT_LE(world.commits(a), 1);
  expect_settled();
}

INSTANTIATE_TEST_SUITE_P(Steps, AlternatingDies,
                         ::testing::Values("compare", "read-robot", "dry-run", "login-active",
                                           "ledger", "before-regenerate", "regenerate", "publish",
                                           "login", "commit", "event"),
                         [](const auto& which) {
                           std::string name = which.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace quay_rotator::simulation
