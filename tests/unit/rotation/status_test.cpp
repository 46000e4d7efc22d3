#include "rotation/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

const base::WallTime now = base::WallTime(std::chrono::sys_days(std::chrono::year(2026) / 3 / 1));

api::RobotTokenRotation settled() {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team", "puller"}, "uid", "7"};
  rotation.generation = 3;
  rotation.spec.interval = hours(1);
  rotation.spec.targets = {{"pull", {}, {}, {}}};
  rotation.status.robot = "acme+puller";
  rotation.status.token_fingerprint = base::Fingerprint::of("old");
  rotation.status.token_known_since = now - hours(1);
  return rotation;
}

RunResult done(std::string_view token) {
  RunResult result;
  result.report.end = Report::End::done;
  result.report.fingerprint = base::Fingerprint::of(token);
  result.report.verified = Report::Verified::good;
  result.robot = "acme+puller";
  result.targets_total = 1;
  result.now = now;
  result.retry_delay = seconds(5);
  return result;
}

RunResult rotated() {
  RunResult result = done("new");
  result.report.regenerated = true;
  result.report.clear_ledger = true;
  result.report.ledger = api::Ledger{
      "id", api::RotationReason::requested, now, base::Fingerprint::of("old"), 1, "today"};
  result.outage = milliseconds(12);
  return result;
}

quay::Error quay_error(quay::Error::Kind kind) {
  quay::Error error;
  error.kind = kind;
  error.message = "Quay is read-only";
  return error;
}

const api::Condition& condition(const StatusUpdate& update, std::string_view type) {
  const api::Condition* found = update.status.conditions.find(type);
  EXPECT_NE(found, nullptr) << type;
  static const api::Condition none;
  return found ? *found : none;
}

TEST(Status, TellsARotationWhole) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().report.ledger;
  rotation.status.consecutive_failures = 2;
  const StatusUpdate update = after_run(rotation, rotated());
  const auto& status = update.status;
  EXPECT_TRUE(status.conditions.is_true("Ready"));
  EXPECT_TRUE(status.conditions.is_true("Published"));
  EXPECT_TRUE(status.conditions.is_true("Verified"));
  EXPECT_TRUE(status.conditions.is_true("Preflight"));
  EXPECT_EQ(status.observed_generation, 3);
  EXPECT_EQ(status.token_fingerprint, base::Fingerprint::of("new"));
  EXPECT_EQ(status.last_rotation_time, now);
  EXPECT_EQ(status.next_rotation_time, now + hours(1));
  EXPECT_EQ(status.last_handled_rotate_request, "today");
  EXPECT_EQ(status.consecutive_failures, 0);
  EXPECT_FALSE(status.rotation);
  EXPECT_FALSE(status.retry_after);
  ASSERT_EQ(status.history.size(), 1U);
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
  EXPECT_EQ(first.status.token_known_since, now);
  EXPECT_FALSE(first.status.last_rotation_time);
  rotation.status = first.status;
  EXPECT_TRUE(after_run(rotation, done("old")).notices.empty());
}

TEST(Status, TellsAForeignRotationAndCountsTheIntervalFromIt) {
  RunResult result = done("theirs");
  result.report.foreign = true;
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "ForeignRotation");
  EXPECT_EQ(update.status.next_rotation_time, now + hours(1));
  EXPECT_FALSE(update.status.last_rotation_time);
}

TEST(Status, TellsHealing) {
  RunResult result = done("old");
  result.healed = true;
  const StatusUpdate update = after_run(settled(), result);
  ASSERT_EQ(update.notices.size(), 1U);
  EXPECT_EQ(update.notices[0].reason, "Healed");
  EXPECT_EQ(update.status.token_known_since, now - hours(1));
}

TEST(Status, ARefusedPreflightSaysWhichSecretAndThatNothingHappened) {
  RunResult result = done("old");
  result.report.end = Report::End::preflight_refused;
  result.report.problems = {{"pull", "Immutable", "it is immutable; delete it", true}};
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Preflight").status, ConditionStatus::false_);
  EXPECT_EQ(condition(update, "Ready").reason, "Immutable");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("Secret pull: it is immutable"));
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("nothing was regenerated"));
  EXPECT_EQ(update.status.consecutive_failures, 1);
  EXPECT_EQ(update.status.retry_after, now + seconds(5));
  EXPECT_EQ(update.notices[0].reason, "PreflightFailed");
  EXPECT_EQ(update.status.failing[0].secret, "pull");
}

