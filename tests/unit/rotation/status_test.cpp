#include "rotation/status.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

const base::WallTime now = base::WallTime(std::chrono::sys_days(std::chrono::year(2026) / 3 / 1));

api::RobotTokenRotation settled() {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team", "puller"}, "uid", "7"};
  rotation.generation = 3;
  rotation.spec.interval = hours(1);
  rotation.spec.targets = {{"pull", {}, {}, {}}};
  rotation.status.robots = {
      {"acme+puller", api::RobotRole::active, base::Fingerprint::of("old"), now - hours(1)}};
  return rotation;
}

using End = credential::Outcome::End;
using Verified = credential::Outcome::Verified;

// What came of a run, and what the look knew beside it.
struct RunResult : credential::Outcome, Circumstances {};
StatusUpdate after_run(const api::RobotTokenRotation& rotation, const RunResult& result) {
  return rotation::after_run(rotation, result, result);
}

RunResult done(std::string_view token) {
  RunResult result;
  result.end = End::done;
  result.fingerprint = base::Fingerprint::of(token);
  result.verified = Verified::good;
  result.robot = "acme+puller";
  result.targets_total = 1;
  result.now = now;
  result.retry_delay = seconds(5);
  return result;
}

RunResult rotated() {
  RunResult result = done("new");
  result.regenerated = true;
  result.made = result.fingerprint;
  result.clear_ledger = true;
  result.ledger = api::Ledger{
      "id", "acme+puller", api::RotationReason::requested, now, base::Fingerprint::of("old"),
      1,    "today"};
  result.outage = milliseconds(12);
  return result;
}

quay::Error quay_error(quay::Error::Kind kind) {
  quay::Error error;
  error.kind = kind;
  error.message = "Quay is read-only";
  return error;
}

RunResult failed(End end) {
  RunResult result;
  result.end = end;
  result.robot = "acme+puller";
  result.targets_total = 1;
  result.now = now;
  result.retry_delay = seconds(5);
  return result;
}

const api::Condition& condition(const StatusUpdate& update, std::string_view type) {
  const api::Condition* found = update.status.conditions.find(type);
  EXPECT_NE(found, nullptr) << type;
  static const api::Condition none;
  return found ? *found : none;
}

const std::optional<connection::Findings::Known> readable = connection::Findings::Known{};

std::optional<connection::Findings::Known> known(std::string reason, bool lasting) {
  return connection::Findings::Known{
      connection::Trouble{std::move(reason), "what it is, and what to do", lasting}};
}

TEST(Status, AnUnreadableOneIsToldAndMendedByASuccess) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.robots.clear();
  rotation.status.unreadable = api::Unreadable{{"robots"}, "status.x: nonsense"};
  RunResult refused = failed(End::quay_failed);
  refused.quay_error = quay_error(quay::Error::Kind::read_only);
  const StatusUpdate told = after_run(rotation, refused);
  EXPECT_TRUE(told.status.unreadable);
  for (const char* type : {"Ready", "Stalled"}) {
    EXPECT_EQ(condition(told, type).reason, "StatusUnreadable");
    EXPECT_THAT(condition(told, type).message,
                AllOf(HasSubstr("status.x: nonsense"), HasSubstr("Quay is read-only")));
  }
  const StatusUpdate mended = after_run(rotation, done("new"));
  EXPECT_FALSE(mended.status.unreadable);
  EXPECT_EQ(mended.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(mended.status.known_since(), now);
  EXPECT_EQ(condition(mended, "Ready").status, ConditionStatus::true_);
  EXPECT_TRUE(std::ranges::any_of(
      mended.notices, [](const Notice& notice) { return notice.reason == "StatusUnreadable"; }));
}

