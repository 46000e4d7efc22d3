#include "rotation/status/refresh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rotation/status/record.h"
#include "schedule/refresh.h"
#include "unit/rotation/status/samples.h"

namespace quay_rotator::rotation {
namespace {

using api::ConditionStatus;
using namespace samples;
using std::chrono::hours;
using std::chrono::minutes;
using testing::AllOf;
using testing::HasSubstr;

// Of a resource that was federated `ago`, for an hour.
api::RobotTokenRotation federated_for(base::WallTime::duration ago) {
  api::RobotTokenRotation rotation = settled();
  rotation.spec.robot = {"acme", "puller"};
  rotation.spec.interval = {};
  rotation.spec.strategy = {api::StrategyType::federate, {}, {.service_account = "puller"}};
  rotation.status.observed_generation = 3;
  api::RobotStatus& robot = *rotation.status.active();
  robot.known_since = now - ago;
  robot.expires = now - ago + hours(1);
  rotation.status.conditions.set("Ready", ConditionStatus::true_, "Current", "", 3, now);
  rotation.status.conditions.set("Verified", ConditionStatus::true_, "LoggedIn", "", 3, now);
  return rotation;
}
RunResult exchanged(std::string_view credential) {
  RunResult result = done(credential);
  result.verified = Verified::not_done;
  result.federates = true;
  result.expires = now + hours(1);
  return result;
}
RunResult failed() {
  RunResult result = ended(End::quay_failed);
  result.robot.clear();
  result.federates = true;
  result.quay_error = quay_error(quay::Error::Kind::server_error);
  return result;
}

TEST(StatusRefresh, OnlyTheFirstIsTold) {
  api::RobotTokenRotation rotation = federated_for(minutes(40));
  rotation.status.active()->expires.reset();  // the robot's own token, until now
  const StatusUpdate first = after_run(rotation, exchanged("a"));
  ASSERT_EQ(first.notices.size(), 1U);
  EXPECT_EQ(first.notices.front().reason, "Federated");
  EXPECT_EQ(first.status.history.front().reason, "Federated");
  EXPECT_EQ(first.status.active()->expires, now + hours(1));
  EXPECT_TRUE(first.status.conditions.is_true("Ready"));
  EXPECT_EQ(first.status.next->reason, api::NextReason::refresh);

  rotation.status = first.status;
  const StatusUpdate next = after_run(rotation, exchanged("b"));
  EXPECT_TRUE(next.notices.empty());
  EXPECT_EQ(next.status.history.size(), 1U);
  EXPECT_EQ(next.status.fingerprint(), base::Fingerprint::of("b"));
  EXPECT_FALSE(next.status.last_rotation_time);
}

TEST(StatusRefresh, ServesTheRequestThatItWasMadeFor) {
  RunResult result = exchanged("a");
  result.rotate_request = "today";
  const StatusUpdate update = after_run(federated_for(minutes(5)), result);
  EXPECT_EQ(update.status.last_handled_rotate_request, "today");
}

TEST(StatusRefresh, AFailureIsQuietWhileMuchIsLeftAndThenLoudOnce) {
  const StatusUpdate quiet = after_run(federated_for(minutes(41)), failed());
  EXPECT_TRUE(quiet.status.conditions.is_true("Ready"));
  EXPECT_TRUE(quiet.notices.empty());
  EXPECT_EQ(quiet.status.consecutive_failures, 1);
  EXPECT_EQ(quiet.status.next->reason, api::NextReason::backing_off);

  api::RobotTokenRotation rotation = federated_for(minutes(55));
  const StatusUpdate loud = after_run(rotation, failed());
  EXPECT_EQ(condition(loud, "Ready").status, ConditionStatus::false_);
  EXPECT_EQ(condition(loud, "Ready").reason, "ServerError");
  EXPECT_THAT(condition(loud, "Ready").message,
              AllOf(HasSubstr("Quay is read-only"), HasSubstr("ends at 2026-03-01T00:05:00Z")));
  EXPECT_TRUE(loud.status.conditions.is_true("Verified"));
  EXPECT_EQ(loud.notices.size(), 1U);
  rotation.status = loud.status;
  EXPECT_TRUE(after_run(rotation, failed()).notices.empty());
}

TEST(StatusRefresh, SaysThatTheCredentialHasEnded) {
  const StatusUpdate ended = after_run(federated_for(minutes(70)), failed());
  EXPECT_THAT(condition(ended, "Ready").message, HasSubstr("has ended at"));
  EXPECT_EQ(condition(ended, "Verified").reason, "CredentialEnded");
}

TEST(StatusRefresh, AFirstThatFailsIsLoudAtOnce) {
  api::RobotTokenRotation rotation = federated_for(minutes(1));
  rotation.status.robots.clear();
  RunResult none = ended(End::no_identity);
  none.robot.clear();
  none.federates = true;
  none.refusal = credential::Refusal{"ServiceAccountNotFound", "create it"};
  const StatusUpdate update = after_run(rotation, none);
  EXPECT_EQ(condition(update, "Ready").reason, "ServiceAccountNotFound");
  EXPECT_THAT(condition(update, "Ready").message, HasSubstr("create it"));
  EXPECT_EQ(update.notices.size(), 1U);
}

TEST(StatusRefresh, TheRobotsOwnTokenIsAdoptedAnewAndNobodysRotation) {
  api::RobotTokenRotation rotation = federated_for(minutes(10));
  rotation.status.federation = api::Federation{"https://api", "system:serviceaccount:team:puller"};
  rotation.status.history = {
      {now, "acme+puller", "Federated", "Succeeded", {}, base::Fingerprint::of("f"), {}},
      {now, "acme+puller", "Adopted", "Succeeded", {}, base::Fingerprint::of("own"), {}}};
  EXPECT_TRUE(superseded(rotation.status, "puller").empty())
      << "it is the newest of the robot's own";
  rotation.spec.strategy = {};
  rotation.spec.interval = hours(1);
  RunResult result = done("own");
  result.left_federation = true;
  const StatusUpdate back = after_run(rotation, result);
  EXPECT_FALSE(back.status.active()->expires);
  EXPECT_FALSE(back.status.federation);
  EXPECT_EQ(back.status.history.front().reason, "Adopted");
  ASSERT_EQ(back.notices.size(), 1U);
  EXPECT_EQ(back.notices.front().reason, "Adopted");
  rotation.status = back.status;
  EXPECT_FALSE(testing::Value(superseded(rotation.status, "puller"),
                              testing::Contains(base::Fingerprint::of("own"))));
}

TEST(StatusRefresh, AnEntryThatStaysIsTriedAgain) {
  api::RobotTokenRotation rotation = settled();
  rotation.status.federation = api::Federation{"https://api", "x"};
  RunResult result = done("old");
  result.leave_error = quay_error(quay::Error::Kind::insufficient_scope);
  EXPECT_TRUE(needs_retry(result));
  const StatusUpdate update = after_run(rotation, result);
  EXPECT_TRUE(update.status.federation);
  EXPECT_TRUE(update.status.conditions.is_true("Ready"));
  EXPECT_EQ(condition(update, "Reconciling").reason, "FederationLeft");
  EXPECT_EQ(update.status.consecutive_failures, 1);
}

}  // namespace
}  // namespace quay_rotator::rotation
