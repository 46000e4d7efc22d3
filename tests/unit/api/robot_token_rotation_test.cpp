#include "api/robot_token_rotation.h"

#include <chrono>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/status_patch.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const base::WallTime noon = *base::parse_time("2026-03-01T12:00:00Z");

json minimal() {
  return json::parse(R"({
    "metadata": {"name": "puller", "namespace": "team-a", "uid": "u", "resourceVersion": "5",
                 "generation": 2, "creationTimestamp": "2026-03-01T12:00:00Z"},
    "spec": {"connectionRef": {"name": "quay"}, "robot": {"organization": "acme", "name": "puller"},
             "schedule": {"interval": "720h"}, "targets": [{"secret": {"name": "quay-pull"}}]}})");
}

RobotTokenRotationStatus full_status() {
  RobotTokenRotationStatus status;
  status.observed_generation = 2;
  status.conditions.set("Ready", ConditionStatus::true_, "Rotated", "well", 2, noon);
  status.robots = {{"acme+puller", RobotRole::active, base::Fingerprint::of("A"), noon},
                   {"acme+other", RobotRole::standby, std::nullopt, std::nullopt, noon + hours(1),
                    noon, noon + hours(2), noon + hours(3)}};
  status.last_rotation_time = noon;
  status.next = {noon + hours(720), NextReason::interval};
  status.rotation =
      Ledger{"7f3a", "acme+puller", RotationReason::requested, noon, base::Fingerprint::of("B"), 2,
             "now",  seconds(30)};
  status.targets.total = 2;
  status.targets.current = 1;
  status.targets.failing = {{"team-a", "quay-pull", "Secret", "Forbidden", "not allowed", noon}};
  status.history = {
      {noon, "acme+puller", "Interval", "Succeeded", milliseconds(12), base::Fingerprint::of("A"),
       base::Fingerprint::of("B")},
      {noon - hours(1), "acme+puller", "Requested", "Failed", std::nullopt, std::nullopt},
      {noon - hours(2), "acme+other", "Requested", "Failed", std::nullopt, std::nullopt}};
  status.ownership = Ownership{"quay", "quay.example.com", "0123", true, noon, noon + seconds(1)};
  status.last_handled_rotate_request = "before";
  status.consecutive_failures = 3;
  status.retry_after = noon + minutes(5);
  return status;
}

json alternating(const char* standby, const char* overlap = "24h") {
  return {{"type", "Alternate"},
          {"alternate", {{"standby", {{"name", standby}}}, {"overlap", overlap}}}};
}

RobotTokenRotation packed_and_unpacked(const RobotTokenRotation& rotation) {
  kube::TextPool pool;
  kube::Packer packer(pool);
  rotation.pack(packer);
  const kube::Packed packed = packer.take();
  kube::Unpacker unpacker(packed.get(), pool);
  RobotTokenRotation result;
  result.unpack(unpacker);
  return result;
}

TEST(RobotTokenRotationTest, ComesBackFromTheCacheAsItWas) {
  json object = minimal();
  object["metadata"]["annotations"] = {{rotate_requested_annotation, "now"},
                                       {cluster_annotation, "a-uid"},
                                       {initialized_annotation, "2026-03-01T12:00:00Z"}};
  object["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z";
  object["spec"]["schedule"]["jitter"] = "5m";
  object["spec"]["initial"] = "Rotate";
  object["spec"]["verify"]["level"] = "None";
  object["spec"]["strategy"] = alternating("other");
  object["spec"]["deletionPolicy"] = "Retain";
  object["spec"]["suspend"] = true;
  object["spec"]["targets"] = json::parse(R"([{"secret": {"name": "a"}},
      {"secret": {"name": "b", "labels": {"l": "1"}, "annotations": {"n": "2"}},
       "registries": ["quay.example.com", "other"]}])");
  object["status"] = to_json(full_status());
  for (const json& one : {minimal(), object, json::parse(R"({"metadata": {"name": "invalid"}})")}) {
    const auto rotation = RobotTokenRotation::from_json(one);
    ASSERT_TRUE(rotation.has_value());
    EXPECT_EQ(packed_and_unpacked(*rotation), *rotation);
  }
}