TEST(Status, ALedgerThatCannotBeReadStaysForAsLongAsItsPostMayBeInFlight) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.unreadable =
      api::Unreadable{{"robots", "rotation"}, "status.rotation.id: expected a string"};
  RunResult result = done("new");
  result.foreign = true;
  result.hold_left = seconds(590);
  EXPECT_TRUE(needs_retry(result));
  const StatusUpdate held = after_run(rotation, result);
  EXPECT_TRUE(held.status.has_unreadable_ledger());
  EXPECT_EQ(held.status.unreadable->members.size(), 1U) << "the rest is mended";
  EXPECT_EQ(held.status.fingerprint(), base::Fingerprint::of("new")) << "delivered at once";
  EXPECT_EQ(condition(held, "Published").status, ConditionStatus::true_);
  EXPECT_EQ(condition(held, "Ready").reason, "RotationUnclear");
  EXPECT_THAT(condition(held, "Ready").message,
              AllOf(HasSubstr("status.rotation.id"), HasSubstr("for another 9m50s")));
  EXPECT_EQ(held.status.consecutive_failures, 1);

  rotation.status = held.status;
  const StatusUpdate settled_now = after_run(rotation, done("new"));
  EXPECT_FALSE(settled_now.status.unreadable);
  EXPECT_EQ(condition(settled_now, "Ready").status, ConditionStatus::true_);
  EXPECT_EQ(settled_now.status.consecutive_failures, 0);
}

TEST(Status, SaysWhichMetadataIsNotAllowed) {
  api::RobotTokenRotation rotation = settled();
  const StatusUpdate first = metadata_not_allowed(
      rotation, {"a.com/1", "a.com/2", "a.com/3", "a.com/4", "a.com/5", "a.com/6"}, now);
  EXPECT_EQ(condition(first, "Ready").reason, "MetadataNotAllowed");
  EXPECT_EQ(condition(first, "Stalled").status, ConditionStatus::true_);
  EXPECT_THAT(condition(first, "Ready").message,
              HasSubstr("annotation \"a.com/1\", \"a.com/2\", \"a.com/3\", \"a.com/4\", "
                        "\"a.com/5\" and 1 more: take it out of spec.targets"));
  EXPECT_EQ(first.notices.size(), 1U);
  rotation.status = first.status;
  EXPECT_TRUE(metadata_not_allowed(rotation, {"a.com/1"}, now).notices.empty()) << "told once";
}

TEST(Status, TellsARotationWhole) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  rotation.status.consecutive_failures = 2;
  const StatusUpdate update = after_run(rotation, rotated());
  const auto& status = update.status;
  EXPECT_TRUE(status.conditions.is_true("Ready"));
  EXPECT_TRUE(status.conditions.is_true("Published"));
  EXPECT_TRUE(status.conditions.is_true("Verified"));
  EXPECT_TRUE(status.conditions.is_true("Preflight"));
  EXPECT_EQ(status.observed_generation, 3);
  EXPECT_EQ(status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(status.last_rotation_time, now);
  EXPECT_EQ(status.next, (api::Next{now + hours(1), api::NextReason::interval}));
  EXPECT_EQ(status.last_handled_rotate_request, "today");
  EXPECT_EQ(status.consecutive_failures, 0);
  EXPECT_FALSE(status.rotation);
  EXPECT_FALSE(status.retry_after);
  ASSERT_EQ(status.history.size(), 1U);
  EXPECT_EQ(status.history[0].robot, "acme+puller");
  EXPECT_EQ(status.history[0].reason, "Requested");
  EXPECT_EQ(status.history[0].outage, milliseconds(12));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Rotated");
  EXPECT_THAT(update.notices[0].note, HasSubstr("outage 12ms"));
}

TEST(Status, KeepsTenOfTheHistoryNewestFirst) {
  api::RobotTokenRotation rotation = settled();
  for (int i = 0; i < 12; ++i) {
    RunResult result = rotated();
    result.now = now + seconds(i);
    rotation.status = after_run(rotation, result).status;
  }
  ASSERT_EQ(rotation.status.history.size(), 10U);
  EXPECT_EQ(rotation.status.history[0].time, now + seconds(11));
}

TEST(Status, AdoptionAnnouncesItselfOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  const StatusUpdate first = after_run(rotation, done("old"));
  ASSERT_EQ(first.notices.size(), 1U);
  EXPECT_EQ(first.notices[0].reason, "Adopted");
  EXPECT_EQ(first.status.known_since(), now);
  EXPECT_FALSE(first.status.last_rotation_time);
  rotation.status = first.status;
  EXPECT_TRUE(after_run(rotation, done("old")).notices.empty());
}

TEST(Status, TellsAForeignRotationAndCountsTheIntervalFromIt) {
  RunResult result = done("theirs");
  result.foreign = true;
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "ForeignRotation");
  EXPECT_EQ(update.status.next->time, now + hours(1));
  EXPECT_FALSE(update.status.last_rotation_time);
}

