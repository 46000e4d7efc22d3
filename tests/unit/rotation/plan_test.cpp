#include "rotation/plan.h"

#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const base::WallTime start = base::WallTime(std::chrono::sys_days(std::chrono::year(2026) / 3 / 1));

api::RobotTokenRotation settled() {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team", "puller"}, "uid", "7"};
  rotation.generation = 1;
  rotation.spec.connection = "quay";
  rotation.spec.robot = {"acme", "puller"};
  rotation.spec.interval = hours(1);
  rotation.spec.targets = {{"pull", {}, {}, {}}};
  rotation.status.observed_generation = 1;
  rotation.status.robots = {
      {"acme+puller", api::RobotRole::active, base::Fingerprint::of("token"), start}};
  rotation.initialized = true;
  rotation.status.conditions.set("Verified", api::ConditionStatus::true_, "LoggedIn", "", 1, start);
  return rotation;
}

// Of a target.
const target::Finding damage{{"team", "pull"}, target::Finding::What::missing, ""};

View input(const api::RobotTokenRotation& rotation, base::Duration after = seconds(1)) {
  View result{rotation, start + std::chrono::duration_cast<std::chrono::microseconds>(after),
              start};
  result.targets.resize(1);
  result.proven = true;
  result.ownership_known = true;
  result.mark = tenancy::Mark::ours;
  return result;
}

const Work* work(const Decision& plan) {
  return std::get_if<Work>(&plan.what);
}

void expect_work(const Decision& plan, Goal goal) {
  ASSERT_NE(work(plan), nullptr);
  EXPECT_EQ(work(plan)->goal, goal);
}

void expect_halt(const Decision& plan, Why why) {
  EXPECT_TRUE(std::holds_alternative<Halt>(plan.what));
  EXPECT_EQ(plan.why, why);
}

template <class T>
bool is(const Decision& plan) {
  return std::holds_alternative<T>(plan.what);
}

TEST(Plan, RestsUntilTheNextRotationWhenAllIsWell) {
  const Decision decision = plan(input(settled()));
  const auto* rest = std::get_if<Rest>(&decision.what);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(rest->until, start + hours(1));
}

TEST(Plan, SettlesALedgerOfWhatIsDeletedOnlyWhereSecretsStay) {
  api::RobotTokenRotation rotation = settled();
  rotation.deleting = true;
  rotation.status.rotation = api::Ledger{};
  rotation.spec.deletion_policy = api::DeletionPolicy::retain;
  const Decision decision = plan(input(rotation));
  expect_work(decision, Goal::resume);
  EXPECT_FALSE(work(decision)->may_regenerate);
  rotation.spec.deletion_policy = api::DeletionPolicy::delete_;
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
  rotation.spec.deletion_policy = api::DeletionPolicy::retain;
  rotation.status.rotation.reset();
  EXPECT_TRUE(is<Rest>(plan(input(rotation, hours(2)))));
}

// "initial: Rotate" is for a resource without a history, not for one that nobody can read.
TEST(Plan, AStatusThatCannotBeReadIsMendedAndRotatesNothing) {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.initial = api::Initial::rotate;
  rotation.rotate_request = "now";
  rotation.status.robots.clear();
  rotation.status.unreadable = api::Unreadable{{"robots"}, "nonsense"};
  expect_work(plan(input(rotation, hours(2))), Goal::synchronize);
  rotation.spec.suspend = true;
  expect_halt(plan(input(rotation, hours(2))), Why::suspended);
  // A ledger may be about a token that no Secret has: not even then does it wait.
  rotation.status.unreadable->members = {"rotation"};
  View early = input(rotation, hours(2));
  early.caches_complete = false;
  const Decision decision = plan(early);
  expect_work(decision, Goal::synchronize);
  EXPECT_FALSE(work(decision)->may_regenerate);
}

TEST(Plan, DoesNothingForMetadataThatIsNotAllowedButSettleALedger) {
  api::RobotTokenRotation rotation = settled();
  View refused = input(rotation, hours(1));
  refused.metadata_refused = {"example.com/copy-to"};
  expect_halt(plan(refused), Why::metadata_refused);
  rotation.status.rotation = api::Ledger{};
  expect_work(plan(refused), Goal::resume);
}