TEST(RobotTokenRotationTest, HasDefaults) {
  const auto rotation = RobotTokenRotation::from_json(minimal());
  ASSERT_TRUE(rotation.has_value());
  EXPECT_EQ(rotation->invalid, std::nullopt);
  EXPECT_EQ(rotation->meta.key, (kube::ObjectKey{"team-a", "puller"}));
  EXPECT_EQ(rotation->generation, 2);
  EXPECT_EQ(rotation->created, noon);
  EXPECT_FALSE(rotation->deleting);
  EXPECT_EQ(rotation->rotate_request, "");
  EXPECT_EQ(rotation->cluster, "");
  EXPECT_FALSE(rotation->initialized);
  const RobotTokenRotationSpec& spec = rotation->spec;
  EXPECT_EQ(spec.connection, "quay");
  EXPECT_EQ(spec.robot, (RobotName{"acme", "puller"}));
  EXPECT_EQ(spec.interval, hours(720));
  EXPECT_EQ(spec.jitter, base::Duration::zero());
  EXPECT_EQ(spec.initial, Initial::adopt);
  EXPECT_EQ(spec.targets, (std::vector<SecretTarget>{{"quay-pull", {}, {}, {}}}));
  EXPECT_EQ(spec.verify, VerifyLevel::login);
  EXPECT_EQ(spec.deletion_policy, DeletionPolicy::retain) << "a lost pull Secret is an outage";
  EXPECT_FALSE(spec.suspend);
  EXPECT_EQ(rotation->status, RobotTokenRotationStatus{});
}

TEST(RobotTokenRotationTest, ReadsEveryField) {
  json object = minimal();
  object["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z";
  object["metadata"]["annotations"] = {{"quayrotator.dev/rotate-requested-at", "now"},
                                       {"quayrotator.dev/cluster", "a-uid"},
                                       {"quayrotator.dev/initialized-at", "2026-03-01T12:00:00Z"}};
  object["spec"] = json::parse(R"({
    "connectionRef": {"kind": "QuayConnection", "name": "quay"}, "robot": {"name": "ci"},
    "schedule": {"interval": "1h30m", "jitter": "10m"}, "initial": "Rotate",
    "targets": [{"secret": {"name": "a", "labels": {"x.y/z": "1"}, "annotations": {"n": "2"}},
                 "registries": ["quay:8443", "quay:8443/acme"]}, {"secret": {"name": "b"}}],
    "verify": {"level": "None"}, "onForeignRotation": "Adopt", "deletionPolicy": "Delete",
    "suspend": true, "fieldOfTheFuture": [1]})");
  const auto rotation = RobotTokenRotation::from_json(object);
  ASSERT_TRUE(rotation.has_value());
  EXPECT_EQ(rotation->invalid, std::nullopt);
  EXPECT_TRUE(rotation->deleting);
  EXPECT_EQ(rotation->rotate_request, "now");
  EXPECT_EQ(rotation->cluster, "a-uid");
  EXPECT_TRUE(rotation->initialized);
  const RobotTokenRotationSpec& spec = rotation->spec;
  EXPECT_EQ(spec.robot, (RobotName{"", "ci"}));
  EXPECT_EQ(spec.interval, minutes(90));
  EXPECT_EQ(spec.jitter, minutes(10));
  EXPECT_EQ(spec.initial, Initial::rotate);
  EXPECT_EQ(spec.targets,
            (std::vector<SecretTarget>{
                {"a", {{"x.y/z", "1"}}, {{"n", "2"}}, {"quay:8443", "quay:8443/acme"}},
                {"b", {}, {}, {}}}));
  EXPECT_EQ(spec.verify, VerifyLevel::none);
  EXPECT_EQ(spec.deletion_policy, DeletionPolicy::delete_);
  EXPECT_TRUE(spec.suspend);
}