TEST(Status, ARobotThatWasMadeAnewIsToldAsThat) {
  api::RobotTokenRotation rotation = settled();
  RunResult gone = failed(End::quay_failed);
  gone.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  rotation.status = after_run(rotation, rotated()).status;
  rotation.status = after_run(rotation, gone).status;
  RunResult result = done("another");
  result.foreign = true;
  const StatusUpdate update = after_run(rotation, result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "RobotRecreated");
  EXPECT_THAT(update.notices[0].note, HasSubstr("no rights"));
  EXPECT_EQ(update.status.history[0].reason, "RobotRecreated");
}

TEST(Status, AnnouncesAFailedRotationOnlyWhereThereWasOne) {
  RunResult result = failed(End::quay_failed);
  result.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  EXPECT_EQ(after_run(settled(), result).notices.at(0).reason, "RobotNotFound");
  result.rotates = true;
  EXPECT_EQ(after_run(settled(), result).notices.at(0).reason, "RotationFailed");
}

TEST(Status, NamesTheRobotBeforeQuayHasToldIt) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  rotation.spec.robot = {"acme", "puller"};
  RunResult result = failed(End::quay_failed);
  result.robot.clear();
  result.quay_error = quay_error(quay::Error::Kind::unreachable);
  EXPECT_EQ(after_run(rotation, result).status.active_name(), "acme+puller");
}

TEST(Status, TellsHealing) {
  RunResult result = done("old");
  result.healed = "Secret quay-pull was missing";
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Healed");
  EXPECT_THAT(update.notices[0].note,
              ::testing::StartsWith("Secret quay-pull was missing: healed"));
  EXPECT_EQ(update.status.known_since(), now - hours(1));
}

TEST(Status, ARefusedPreflightSaysWhichSecretAndThatNothingHappened) {
  RunResult result = done("old");
  result.end = End::preflight_refused;
  result.problems = {{{"team", "pull"}, "Secret", "Immutable", "it is immutable; delete it", true}};
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Preflight").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Ready").reason, "Immutable");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("Secret pull: it is immutable"));
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("nothing was regenerated"));
  EXPECT_EQ(update.status.consecutive_failures, 1);
  EXPECT_EQ(update.status.retry_after, now + seconds(5));
  EXPECT_EQ(update.notices[0].reason, "PreflightFailed");
  const api::FailingTarget& failing = update.status.targets.failing.at(0);
  EXPECT_EQ(failing.name_space, "team");
  EXPECT_EQ(failing.name, "pull");
  EXPECT_EQ(failing.kind, "Secret");
}

TEST(Status, AQuayThatRefusesClearsTheLedgerAndIsRememberedOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  RunResult result = rotated();
  result.end = End::quay_failed;
  result.regenerated = false;
  result.quay_error = quay_error(quay::Error::Kind::read_only);
  StatusUpdate update = after_run(rotation, result);
  EXPECT_FALSE(update.status.rotation);
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  ASSERT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.history[0].result, "Failed");
  rotation.status = update.status;
  update = after_run(rotation, result);
  EXPECT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.consecutive_failures, 2);
}

TEST(Status, AnUnclearAnswerKeepsTheLedger) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().ledger;
  RunResult result = rotated();
  result.end = End::unclear;
  result.clear_ledger = false;
  result.regenerated = false;
  result.hold_left = seconds(590);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_TRUE(update.status.rotation);
  EXPECT_EQ(condition(update, "Ready").reason, "RotationUnclear");
  EXPECT_THAT(condition(update, "Ready").message,
              HasSubstr("nothing is sent again for another 9m50s; asking again in 5s"));
}

TEST(Status, UnwrittenTargetsAreCountedAndKeepTheirSince) {
  RunResult result = rotated();
  result.end = End::unpublished;
  result.clear_ledger = false;
  result.targets_total = 3;
  result.problems = {{{"team", "pull"}, "Secret", "AdmissionDenied", "denied", true}};
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = result.ledger;
  rotation.status = after_run(rotation, result).status;
  result.now = now + seconds(60);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(update.status.targets.current, 2);
  EXPECT_EQ(update.status.targets.failing[0].since, now);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::false_);
  EXPECT_TRUE(update.status.rotation);
}