TEST(Status, AQuayThatRefusesClearsTheLedgerAndIsRememberedOnce) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().report.ledger;
  RunResult result = rotated();
  result.report.end = Report::End::quay_failed;
  result.report.regenerated = false;
  result.report.quay_error = quay_error(quay::Error::Kind::read_only);
  StatusUpdate update = after_run(rotation, result);
  EXPECT_FALSE(update.status.rotation);
  EXPECT_EQ(update.status.token_fingerprint, base::Fingerprint::of("old"));
  ASSERT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.history[0].result, "Failed");
  rotation.status = update.status;
  update = after_run(rotation, result);
  EXPECT_EQ(update.status.history.size(), 1U);
  EXPECT_EQ(update.status.consecutive_failures, 2);
}

TEST(Status, AnUnclearAnswerKeepsTheLedger) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = rotated().report.ledger;
  RunResult result = rotated();
  result.report.end = Report::End::unclear;
  result.report.clear_ledger = false;
  result.report.regenerated = false;
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_TRUE(update.status.rotation);
  EXPECT_EQ(condition(update, "Ready").reason, "RotationUnclear");
}

TEST(Status, UnwrittenTargetsAreCountedAndKeepTheirSince) {
  RunResult result = rotated();
  result.report.end = Report::End::unpublished;
  result.report.clear_ledger = false;
  result.targets_total = 3;
  result.report.problems = {{"pull", "AdmissionDenied", "denied", true}};
  api::RobotTokenRotation rotation = settled();
  rotation.status.rotation = result.report.ledger;
  rotation.status = after_run(rotation, result).status;
  result.now = now + seconds(60);
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_EQ(update.status.targets_current, 2);
  EXPECT_EQ(update.status.failing[0].since, now);
  EXPECT_EQ(condition(update, "Published").status, ConditionStatus::false_);
  EXPECT_TRUE(update.status.rotation);
}

TEST(Status, AnUnverifiableTokenIsReadyButTriedAgain) {
  RunResult result = rotated();
  result.report.verified = Report::Verified::unknown;
  result.report.verify_error = quay_error(quay::Error::Kind::registry_unavailable);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_TRUE(needs_retry(result.report));
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_EQ(condition(update, "Verified").status, ConditionStatus::unknown);
  EXPECT_TRUE(update.status.retry_after);
}

TEST(Status, ARefusedTokenIsNotReady) {
  RunResult result = rotated();
  result.report.verified = Report::Verified::refused;
  result.report.verify_error = quay_error(quay::Error::Kind::robots_disallowed);
  const StatusUpdate update = after_run(settled(), result);
  EXPECT_EQ(condition(update, "Ready").reason, quay::reason(quay::Error::Kind::robots_disallowed));
  EXPECT_FALSE(update.status.rotation);
}

TEST(Status, AConflictIsAnnouncedOnceAndEndsAtRest) {
  api::RobotTokenRotation rotation = settled();
  StatusUpdate update = in_conflict(rotation, {"team", "older"}, now);
  EXPECT_EQ(update.notices.size(), 1U);
  EXPECT_THAT(condition(update, "Conflict").message, HasSubstr("team/older"));
  rotation.status = update.status;
  EXPECT_TRUE(in_conflict(rotation, {"team", "older"}, now).notices.empty());
  update = at_rest(rotation, now);
  EXPECT_EQ(update.status.conditions.find("Conflict"), nullptr);
  EXPECT_EQ(update.status.conditions.find("Stalled"), nullptr);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
}

TEST(Status, NothingChangesAtRest) {
  api::RobotTokenRotation rotation = settled();
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_EQ(at_rest(rotation, now + seconds(100)).status, rotation.status);
}

TEST(Status, TheLedgerIsWrittenWithItsTimeAndShowsAsReconciling) {
  const api::RobotTokenRotationStatus status =
      with_ledger(settled(), *rotated().report.ledger, now + milliseconds(700));
  EXPECT_EQ(status.rotation->started_at, now);
  EXPECT_TRUE(status.conditions.is_true("Reconciling"));
}

}  // namespace
}  // namespace quay_rotator::rotation