TEST(Plan, RotatesWhenDue) {
  const Decision decision = plan(input(settled(), hours(1)));
  expect_work(decision, Goal::rotate);
  EXPECT_EQ(work(decision)->reason, api::RotationReason::interval);
}

TEST(Plan, AShorterIntervalCountsFromTheLastRotation) {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.interval = seconds(30);
  EXPECT_TRUE(is<Rest>(plan(input(rotation, seconds(29)))));
  expect_work(plan(input(rotation, seconds(30))), Goal::rotate);
}

TEST(Plan, ATokenThatNobodyKnowsIsAdoptedAndThenRotatedWhereTheSpecSaysSo) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  rotation.spec.initial = api::Initial::rotate;
  expect_work(plan(input(rotation)), Goal::synchronize);
  rotation = settled();
  rotation.initialized = false;
  rotation.spec.initial = api::Initial::rotate;
  const Decision decision = plan(input(rotation));
  expect_work(decision, Goal::rotate);
  EXPECT_EQ(work(decision)->reason, api::RotationReason::initial);
  rotation.status.last_rotation_time = start;
  EXPECT_TRUE(is<WriteMark>(plan(input(rotation))));
}

TEST(Plan, WhatIsRestoredWithoutItsStatusIsAdoptedAndNothingElse) {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.initial = api::Initial::rotate;
  rotation.rotate_request = "last year";
  rotation.initialized = true;
  rotation.status = {};
  expect_work(plan(input(rotation)), Goal::synchronize);
  rotation.status = settled().status;
  rotation.status.last_handled_rotate_request = "last year";
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
}

TEST(Plan, WithTheMarkOfAnotherClusterNothingIsDone) {
  api::RobotTokenRotation rotation = settled();
  rotation.rotate_request = "today";
  View foreign = input(rotation, hours(5));
  foreign.mark = tenancy::Mark::foreign;
  foreign.stale = {damage};
  expect_halt(plan(foreign), Why::another_cluster);
  rotation.status.rotation = api::Ledger{};
  expect_halt(plan(foreign), Why::another_cluster);
  foreign.caches_complete = false;
  EXPECT_TRUE(is<Postpone>(plan(foreign)));
  rotation.status = {};
  foreign.caches_complete = true;
  expect_halt(plan(foreign), Why::another_cluster);
}

TEST(Plan, TheMarkComesBeforeARotationAndWhenTheBeginningIsOver) {
  api::RobotTokenRotation rotation = settled();
  rotation.initialized = false;
  View unmarked = input(rotation);
  unmarked.mark = tenancy::Mark::none;
  EXPECT_TRUE(is<WriteMark>(plan(unmarked)));
  rotation.rotate_request = "today";
  EXPECT_TRUE(is<WriteMark>(plan(unmarked)));
  unmarked.mark = tenancy::Mark::ours;
  expect_work(plan(unmarked), Goal::rotate);
  rotation.status.last_handled_rotate_request = "today";
  EXPECT_TRUE(is<WriteMark>(plan(unmarked)));
  rotation.initialized = true;
  EXPECT_TRUE(is<Rest>(plan(unmarked)));
  // A ledger whose mark somebody removed is settled, and nothing is sent again for it.
  rotation.status.rotation = api::Ledger{};
  unmarked.mark = tenancy::Mark::none;
  expect_work(plan(unmarked), Goal::resume);
  EXPECT_FALSE(work(plan(unmarked))->may_regenerate);
}

TEST(Plan, NothingIsRegeneratedBeforeTheClaimIsProven) {
  api::RobotTokenRotation rotation = settled();
  rotation.rotate_request = "today";
  View unproven = input(rotation, hours(5));
  unproven.proven = false;
  expect_work(plan(unproven), Goal::synchronize);
  rotation.status.rotation = api::Ledger{};
  expect_work(plan(unproven), Goal::resume);
  EXPECT_FALSE(work(plan(unproven))->may_regenerate);
}

TEST(Plan, NothingIsRegeneratedBeforeAllEarlierProofsAreKnown) {
  api::RobotTokenRotation rotation = settled();
  View early = input(rotation);
  early.ownership_known = false;
  EXPECT_TRUE(is<Rest>(plan(early)));
  rotation.rotate_request = "today";
  EXPECT_TRUE(is<Await>(plan(early)));
  early.stale = {damage};
  expect_work(plan(early), Goal::synchronize);
  rotation.status.rotation = api::Ledger{};
  EXPECT_FALSE(work(plan(early))->may_regenerate);
}