TEST(Status, OfManyTargetsThatFailItNamesTen) {
  RunResult result = failed(End::unpublished);
  result.targets_total = 12;
  for (int i = 0; i < 12; ++i) {
    result.problems.push_back(
        {{"team", "pull-" + std::to_string(i)}, "Secret", "Forbidden", "no", true});
  }
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(update.status.targets.failing.size(), 10U);
  EXPECT_EQ(update.status.targets.failing[9].name, "pull-9");
  EXPECT_EQ(update.status.targets.current, 0);
  EXPECT_THAT(condition(update, "Published").message,
              HasSubstr("and 11 more, see status.targets.failing for the first 10"));
}

TEST(Status, NextIsWhatWillReallyHappen) {
  using api::NextReason;
  api::RobotTokenRotation rotation = settled();
  const api::Next interval{now + hours(1), NextReason::interval};
  const api::Next backing_off{now + seconds(5), NextReason::backing_off};
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_EQ(rotation.status.next, interval);
  RunResult away = failed(End::quay_failed);
  away.quay_error = quay_error(quay::Error::Kind::read_only);
  EXPECT_EQ(after_run(rotation, away).status.next, interval) << "no rotation was to be made";
  rotation.rotate_request = "again";
  EXPECT_EQ(after_run(rotation, away).status.next, backing_off);
  rotation.rotate_request.clear();
  rotation.status.last_handled_rotate_request.clear();
  rotation.spec.interval = seconds(1);
  EXPECT_EQ(after_run(rotation, away).status.next, backing_off) << "it is due";
  rotation.spec.interval = hours(1);
  rotation.status.rotation = rotated().ledger;
  EXPECT_EQ(after_run(rotation, failed(End::unclear)).status.next, backing_off);
  rotation.status.rotation.reset();

  const auto rests = [&](const StatusUpdate& update) {
    EXPECT_EQ(update.status.next, std::nullopt);
    api::RobotTokenRotation later = rotation;
    later.status = update.status;
    EXPECT_EQ(at_rest(later, readable, now).status.next, interval);
  };
  rests(suspended(rotation, now));
  rests(in_conflict(rotation, {"team", "older"}, now));
  rests(of_another_cluster(rotation, now));
  rests(metadata_not_allowed(rotation, {"a.com/1"}, now));
  rests(namespace_unreadable(rotation, "secrets is forbidden", now));
  rests(owners_unknown(rotation, now));
}

TEST(Status, ADeliveryThatFailsWithoutARotationIsAnnouncedOnceForEachReason) {
  RunResult result = failed(End::unpublished);
  result.problems = {{{"team", "pull"}, "Secret", "NotOwned", "Secret team/pull exists", true}};
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  const auto told = [&] {
    const StatusUpdate update = after_run(rotation, result);
    rotation.status = update.status;
    return update.notices;
  };
  const auto first = told();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].reason, "PublishFailed");
  EXPECT_EQ(first[0].type, kube::EventType::warning);
  EXPECT_THAT(first[0].note, HasSubstr("Secret team/pull exists"));
  EXPECT_TRUE(told().empty());
  result.problems[0].reason = "QuotaExceeded";
  EXPECT_EQ(told().size(), 1U);
}

TEST(Status, AnUnverifiableTokenIsReadyButTriedAgain) {
  RunResult result = rotated();
  result.verified = Verified::unknown;
  result.verify_error = quay_error(quay::Error::Kind::registry_unavailable);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_TRUE(needs_retry(result));
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  EXPECT_TRUE(update.status.retry_after);
}

TEST(Status, AnUnverifiableTokenIsAskedForMoreAndMoreSeldom) {
  api::RobotTokenRotation rotation = settled();
  for (int times = 1; times <= 3; ++times) {
    RunResult result = done("old");
    result.verified = Verified::unknown;
    result.verify_error = quay_error(quay::Error::Kind::registry_unavailable);
    result.retry_delay = seconds(5 * times);
    const StatusUpdate update = after_run(rotation, result);
    EXPECT_EQ(update.status.consecutive_failures, times);
    EXPECT_EQ(condition(update, "Verified").message,
              "Quay is read-only; asking again in " + std::to_string(5 * times) + "s");
    EXPECT_TRUE(update.status.conditions.is_true("Ready"));
    rotation.status = update.status;
  }
  EXPECT_EQ(after_run(rotation, done("old")).status.consecutive_failures, 0);
}

RunResult stale_read() {
  RunResult result = done("new");
  result.end = End::stale_read;
  result.verified = Verified::not_done;
  result.stale = base::Fingerprint::of("old");
  return result;
}