TEST(RobotTokenRotationTest, ReadsStrategies) {
  json object = minimal();
  object["spec"]["strategy"] = alternating("puller-b");
  object["spec"]["strategy"]["alternate"]["retire"] = "Keep";
  auto rotation = RobotTokenRotation::from_json(object);
  EXPECT_EQ(rotation->invalid, std::nullopt);
  EXPECT_EQ(rotation->spec.strategy,
            (Strategy{StrategyType::alternate, {"puller-b", hours(24), Retire::keep}, {}}));

  object["spec"].erase("schedule");
  object["spec"]["strategy"] = {
      {"type", "Federate"},
      {"federate", {{"serviceAccount", "puller"}, {"audience", "x"}, {"burnStaticToken", true}}}};
  rotation = RobotTokenRotation::from_json(object);
  EXPECT_EQ(rotation->invalid, std::nullopt);
  EXPECT_EQ(rotation->spec.strategy,
            (Strategy{StrategyType::federate, {}, {"puller", "x", true, true}}));
}

TEST(RobotTokenRotationTest, KnowsWhichOfTwoRobotsIsActive) {
  RobotTokenRotation rotation;
  rotation.spec.robot = {"acme", "a"};
  EXPECT_EQ(active_robot(rotation), "a");
  EXPECT_EQ(standby_robot(rotation), "");
  rotation.spec.strategy = {StrategyType::alternate, {"b"}, {}};
  EXPECT_EQ(active_robot(rotation), "a") << "before anything is known";
  EXPECT_EQ(standby_robot(rotation), "b");
  EXPECT_EQ(held(rotation), nullptr);
  rotation.status.robots = {{"acme+b", RobotRole::active}, {"acme+a", RobotRole::standby}};
  EXPECT_EQ(active_robot(rotation), "b");
  EXPECT_EQ(standby_robot(rotation), "a");
  EXPECT_EQ(held(rotation), &rotation.status.robots[0]);

  rotation.spec.strategy.alternate.standby = "c";
  EXPECT_EQ(active_robot(rotation), "a") << "b has left the spec";
  EXPECT_EQ(standby_robot(rotation), "c");
  EXPECT_EQ(held(rotation), nullptr);
  rotation.spec.strategy = {};
  EXPECT_EQ(active_robot(rotation), "a");
  EXPECT_EQ(held(rotation), nullptr);

  rotation.status.robots = {{"acme+a", RobotRole::active}};
  EXPECT_NE(held(rotation), nullptr);
  rotation.spec.strategy = {StrategyType::federate, {}, {"puller"}};
  EXPECT_EQ(held(rotation), nullptr) << "a static token";
  rotation.status.robots[0].expires = noon;
  EXPECT_NE(held(rotation), nullptr);
  rotation.spec.strategy = {};
  EXPECT_EQ(held(rotation), nullptr) << "a credential of an hour";
}

