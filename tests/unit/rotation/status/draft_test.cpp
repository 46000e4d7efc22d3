#include "rotation/status/draft.h"

#include <functional>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rotation/status/at_rest.h"
#include "rotation/status/delayed.h"
#include "rotation/status/halted.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(StatusDraft, KeepsTenOfTheHistoryNewestFirst) {
  api::RobotTokenRotation rotation = settled();
  for (int i = 0; i < 12; ++i) {
    RunResult result = rotated();
    result.now = now + seconds(i);
    rotation.status = after_run(rotation, result).status;
  }
  ASSERT_EQ(rotation.status.history.size(), 10U);
  EXPECT_EQ(rotation.status.history[0].time, now + seconds(11));
}

TEST(StatusDraft, OfManyTargetsThatFailItNamesTen) {
  RunResult result = ended(End::unpublished);
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

TEST(StatusDraft, NextIsWhatWillReallyHappen) {
  using api::NextReason;
  api::RobotTokenRotation rotation = settled();
  const api::Next interval{now + hours(1), NextReason::interval};
  const api::Next backing_off{now + seconds(5), NextReason::backing_off};
  rotation.status = after_run(rotation, rotated()).status;
  EXPECT_EQ(rotation.status.next, interval);
  RunResult away = ended(End::quay_failed);
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
  EXPECT_EQ(after_run(rotation, ended(End::unclear)).status.next, backing_off);
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

TEST(StatusDraft, AReadRobotProvesTheClaim) {
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

TEST(StatusDraft, TheClaimLapsesWhenQuayRefusesForLongAndNotWhenItIsAway) {
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

// Whatever came before, the conditions speak of now and do not contradict each other.

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
    result = ended(End::preflight_refused);
    result.fingerprint = base::Fingerprint::of("old");
    result.preflight_error = quay_error(kind);
    all["preflight " + std::string(quay::reason(kind))] = run(result);
  }
  RunResult unverified = rotated();
  unverified.verified = Verified::unknown;
  unverified.verify_error = quay_error(Kind::registry_unavailable);
  all["unverified"] = run(unverified);
  for (const auto kind : {Kind::robot_not_found, Kind::api_token_refused, Kind::unreachable}) {
    RunResult result = ended(End::quay_failed);
    result.quay_error = quay_error(kind);
    all["failed " + std::string(quay::reason(kind))] = run(result);
  }
  all["unclear"] = run(ended(End::unclear));
  all["started over"] = run(ended(End::start_over));
  for (const bool current : {true, false}) {
    RunResult result = stale_read();
    result.targets_current = current;
    all[current ? "stale" : "stale, not current"] = run(result);
  }
  RunResult unpublished = ended(End::unpublished);
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

TEST(StatusDraft, EveryConditionSpeaksOfNowWhateverCameBefore) {
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

}  // namespace
}  // namespace quay_rotator::rotation