TEST(Plan, AWatchedRobotIsReadAgainWhereNothingElseIsToBeDone) {
  const api::RobotTokenRotation resting = settled();
  View watched = input(resting);
  watched.watched = true;
  Decision decision = plan(watched);
  expect_work(decision, Goal::synchronize);
  EXPECT_TRUE(work(decision)->watch);
  watched.stale = {damage};
  decision = plan(watched);
  expect_work(decision, Goal::synchronize);
  EXPECT_FALSE(work(decision)->watch) << "that is healing";
  api::RobotTokenRotation suspended = settled();
  suspended.spec.suspend = true;
  View halted = input(suspended);
  halted.watched = true;
  expect_halt(plan(halted), Why::suspended);
}

TEST(Plan, ARequestRotatesOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.rotate_request = "today";
  const Decision decision = plan(input(rotation));
  expect_work(decision, Goal::rotate);
  EXPECT_EQ(work(decision)->reason, api::RotationReason::requested);
  rotation.status.last_handled_rotate_request = "today";
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
}

TEST(Plan, DamageAndDriftAreHealedWithoutRotating) {
  const api::RobotTokenRotation rotation = settled();
  View damaged = input(rotation);
  damaged.stale = {damage};
  expect_work(plan(damaged), Goal::synchronize);
  View drifted = input(rotation);
  drifted.drifted = true;
  expect_work(plan(drifted), Goal::synchronize);
}

TEST(Plan, OnlyDamageIsHealed) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.conditions.set("Published", api::ConditionStatus::true_, "", "", 1, start);
  View damaged = input(rotation);
  const auto heals = [&damaged] {
    const Decision decision = plan(damaged);
    return work(decision) != nullptr && work(decision)->heals;
  };
  EXPECT_FALSE(heals());
  damaged.stale = {damage};
  EXPECT_TRUE(heals());
  damaged.drifted = true;
  EXPECT_FALSE(heals()) << "Quay's token is another one";
  damaged.drifted = false;
  rotation.generation = 2;
  EXPECT_FALSE(heals()) << "the spec has changed";
  rotation.generation = 1;
  rotation.status.targets.failing = {{"team", "pull", "Secret", "NotOwned", "", start}};
  EXPECT_FALSE(heals()) << "it was never written";
  rotation.status.targets.failing.clear();
  rotation.status.conditions.remove("Published");
  EXPECT_FALSE(heals()) << "the token was never delivered";
  rotation.status.conditions = settled().status.conditions;
  rotation.status.conditions.remove("Verified");
  damaged.stale.clear();
  EXPECT_FALSE(heals()) << "that is a verification";
}

TEST(Plan, AnUnverifiedTokenIsVerifiedAgain) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.conditions.remove("Verified");
  expect_work(plan(input(rotation)), Goal::synchronize);
  rotation.spec.verify = api::VerifyLevel::none;
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
}

TEST(Plan, ALedgerComesFirstAndSuspensionOnlyForbidsANewRegeneration) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = api::Ledger{};
  rotation.rotate_request = "today";
  expect_work(plan(input(rotation)), Goal::resume);
  EXPECT_TRUE(work(plan(input(rotation)))->may_regenerate);
  rotation.spec.suspend = true;
  expect_work(plan(input(rotation)), Goal::resume);
  EXPECT_FALSE(work(plan(input(rotation)))->may_regenerate);
}

TEST(Plan, BeforeTheCachesAreCompleteOnlyALedgerIsSettled) {
  api::RobotTokenRotation rotation = settled();
  const auto early = [&rotation](base::Duration after = seconds(1)) {
    View result = input(rotation, after);
    result.caches_complete = false;
    return plan(result);
  };
  EXPECT_TRUE(is<Postpone>(early(hours(5))));
  rotation.rotate_request = "today";
  EXPECT_TRUE(is<Postpone>(early()));
  rotation.status.rotation = api::Ledger{};
  expect_work(early(), Goal::resume);
  EXPECT_FALSE(work(early())->may_regenerate);
  rotation.invalid = "spec.schedule.interval: expected a duration";
  EXPECT_TRUE(is<Postpone>(early()));
  rotation.deleting = true;
  EXPECT_TRUE(is<Postpone>(early()));
}

