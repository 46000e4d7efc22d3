#include "kube/event_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/group.h"
#include "kube/credentials.h"
#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::Answer;

class EventRecorderTest : public ::testing::Test {
 protected:
  void record(EventType type, std::string_view reason, std::string_view note) {
    recorder_.record(api::rotations, object_, type, reason, "Rotate", note, {});
  }
  [[nodiscard]] std::size_t count() const { return transport_.requests().size(); }
  [[nodiscard]] json last() const { return json::parse(transport_.requests().back().body); }

  testing::VirtualExecutor executor_{1};
  testing::RecordingLog log_;
  Answer answer_{.status = 201, .body = "{}"};
  testing::FakeTransport transport_{executor_,
                                    [this](const testing::SentRequest&) { return answer_; }};
  std::unique_ptr<Credentials> credentials_ = make_fixed_credentials({});
  Client client_{transport_, *credentials_, executor_, log_.log()};
  EventRecorder recorder_{client_, executor_, log_.log(), "quay-rotator-0"};
  ObjectMeta object_{{"team-a", "puller"}, "uid-1", "42"};
};

TEST_F(EventRecorderTest, WritesAnEventOfTheObject) {
  record(EventType::normal, "Rotated", "outage 12ms");
  EXPECT_EQ(transport_.requests().at(0).line(),
            "POST /apis/events.k8s.io/v1/namespaces/team-a/events");
  json event = last();
  EXPECT_THAT(event["metadata"]["name"].get<std::string>(),
              ::testing::MatchesRegex("puller\\.[0-9a-f]+"));
  EXPECT_EQ(event["metadata"]["name"].get<std::string>().size(), 23U);
  event["metadata"].erase("name");
  EXPECT_EQ(event, json::parse(R"({
    "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"namespace": "team-a"},
    "eventTime": "2026-03-01T12:00:00.000000Z", "type": "Normal", "reason": "Rotated",
    "action": "Rotate", "note": "outage 12ms",
    "regarding": {"apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation",
                  "namespace": "team-a", "name": "puller", "uid": "uid-1", "resourceVersion": "42"},
    "reportingController": "quayrotator.dev/quay-rotator", "reportingInstance": "quay-rotator-0"})"));
}

TEST_F(EventRecorderTest, EventsOfClusterScopedObjectsLiveInDefault) {
  recorder_.record(namespaces, {{"", "team-a"}, "u", "1"}, EventType::normal, "R", "A", "n", {});
  EXPECT_EQ(last()["metadata"]["namespace"], "default");
  EXPECT_FALSE(last()["regarding"].contains("namespace"));
}

TEST_F(EventRecorderTest, KeepsWithinTheLimitsOfTheServer) {
  object_.key.name = std::string(253, 'n');
  record(EventType::normal, "R", std::string(1021, 'a') + "ä" + std::string(1000, 'b'));
  EXPECT_EQ(last()["note"], std::string(1021, 'a') + "...");
  EXPECT_EQ(last()["metadata"]["name"].get<std::string>().size(), 253U);
  record(EventType::normal, "R", std::string(1020, 'a') + "ä" + std::string(1000, 'b'));
  EXPECT_EQ(last()["note"], std::string(1020, 'a') + "...");
  record(EventType::normal, "R", std::string(1024, 'a'));
  EXPECT_EQ(last()["note"], std::string(1024, 'a'));
}

TEST_F(EventRecorderTest, RepeatsAWarningOnlyAfterTenMinutes) {
  record(EventType::warning, "RotationFailed", "no Quay");
  executor_.advance(9min);
  record(EventType::warning, "RotationFailed", "no Quay");
  EXPECT_EQ(count(), 1U);
  record(EventType::warning, "RotationFailed", "something else");
  record(EventType::warning, "PreflightFailed", "no Quay");
  object_.uid = "uid-2";
  record(EventType::warning, "RotationFailed", "no Quay");
  EXPECT_EQ(count(), 4U);
  object_.uid = "uid-1";
  executor_.advance(1min);
  record(EventType::warning, "RotationFailed", "no Quay");
  EXPECT_EQ(count(), 5U);
  record(EventType::warning, "RotationFailed", "no Quay");
  record(EventType::warning, "RotationFailed", "something else");
  EXPECT_EQ(count(), 5U);
  EXPECT_EQ(last()["type"], "Warning");
}

TEST_F(EventRecorderTest, RepeatsANormalEvent) {
  record(EventType::normal, "Rotated", "x");
  record(EventType::normal, "Rotated", "x");
  EXPECT_EQ(count(), 2U);
}

TEST_F(EventRecorderTest, LogsAFailureAndGoesOn) {
  answer_ = Answer{.status = 500};
  record(EventType::normal, "Rotated", "x");
  EXPECT_THAT(log_.text(),
              ::testing::AllOf(::testing::HasSubstr("warning event not recorded "
                                                    "resource=team-a/puller reason=Rotated"),
                               ::testing::HasSubstr("HTTP status 500")));
}

}  // namespace
}  // namespace quay_rotator::kube