TEST(RobotTokenRotationTest, AnUnusableSpecIsSaidAndTheStatusStillRead) {
  const auto invalid = [](const char* pointer, const json& value) {
    json object = minimal();
    object["status"] = to_json(full_status());
    object[json::json_pointer(pointer)] = value;
    const auto rotation = RobotTokenRotation::from_json(object);
    if (!rotation) return "error: " + rotation.error().message;
    EXPECT_EQ(rotation->status, full_status());
    return rotation->invalid.value_or("none");
  };
  EXPECT_EQ(invalid("/spec", nullptr), "spec: expected an object, it is missing");
  EXPECT_EQ(invalid("/spec", "x"), "spec: expected an object, got a string");
  EXPECT_EQ(invalid("/spec/connectionRef", nullptr),
            "spec.connectionRef.name: expected a string, it is missing");
  EXPECT_EQ(invalid("/spec/connectionRef/kind", "ClusterQuayConnection"),
            "spec.connectionRef.kind: expected QuayConnection, got \"ClusterQuayConnection\"");
  EXPECT_EQ(invalid("/spec/robot", json::object()),
            "spec.robot.name: expected a string, it is missing");
  EXPECT_EQ(invalid("/spec/schedule", json::object({{"cron", "0 3 * * *"}})),
            "spec.schedule.interval: expected a duration like 720h, it is missing");
  EXPECT_EQ(invalid("/spec/schedule/interval", 5),
            "spec.schedule.interval: expected a string, got a number");
  EXPECT_EQ(invalid("/spec/schedule/interval", "0s"),
            "spec.schedule.interval: expected more than 0s");
  EXPECT_EQ(invalid("/spec/schedule/interval", "soon").substr(0, 45),
            "spec.schedule.interval: expected a duration l");
  EXPECT_EQ(invalid("/spec/schedule/jitter", "720h"),
            "spec.schedule.jitter: expected less than spec.schedule.interval");
  EXPECT_EQ(invalid("/spec/schedule", nullptr),
            "spec.schedule.interval: expected a duration like 720h, it is missing");
  EXPECT_EQ(invalid("/spec/strategy/type", "Rotate"),
            "spec.strategy.type: expected Regenerate or Alternate or Federate, got \"Rotate\"");
  EXPECT_EQ(invalid("/spec/strategy/alternate", {{"retire", "Keep"}}),
            "spec.strategy.alternate: expected only with type Alternate");
  EXPECT_EQ(invalid("/spec/strategy/federate", {{"serviceAccount", "x"}}),
            "spec.strategy.federate: expected only with type Federate");
  EXPECT_EQ(invalid("/spec/strategy", {{"type", "Alternate"}}),
            "spec.strategy.alternate.standby.name: expected the other robot's short name, it is "
            "missing");
  EXPECT_EQ(invalid("/spec/strategy", alternating("puller")),
            "spec.strategy.alternate.standby.name: expected another robot than spec.robot.name");
  EXPECT_EQ(invalid("/spec/strategy", alternating("puller-b", "720h")),
            "spec.strategy.alternate.overlap: expected less than spec.schedule.interval");
  EXPECT_EQ(invalid("/spec/strategy", {{"type", "Federate"}}),
            "spec.strategy.federate.serviceAccount: expected a ServiceAccount's name, it is "
            "missing");
  EXPECT_EQ(invalid("/spec/strategy",
                    {{"type", "Federate"}, {"federate", {{"serviceAccount", "puller"}}}}),
            "spec.schedule: expected none with the strategy Federate, whose credentials end by "
            "themselves");
  EXPECT_EQ(invalid("/spec/initial", "Never"),
            "spec.initial: expected Adopt or Rotate, got \"Never\"");
  EXPECT_EQ(invalid("/spec/targets", json::array()), "spec.targets: expected at least one target");
  EXPECT_EQ(invalid("/spec/targets/0/secret/labels", json::object({{"a", 1}})),
            "spec.targets[0].secret.labels[\"a\"]: expected a string, got a number");
  EXPECT_EQ(invalid("/spec/targets/0/registries", json::array({"a", 1})),
            "spec.targets[0].registries[1]: expected a string, got a number");
  EXPECT_EQ(invalid("/spec/targets/1", minimal()["spec"]["targets"][0]),
            "spec.targets[1].secret.name: expected a name of its own, another target has it too");
  EXPECT_EQ(invalid("/spec/targets/0/secret/name", ""),
            "spec.targets[0].secret.name: expected a string, it is empty");
  EXPECT_EQ(invalid("/spec/verify/level", "Pull"),
            "spec.verify.level: expected None or Login, got \"Pull\"");
  EXPECT_EQ(invalid("/spec/onForeignRotation", "Reclaim"),
            "spec.onForeignRotation: expected Adopt, got \"Reclaim\"");
  EXPECT_EQ(invalid("/spec/deletionPolicy", ""),
            "spec.deletionPolicy: expected Delete or Retain, got \"\"");
  EXPECT_EQ(invalid("/spec/suspend", "yes"), "spec.suspend: expected a boolean, got a string");
  EXPECT_EQ(invalid("/spec/suspend", nullptr), "none");
}