TEST(Plan, WhileOwnersAreNotKnownTokensAreAdoptedAndHealedButNotRegenerated) {
  api::RobotTokenRotation rotation = settled();
  const auto decide = [&rotation](base::Duration after, bool targets_current) {
    View result = input(rotation, after);
    result.owners_known = false;
    if (!targets_current) result.stale = {damage};
    return plan(result);
  };
  EXPECT_TRUE(is<Rest>(decide(seconds(1), true)));
  EXPECT_TRUE(is<Postpone>(decide(hours(5), true)));
  expect_work(decide(hours(5), false), Goal::synchronize);
  rotation.rotate_request = "today";
  EXPECT_TRUE(is<Postpone>(decide(seconds(1), true)));
  rotation.status.rotation = api::Ledger{};
  expect_work(decide(seconds(1), true), Goal::resume);
  EXPECT_FALSE(work(decide(seconds(1), true))->may_regenerate);

  rotation = settled();
  rotation.status.conditions.set("Conflict", api::ConditionStatus::true_, "", "", 1, start);
  EXPECT_TRUE(is<Postpone>(decide(seconds(1), false)));
  rotation = settled();
  rotation.status.robots.clear();
  expect_work(decide(seconds(1), false), Goal::synchronize);
  rotation = settled();
  rotation.initialized = false;
  rotation.spec.initial = api::Initial::rotate;
  EXPECT_TRUE(is<Postpone>(decide(seconds(1), true)));
}

TEST(Plan, WhatForbidsWork) {
  api::RobotTokenRotation rotation = settled();
  rotation.rotate_request = "today";
  View conflict = input(rotation);
  conflict.owner = kube::ObjectKey{"team", "older"};
  expect_halt(plan(conflict), Why::conflict);

  rotation.spec.suspend = true;
  expect_halt(plan(input(rotation)), Why::suspended);
  rotation.invalid = "spec.schedule.interval: expected a duration";
  expect_halt(plan(input(rotation)), Why::invalid);
  rotation.deleting = true;
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
}

api::RobotTokenRotation federated() {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.interval = {};
  rotation.spec.strategy = {api::StrategyType::federate, {}, {.service_account = "puller"}};
  rotation.status.active()->expires = start + hours(1);
  return rotation;
}

TEST(Plan, AFederatedRobotIsGivenANewCredentialInTime) {
  const api::RobotTokenRotation rotation = federated();
  const Decision rests = plan(input(rotation));
  ASSERT_TRUE(is<Rest>(rests));
  EXPECT_GE(std::get<Rest>(rests.what).until, start + std::chrono::minutes(35));
  const Decision due = plan(input(rotation, std::chrono::minutes(41)));
  expect_work(due, Goal::exchange);
  EXPECT_EQ(due.why, Why::due);
  EXPECT_FALSE(work(due)->heals);
}

TEST(Plan, WhateverAilsAFederatedRobotsTargetsIsMendedByAnotherCredential) {
  api::RobotTokenRotation rotation = federated();
  rotation.status.conditions.set("Published", api::ConditionStatus::true_, "AllTargetsCurrent", "",
                                 1, start);
  View broken = input(rotation);
  broken.stale = {damage};
  expect_work(plan(broken), Goal::exchange);
  EXPECT_TRUE(work(plan(broken))->heals);
  rotation.rotate_request = "now";
  expect_work(plan(input(rotation)), Goal::exchange);
  EXPECT_EQ(work(plan(input(rotation)))->reason, api::RotationReason::requested);
  rotation.status.conditions.remove("Verified");
  rotation.status.last_handled_rotate_request = "now";
  EXPECT_EQ(plan(input(rotation)).why, Why::unverified);
  const api::RobotTokenRotation listed = federated();
  View drifted = input(listed);
  drifted.drifted = true;
  EXPECT_TRUE(is<Rest>(plan(drifted))) << "a list tells the robot's own token";
}