TEST(Status, AStaleReadIsToldOnceAndChangesNothing) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  StatusUpdate update = after_run(rotation, stale_read());
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  EXPECT_EQ(condition(update, "Verified").reason, "StaleRead");
  EXPECT_THAT(condition(update, "Verified").message, HasSubstr("asking again in 5s"));
  EXPECT_TRUE(update.status.conditions.is_true("Ready")) << "every target holds the newest token";
  EXPECT_EQ(update.status.history.size(), 1U);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "StaleRead");
  rotation.status = update.status;
  update = after_run(rotation, stale_read());
  EXPECT_TRUE(update.notices.empty());
  EXPECT_EQ(update.status.consecutive_failures, 2);
}

TEST(Status, WhatCannotBeHealedFromAStaleReadIsNotReady) {
  RunResult result = stale_read();
  result.targets_current = false;
  EXPECT_EQ(condition(after_run(settled(), result), "Ready").reason, "StaleRead");
}

TEST(Status, ARefusedLoginAndAnOlderTokenLeaveTheNewOneUnverified) {
  RunResult result = rotated();
  result.verified = Verified::unknown;
  result.verify_error = quay_error(quay::Error::Kind::login_refused);
  result.stale = base::Fingerprint::of("old");
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("new"));
  EXPECT_EQ(condition(update, "Verified").reason, "StaleRead");
  EXPECT_TRUE(needs_retry(result));
}

TEST(Status, TheHistoryTellsEveryTokenThatWasCurrentBefore) {
  api::RobotTokenRotation rotation = settled();
  EXPECT_THAT(superseded(rotation.status), testing::IsEmpty());
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_THAT(superseded(rotation.status), testing::ElementsAre(base::Fingerprint::of("old")));
  RunResult overtaken = rotated();
  overtaken.ledger->previous = base::Fingerprint::of("new");
  overtaken.made = base::Fingerprint::of("newer");
  overtaken.fingerprint = base::Fingerprint::of("theirs");
  overtaken.foreign = true;
  rotation.status = after_run(rotation, overtaken).status;
  EXPECT_THAT(
      superseded(rotation.status),
      testing::UnorderedElementsAre(base::Fingerprint::of("old"), base::Fingerprint::of("new"),
                                    base::Fingerprint::of("newer")));
  EXPECT_FALSE(rotation.status.history[1].previous) << "the entry before tells it";
  rotation.status.active()->fingerprint.reset();
  EXPECT_THAT(superseded(rotation.status),
              testing::Not(testing::Contains(base::Fingerprint::of("theirs"))))
      << "a status that has lost it";
}

TEST(Status, ARotationThatCannotBeginIsTold) {
  RunResult result = rotated();
  result.end = End::start_over;
  result.regenerated = false;
  result.clear_ledger = false;
  result.start_overs = 4;
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Ready").reason, "CannotBegin");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("4 times in a row"));
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("asking again in 5s"));
  EXPECT_EQ(update.status.consecutive_failures, 1);
}

TEST(Status, ALateCommitOfOursIsNotPutOnOthersAlone) {
  RunResult result = done("late");
  result.foreign = true;
  result.watched = true;
  EXPECT_THAT(after_run(settled(), result).notices.at(0).note,
              HasSubstr("by an earlier request that Quay carried out late, or by somebody else"));
}

TEST(Status, ABackupThatWasPutBackIsToldAsSuch) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  RunResult result = done("old");
  result.foreign = true;
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_THAT(update.notices.at(0).note, HasSubstr("gone back to an older token"));
  EXPECT_EQ(update.status.fingerprint(), base::Fingerprint::of("old"));
  EXPECT_THAT(superseded(update.status), testing::Contains(base::Fingerprint::of("new")));
  EXPECT_THAT(superseded(update.status),
              testing::Not(testing::Contains(base::Fingerprint::of("old"))));
}

TEST(Status, WhatAWrongClockDatedIsDatedAnewAndTold) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.last_rotation_time = now + hours(24 * 365);
  rotation.status = at_rest(rotation, readable, now).status;
  const StatusUpdate update = dated_anew(rotation, now);
  EXPECT_EQ(update.status.last_rotation_time, now);
  EXPECT_EQ(update.status.next->time, now + hours(1));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "ClockWasWrong");
  EXPECT_THAT(update.notices[0].note, HasSubstr("2027-03-01T00:00:00Z"));
}