RobotTokenRotation with_status(const char* pointer, const json& value) {
  json object = minimal();
  object["status"] = to_json(full_status());
  object[json::json_pointer(pointer)] = value;
  auto rotation = RobotTokenRotation::from_json(object);
  EXPECT_TRUE(rotation.has_value()) << rotation.error().message;
  return rotation.value_or(RobotTokenRotation{});
}

TEST(RobotTokenRotationTest, UnreadableMetadataIsAnError) {
  const auto rotation = RobotTokenRotation::from_json({{"metadata", json::object()}});
  ASSERT_FALSE(rotation.has_value());
  EXPECT_EQ(rotation.error().message, "metadata.name: expected a string, it is missing");
}

TEST(RobotTokenRotationTest, WhatMakesNoSenseInAStatusHidesNothingElse) {
  struct Case {
    const char* pointer;
    json value;
    const char* member;
    const char* why;
  };
  const std::vector<Case> cases{
      {"/status/rotation", json::object(), "rotation",
       "status.rotation.id: expected a string, it is missing"},
      {"/status/rotation/id", nullptr, "rotation",
       "status.rotation.id: expected a string, it is missing"},
      {"/status/rotation/previousFingerprint", nullptr, "rotation",
       "status.rotation.previousFingerprint: expected a fingerprint, it is missing"},
      {"/status/rotation/previousFingerprint", "sha256:xyz", "rotation",
       "status.rotation.previousFingerprint: expected sha256: and 16 hex digits"},
      {"/status/rotation/attempt", -1, "rotation",
       "status.rotation.attempt: expected a number from 0 on"},
      {"/status/rotation/robot", nullptr, "rotation",
       "status.rotation.robot: expected a string, it is missing"},
      {"/status/robots/0/fingerprint", "nonsense", "robots",
       "status.robots[0].fingerprint: expected sha256: and 16 hex digits"},
      {"/status/robots/0/name", "", "robots",
       "status.robots[0].name: expected a string, it is empty"},
      {"/status/robots/0/role", nullptr, "robots",
       "status.robots[0].role: expected a string, it is missing"},
      {"/status/robots/1/role", "Twin", "robots",
       "status.robots[1].role: expected Active or Standby, got \"Twin\""},
      {"/status/robots/1/role", "Active", "robots", "status.robots: expected one Active robot"},
      {"/status/robots/1/name", "acme+puller", "robots", "status.robots: expected each robot once"},
      {"/status/robots/2",
       {{"name", "acme+third"}, {"role", "Standby"}},
       "robots",
       "status.robots: expected at most 2 robots"},
      {"/status/robots", 5, "robots", "status.robots: expected an array, got a number"},
      {"/status/history/0", 1, "history", "status.history[0]: expected an object, got a number"},
      {"/status/targets/total", -1, "targets", "status.targets.total: expected a number from 0 on"},
  };
  for (const Case& one : cases) {
    const RobotTokenRotationStatus status = with_status(one.pointer, one.value).status;
    ASSERT_TRUE(status.unreadable.has_value()) << one.pointer;
    EXPECT_EQ(status.unreadable->members, std::vector<std::string>{one.member});
    EXPECT_EQ(status.unreadable->why, one.why);
    EXPECT_EQ(status.has_unreadable_ledger(), one.member == std::string("rotation"));
    EXPECT_EQ(status.rotation.has_value(), one.member != std::string("rotation"));
    EXPECT_EQ(status.conditions, full_status().conditions);
    EXPECT_EQ(status.last_handled_rotate_request, full_status().last_handled_rotate_request);
  }
  EXPECT_TRUE(with_status("/status/lastRotationTime", "tomorrow").status.unreadable);
  EXPECT_FALSE(with_status("/status/robots", nullptr).status.unreadable);
}