TEST(Plan, AStaticTokenIsBurnedOnceTheCredentialIsInEveryTarget) {
  api::RobotTokenRotation rotation = federated();
  rotation.spec.strategy.federate.burn_static_token = true;
  View view = input(rotation);
  expect_work(plan(view), Goal::retire);
  EXPECT_EQ(plan(view).why, Why::static_token_alive);
  view.stale = {damage};
  expect_work(plan(view), Goal::exchange);
  view.stale.clear();
  view.owners_known = false;
  EXPECT_TRUE(is<Rest>(plan(view)));
  rotation.status.active()->retired_at = start;
  EXPECT_TRUE(is<Rest>(plan(input(rotation))));
}

TEST(Plan, AChangeOfStrategyBringsTheOtherCredential) {
  api::RobotTokenRotation rotation = federated();
  rotation.spec.strategy = {};
  rotation.spec.interval = hours(1);
  const Decision back = plan(input(rotation));
  expect_work(back, Goal::synchronize);
  EXPECT_EQ(back.why, Why::strategy_changed);
  rotation.status.active()->expires.reset();
  rotation.status.federation = api::Federation{"https://api", "x"};
  EXPECT_EQ(plan(input(rotation)).why, Why::federation_left);
  rotation.spec.strategy = federated().spec.strategy;
  EXPECT_EQ(plan(input(rotation)).why, Why::token_unknown);
  expect_work(plan(input(rotation)), Goal::exchange);
}

api::RobotTokenRotation alternating() {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.strategy = {
      api::StrategyType::alternate, {"puller-b", std::chrono::minutes(10)}, {}};
  rotation.status.robots.push_back(
      {"acme+puller-b", api::RobotRole::standby, base::Fingerprint::of("before")});
  rotation.status.robots[1].replaced_at = start;
  return rotation;
}

TEST(Plan, ComparesTheTwoRobotsBeforeAnythingElseIsDoneWithThem) {
  api::RobotTokenRotation rotation = alternating();
  View unequal = input(rotation, hours(5));
  unequal.standby_proven = false;
  expect_work(plan(unequal), Goal::synchronize);
  EXPECT_TRUE(work(plan(unequal))->compare);
  EXPECT_EQ(plan(unequal).why, Why::standby_unproven);
  unequal.standby_proven = true;
  expect_work(plan(unequal), Goal::rotate);
}

TEST(Plan, RetiresWhenTheOverlapIsOverAndNothingElseIsToBeDone) {
  const api::RobotTokenRotation rotation = alternating();
  const Decision before = plan(input(rotation, std::chrono::minutes(9)));
  ASSERT_TRUE(is<Rest>(before));
  EXPECT_EQ(std::get<Rest>(before.what).until, start + std::chrono::minutes(10));
  View due = input(rotation, std::chrono::minutes(10));
  expect_work(plan(due), Goal::retire);
  EXPECT_EQ(plan(due).why, Why::overlap_over);
  due.stale = {damage};
  expect_work(plan(due), Goal::synchronize);
  due.stale.clear();
  due.drifted = true;
  expect_work(plan(due), Goal::synchronize);
  due.drifted = false;
  due.owners_known = false;
  EXPECT_TRUE(is<Rest>(plan(due)));
  expect_work(plan(input(rotation, hours(1))), Goal::rotate);
}

TEST(Plan, ATurnWaitsUntilEveryTargetHoldsTheActiveRobotsToken) {
  const api::RobotTokenRotation rotation = alternating();
  View damaged = input(rotation, hours(1));
  damaged.stale = {damage};
  expect_work(plan(damaged), Goal::synchronize);
  damaged.stale.clear();
  damaged.drifted = true;
  expect_work(plan(damaged), Goal::synchronize);
  damaged.drifted = false;
  expect_work(plan(damaged), Goal::rotate);
}

TEST(Plan, AnotherRobotOfTheSpecIsDeliveredBeforeAnythingIsRotated) {
  api::RobotTokenRotation rotation = alternating();
  std::swap(rotation.status.robots[0].role, rotation.status.robots[1].role);
  rotation.spec.strategy = {};
  const Decision decision = plan(input(rotation, hours(5)));
  expect_work(decision, Goal::synchronize);
  EXPECT_EQ(decision.why, Why::strategy_changed);
}

}  // namespace
}  // namespace quay_rotator::rotation