TEST(Status, ARefusedTokenIsNotReady) {
  RunResult result = rotated();
  result.verified = Verified::refused;
  result.verify_error = quay_error(quay::Error::Kind::robots_disallowed);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Ready").reason, quay::reason(quay::Error::Kind::robots_disallowed));
  EXPECT_FALSE(update.status.rotation);
}

const tenancy::Way way{"quay", "quay.example.com", false};

RunResult refused(quay::Error::Kind kind) {
  RunResult result = done("old");
  result.end = End::quay_failed;
  result.quay_error = quay_error(kind);
  result.robot.clear();
  result.way = way;
  return result;
}

TEST(Status, AReadRobotProvesTheClaim) {
  api::RobotTokenRotation rotation = settled();
  RunResult read = done("old");
  read.way = way;
  read.alias = "0123";
  rotation.status = after_run(rotation, read).status;
  ASSERT_TRUE(rotation.status.ownership);
  EXPECT_EQ(*rotation.status.ownership,
            (api::Ownership{"quay", "quay.example.com", "0123", false, now, {}}));
  read.now = now + hours(1);
  EXPECT_EQ(after_run(rotation, read).status.ownership, rotation.status.ownership);
  // Also where its token could not be delivered.
  rotation.status.ownership.reset();
  read.end = End::unpublished;
  read.problems = {{{"team", "pull"}, "Secret", "Forbidden", "no"}};
  EXPECT_TRUE(after_run(rotation, read).status.ownership);
}

TEST(Status, TheClaimLapsesWhenQuayRefusesForLongAndNotWhenItIsAway) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.ownership = tenancy::proven(std::nullopt, way, "", now - hours(9));
  RunResult away = refused(quay::Error::Kind::unreachable);
  away.now = now + hours(100);
  EXPECT_EQ(after_run(rotation, away).status.ownership, rotation.status.ownership);

  RunResult refusal = refused(quay::Error::Kind::api_token_refused);
  rotation.status = after_run(rotation, refusal).status;
  EXPECT_EQ(rotation.status.ownership->refused_since, now);
  EXPECT_TRUE(rotation.status.ownership->since);
  refusal.now = now + hours(1);
  EXPECT_FALSE(after_run(rotation, refusal).status.ownership->since);
  const connection::Problem none{"ConnectionNotFound", "no such connection"};
  const StatusUpdate without =
      without_connection(rotation, {"quay", "", false}, none, now + hours(1), seconds(5));
  EXPECT_FALSE(without.status.ownership->since);
}

TEST(Status, AConnectionThatIsTurnedElsewhereLosesTheClaimAlsoWhenNobodyAnswersThere) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.ownership = tenancy::proven(std::nullopt, way, "", now - hours(9));
  RunResult away = refused(quay::Error::Kind::unreachable);
  away.way.quay = "elsewhere.example.com";
  EXPECT_FALSE(after_run(rotation, away).status.ownership->since);
}

TEST(Status, AConflictNamesNobodyOfAnotherNamespace) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.ownership = tenancy::proven(std::nullopt, way, "", now);
  const StatusUpdate update = in_conflict(rotation, {"secret-team", "secret-name"}, now);
  EXPECT_THAT(condition(update, "Conflict").message,
              HasSubstr("a RobotTokenRotation in another namespace"));
  EXPECT_EQ(to_json(update.status).dump().find("secret-"), std::string::npos);
  for (const Notice& notice : update.notices) {
    EXPECT_EQ(notice.note.find("secret-"), std::string::npos);
  }
  // It calls nothing: nothing proves its claim.
  EXPECT_FALSE(update.status.ownership->since);
}

TEST(Status, AnotherClustersResourceSaysWhatToDoAndIsAnnouncedOnce) {
  api::RobotTokenRotation rotation = settled();
  const StatusUpdate update = of_another_cluster(rotation, now);
  EXPECT_EQ(update.notices.size(), 1U);
  const api::Condition& stalled = condition(update, "Stalled");
  EXPECT_EQ(stalled.reason, "OwnedByAnotherCluster");
  EXPECT_THAT(stalled.message,
              HasSubstr("kubectl -n team annotate rtr puller quayrotator.dev/cluster-"));
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::false_);
  rotation.status = update.status;
  EXPECT_TRUE(of_another_cluster(rotation, now).notices.empty());
}