// As after a roll-back.
TEST(RobotTokenRotationTest, ANewerVersionsWordsDoNoHarm) {
  for (const auto& [pointer, value] :
       std::vector<std::pair<const char*, json>>{{"/status/rotation/reason", "Incident"},
                                                 {"/status/rotation/startedAt", "just now"},
                                                 {"/status/conditions/0/status", "Perhaps"},
                                                 {"/status/history/0/reason", "Cron"},
                                                 {"/status/next/reason", "MaxAge"},
                                                 {"/status/next/time", "tomorrow"},
                                                 {"/status/next", "never"}}) {
    const RobotTokenRotationStatus status = with_status(pointer, value).status;
    EXPECT_FALSE(status.unreadable) << pointer;
    ASSERT_TRUE(status.rotation) << pointer;
    EXPECT_EQ(status.rotation->previous, full_status().rotation->previous);
  }
}

// Whatever the newer version said, what is told next replaces it.
TEST(StatusPatchTest, ReplacesANewerVersionsNext) {
  for (const bool any : {true, false}) {
    json stored = to_json(full_status());
    stored["next"]["reason"] = "MaxAge";
    const RobotTokenRotationStatus before = with_status("/status/next/reason", "MaxAge").status;
    EXPECT_EQ(before.next->reason, NextReason::unknown);
    RobotTokenRotationStatus after = full_status();
    if (!any) after.next.reset();
    EXPECT_NE(before, after);
    stored.merge_patch(status_patch(before, after));
    EXPECT_EQ(stored, to_json(after));
  }
}

TEST(RobotTokenRotationTest, TellsOfTheActiveRobot) {
  RobotTokenRotationStatus status = full_status();
  std::swap(status.robots[0], status.robots[1]);
  ASSERT_EQ(status.active(), &status.robots[1]);
  EXPECT_EQ(status.active_name(), "acme+puller");
  EXPECT_EQ(status.fingerprint(), base::Fingerprint::of("A"));
  EXPECT_EQ(status.known_since(), noon);
  status.robots.pop_back();
  EXPECT_EQ(status.active(), nullptr);
  EXPECT_EQ(status.active_name(), "");
  EXPECT_EQ(status.fingerprint(), std::nullopt);
  EXPECT_EQ(status.known_since(), std::nullopt);
}

TEST(StatusPatchTest, LeavesWhatIsUnreadableAloneUntilItIsReplaced) {
  const RobotTokenRotationStatus before =
      with_status("/status/rotation", json{{"id", "1"}, {"previousFingerprint", "?"}}).status;
  RobotTokenRotationStatus after = before;
  after.consecutive_failures += 1;
  EXPECT_EQ(status_patch(before, after), json({{"consecutiveFailures", 4}}));
  RobotTokenRotationStatus worse = before;
  worse.unreadable->members = {"robots", "rotation"};
  EXPECT_EQ(status_patch(worse, after),
            json({{"consecutiveFailures", 4}, {"robots", to_json(full_status())["robots"]}}));
  after.unreadable.reset();
  EXPECT_EQ(status_patch(before, after), json({{"consecutiveFailures", 4}, {"rotation", nullptr}}));

  json stored = to_json(full_status());
  stored["targets"]["failing"][0]["since"] = "yesterday";
  const RobotTokenRotationStatus odd =
      with_status("/status/targets/failing/0/since", "yesterday").status;
  RobotTokenRotationStatus mended = odd;
  mended.unreadable.reset();
  mended.targets.total = 2;
  stored.merge_patch(status_patch(odd, mended));
  EXPECT_EQ(stored, to_json(mended));
}

TEST(RobotTokenRotationTest, CountsCanGoOn) {
  json object = minimal();
  object["status"] = to_json(full_status());
  for (const std::int64_t most : {std::int64_t{2147483647}, std::int64_t{9223372036854775807}}) {
    object["status"]["consecutiveFailures"] = most;
    object["status"]["rotation"]["attempt"] = most;
    const auto rotation = RobotTokenRotation::from_json(object);
    ASSERT_TRUE(rotation.has_value());
    EXPECT_EQ(rotation->status.consecutive_failures, 1'000'000'000);
    EXPECT_EQ(rotation->status.rotation->attempt, 1'000'000'000);
  }
}

TEST(RobotTokenRotationTest, StatusRoundTrips) {
  for (const RobotTokenRotationStatus& status : {RobotTokenRotationStatus{}, full_status()}) {
    json object = minimal();
    object["status"] = to_json(status);
    const auto rotation = RobotTokenRotation::from_json(json::parse(object.dump()));
    ASSERT_TRUE(rotation.has_value()) << rotation.error().message;
    EXPECT_EQ(rotation->status, status);
    EXPECT_EQ(to_json(rotation->status), to_json(status));
  }
  EXPECT_EQ(to_json(RobotTokenRotationStatus{}), json::object());
  EXPECT_EQ(to_json(full_status())["history"][0]["outage"], "12ms");
}

TEST(StatusPatchTest, FractionsOfASecondAreNoDifference) {
  RobotTokenRotationStatus status = full_status();
  *status.last_rotation_time += microseconds(999'999);
  EXPECT_EQ(status_patch(to_json(full_status()), to_json(status)), json::object());
}

TEST(StatusPatchTest, ContainsOnlyWhatChangedAndNullsForWhatWent) {
  const RobotTokenRotationStatus before = full_status();
  RobotTokenRotationStatus after = before;
  after.rotation.reset();
  after.targets.current = 2;
  after.targets.failing.clear();
  after.history.pop_back();
  after.last_rotation_time = noon + seconds(1);
  EXPECT_EQ(status_patch(to_json(before), to_json(after)),
            json({{"rotation", nullptr},
                  {"targets", {{"current", 2}, {"failing", nullptr}}},
                  {"history", to_json(after)["history"]},
                  {"lastRotationTime", "2026-03-01T12:00:01Z"}}));
  EXPECT_EQ(status_patch(json(), to_json(after)), to_json(after));
  EXPECT_EQ(status_patch(to_json(after), to_json(after)), json::object());
}

// Any patch, applied by RFC 7386, must give the second status.
TEST(StatusPatchTest, TurnsAnyStatusIntoAnyOther) {
  std::mt19937 random(1);
  const auto one_of = [&](auto value) { return random() % 2 == 0 ? value : decltype(value){}; };
  const auto any_status = [&] {
    const RobotTokenRotationStatus full = full_status();
    RobotTokenRotationStatus status;
    status.conditions = one_of(full.conditions);
    status.robots = one_of(full.robots);
    status.next = one_of(full.next);
    status.retry_after = one_of(full.retry_after);
    status.rotation = one_of(full.rotation);
    if (status.rotation) {
      status.rotation->attempt = 1 + static_cast<int>(random() % 2);
      status.rotation->rotate_request = one_of(full.rotation->rotate_request);
    }
    status.ownership = one_of(full.ownership);
    if (status.ownership) status.ownership->refused_since = one_of(full.ownership->refused_since);
    status.targets.total = one_of(2);
    status.targets.failing = one_of(full.targets.failing);
    status.history = one_of(full.history);
    status.consecutive_failures = static_cast<int>(random() % 3);
    return to_json(status);
  };
  for (int i = 0; i < 1000; ++i) {
    const json before = any_status();
    const json after = any_status();
    json merged = before;
    merged.merge_patch(status_patch(before, after));
    EXPECT_EQ(merged, after);
  }
}

}  // namespace
}  // namespace quay_rotator::api