TEST(Status, WhatIsRestoredWithoutItsStatusTakesItsRequestForHandled) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = {};
  rotation.rotate_request = "last year";
  EXPECT_EQ(after_run(rotation, done("old")).status.last_handled_rotate_request, "");
  rotation.initialized = true;
  EXPECT_EQ(after_run(rotation, done("old")).status.last_handled_rotate_request, "last year");
}

TEST(Status, AConflictIsAnnouncedOnceAndEndsAtRest) {
  api::RobotTokenRotation rotation = settled();
  StatusUpdate update = in_conflict(rotation, {"team", "older"}, now);
  EXPECT_EQ(update.notices.size(), 1U);
  EXPECT_THAT(condition(update, "Conflict").message, HasSubstr("team/older"));
  rotation.status = update.status;
  EXPECT_TRUE(in_conflict(rotation, {"team", "older"}, now).notices.empty());
  update = at_rest(rotation, readable, now);
  EXPECT_EQ(update.status.conditions.find("Conflict"), nullptr);
  EXPECT_EQ(update.status.conditions.find("Stalled"), nullptr);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
}

TEST(Status, ANamespaceThatCannotBeReadIsToldOnceAndIsOverAtRest) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = at_rest(rotation, readable, now).status;
  StatusUpdate update = namespace_unreadable(rotation, "secrets is forbidden", now);
  EXPECT_EQ(condition(update, "Ready").reason, "NamespaceUnreadable");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("secrets is forbidden"));
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
  ASSERT_EQ(update.notices.size(), 1U);
  rotation.status = update.status;
  EXPECT_TRUE(namespace_unreadable(rotation, "secrets is forbidden", now).notices.empty());
  update = at_rest(rotation, std::nullopt, now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::true_);
  EXPECT_TRUE(update.notices.empty());
}

TEST(Status, NothingChangesAtRest) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_EQ(at_rest(rotation, readable, now + seconds(100)).status, rotation.status);
  EXPECT_EQ(at_rest(rotation, {}, now + seconds(100)).status, rotation.status);
}

TEST(Status, WhatOnlyAPersonCanEndIsOnTheResourceWithAnEventUntilItHasEnded) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  StatusUpdate update = at_rest(rotation, known("OrganizationNotFound", true), now);
  EXPECT_EQ(condition(update, "Ready").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Ready").reason, "OrganizationNotFound");
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "OrganizationNotFound");

  rotation.status = update.status;
  EXPECT_TRUE(at_rest(rotation, known("OrganizationNotFound", true), now).notices.empty());
  EXPECT_EQ(at_rest(rotation, {}, now).status, rotation.status) << "nobody has looked again";

  update = at_rest(rotation, readable, now);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_TRUE(update.status.conditions.is_true("Published"));
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Recovered");
}

TEST(Status, AQuayThatIsAwayLeavesTheResourceReady) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  const StatusUpdate update = at_rest(rotation, known("Unreachable", false), now);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_TRUE(update.status.conditions.is_true("Verified"));
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::unknown);
}

TEST(Status, ARobotThatIsGoneIsNotInTheSecrets) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  RunResult result = failed(End::quay_failed);
  result.quay_error = quay_error(quay::Error::Kind::robot_not_found);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
}

// --- Whatever came before, the conditions speak of now and do not contradict each other.

using Change = std::function<StatusUpdate(const api::RobotTokenRotation&)>;

std::map<std::string, Change> changes() {
  using Kind = quay::Error::Kind;
  std::map<std::string, Change> all;
  const auto run = [](RunResult result) {
    return
        [result](const api::RobotTokenRotation& rotation) { return after_run(rotation, result); };
  };
  all["rotated"] = run(rotated());
  all["synchronized"] = run(done("old"));
  for (const auto kind : {Kind::robots_disallowed, Kind::login_refused}) {
    RunResult result = rotated();
    result.verified = Verified::refused;
    result.verify_error = quay_error(kind);
    all["refused " + std::string(quay::reason(kind))] = run(result);
    result = failed(End::preflight_refused);
    result.fingerprint = base::Fingerprint::of("old");
    result.preflight_error = quay_error(kind);
    all["preflight " + std::string(quay::reason(kind))] = run(result);
  }
  RunResult unverified = rotated();
  unverified.verified = Verified::unknown;
  unverified.verify_error = quay_error(Kind::registry_unavailable);
  all["unverified"] = run(unverified);
  for (const auto kind : {Kind::robot_not_found, Kind::api_token_refused, Kind::unreachable}) {
    RunResult result = failed(End::quay_failed);
    result.quay_error = quay_error(kind);
    all["failed " + std::string(quay::reason(kind))] = run(result);
  }
  all["unclear"] = run(failed(End::unclear));
  all["started over"] = run(failed(End::start_over));
  for (const bool current : {true, false}) {
    RunResult result = stale_read();
    result.targets_current = current;
    all[current ? "stale" : "stale, not current"] = run(result);
  }
  RunResult unpublished = failed(End::unpublished);
  unpublished.regenerated = true;
  unpublished.problems = {{{"team", "pull"}, "Secret", "AdmissionDenied", "denied", true}};
  all["unpublished"] = run(unpublished);
  all["conflict"] = [](const auto& rotation) { return in_conflict(rotation, {"team", "o"}, now); };
  all["invalid"] = [](api::RobotTokenRotation rotation) {
    rotation.invalid = "spec.robot: missing";
    return invalid(rotation, now);
  };
  all["another cluster"] = [](const auto& rotation) { return of_another_cluster(rotation, now); };
  all["namespace unreadable"] = [](const auto& rotation) {
    return namespace_unreadable(rotation, "secrets is forbidden", now);
  };
  all["no connection"] = [](const auto& rotation) {
    return without_connection(rotation, {}, {"CredentialsNotFound", "no Secret"}, now, seconds(5));
  };
  for (const bool lasting : {true, false}) {
    all[lasting ? "lasting" : "passing"] = [lasting](const auto& rotation) {
      return at_rest(rotation, known("Trouble", lasting), now);
    };
  }
  all["at rest"] = [](const auto& rotation) { return at_rest(rotation, readable, now); };
  return all;
}

void expect_consistent(const api::Conditions& conditions) {
  const auto is = [&](std::string_view type, ConditionStatus status) {
    const api::Condition* found = conditions.find(type);
    return found && found->status == status;
  };
  const bool reconciling = conditions.is_true("Reconciling");
  const bool stalled = conditions.is_true("Stalled");
  if (conditions.is_true("Ready")) {
    EXPECT_FALSE(reconciling || stalled);
    for (const char* type : {"Preflight", "Published", "Verified"}) {
      EXPECT_FALSE(is(type, ConditionStatus::false_)) << type << " under Ready";
    }
    EXPECT_FALSE(conditions.is_true("Conflict"));
    return;
  }
  EXPECT_TRUE(is("Ready", ConditionStatus::false_));
  EXPECT_NE(reconciling, stalled);
  const std::string& reason = conditions.find("Ready")->reason;
  // Quay has told the token in this very look, or it is not known what the Secrets are worth.
  const bool read = reason.starts_with("Robots") || reason.starts_with("Login");
  EXPECT_TRUE(read || !conditions.is_true("Published")) << reason;
  EXPECT_FALSE(conditions.is_true("Verified")) << reason;
  EXPECT_EQ(conditions.is_true("Conflict"), reason == "Conflict");
}

TEST(Status, EveryConditionSpeaksOfNowWhateverCameBefore) {
  api::RobotTokenRotation first = settled();
  first.status = after_run(first, rotated()).status;
  for (const auto& [before, one] : changes()) {
    api::RobotTokenRotation rotation = first;
    rotation.status = one(first).status;
    for (const auto& [after, other] : changes()) {
      SCOPED_TRACE(before + ", then " + after);
      expect_consistent(other(rotation).status.conditions);
    }
  }
}

TEST(Status, TheLedgerIsWrittenWithItsTimeAndShowsAsReconciling) {
  const api::RobotTokenRotationStatus status =
      with_ledger(settled(), *rotated().ledger, now + milliseconds(700));
  EXPECT_EQ(status.rotation->started_at, now);
  EXPECT_EQ(status.rotation->robot, "acme+puller");
  api::Ledger nameless = *rotated().ledger;
  nameless.robot.clear();
  EXPECT_EQ(with_ledger(settled(), nameless, now).rotation->robot, "acme+puller");
  EXPECT_TRUE(status.conditions.is_true("Reconciling"));
}

}  // namespace
}  // namespace quay_rotator::rotation
