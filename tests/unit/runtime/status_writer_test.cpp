#include "runtime/status_writer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/robot_token_rotation.h"
#include "support/kube/fake_api_server.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::runtime {
namespace {

using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::SentRequest;
using ::testing::ElementsAre;

nlohmann::json object(const std::string& uid, const std::string& version) {
  return {{"metadata",
           {{"namespace", "team-a"},
            {"name", "puller"},
            {"uid", uid},
            {"resourceVersion", version},
            {"creationTimestamp", "2026-03-01T12:00:00Z"}}},
          {"spec",
           {{"connectionRef", {{"name", "quay"}}},
            {"robot", {{"organization", "acme"}, {"name", "puller"}}},
            {"schedule", {{"interval", "1h"}}},
            {"targets", nlohmann::json::array({{{"secret", {{"name", "quay-pull"}}}}})}}}};
}

api::RobotTokenRotation rotation(const std::string& uid, const std::string& version) {
  return api::RobotTokenRotation::from_json(object(uid, version)).value();
}

// Every write comes too late; who reads finds what `live_uid` says.
class StatusWriterTest : public ::testing::Test {
 protected:
  StatusWriterTest() {
    rotations_.put(rotation("uid-1", "7"));
    server_.set_fault([this](const SentRequest& request) -> std::optional<FakeResult> {
      lines_.push_back(request.line().substr(0, request.line().find(' ')));
      if (request.method == http::Method::patch) {
        return quay_rotator::testing::refusal(409, "Conflict", "the object has been modified");
      }
      return Answer{.body = object(live_uid_, live_version_).dump()};
    });
  }
  std::string cached() { return rotations_.find({"team-a", "puller"})->meta.resource_version; }

  api::RobotTokenRotationStatus changed_ = [] {
    api::RobotTokenRotationStatus status;
    status.robots = {{.name = "acme+puller"}};
    return status;
  }();
  std::string live_uid_ = "uid-1";
  std::string live_version_ = "9";
  int lost_ = 0;
  std::vector<std::string> lines_;
  quay_rotator::testing::VirtualExecutor executor_{1};
  quay_rotator::testing::RecordingLog log_;
  quay_rotator::testing::NoCredentials credentials_;
  quay_rotator::testing::FakeApiServer server_{executor_};
  kube::Client client_{server_.transport(), credentials_, executor_, log_.log()};
  Store<api::RobotTokenRotation> rotations_;
  StatusWriter<api::RobotTokenRotation> writer_{client_, api::rotations, rotations_,
                                                [this] { ++lost_; }};
};

TEST_F(StatusWriterTest, AConflictBringsTheCacheUpToDate) {
  executor_.run([&] {
    auto mine = rotation("uid-1", "7");
    EXPECT_EQ(writer_.write(mine, changed_, {}).error().kind, kube::Error::Kind::conflict);
  });
  EXPECT_EQ(cached(), "9");
}

// The new one may be the younger of two, and the older not in the cache yet.
TEST_F(StatusWriterTest, AResourceMadeAnewComesToTheCacheByTheWatchAlone) {
  live_uid_ = "uid-2";
  executor_.run([&] {
    auto mine = rotation("uid-1", "7");
    EXPECT_EQ(writer_.write(mine, changed_, {}).error().kind, kube::Error::Kind::conflict);
  });
  EXPECT_EQ(cached(), "7");
}

TEST_F(StatusWriterTest, AConflictWithAnOlderVersionProvesThatHistoryWentBack) {
  live_version_ = "5";
  executor_.run([&] {
    auto mine = rotation("uid-1", "7");
    EXPECT_EQ(writer_.write(mine, changed_, {}).error().kind, kube::Error::Kind::conflict);
    EXPECT_EQ(lost_, 1);
    live_version_ = "8";
    EXPECT_EQ(writer_.write(mine, changed_, {}).error().kind, kube::Error::Kind::conflict);
  });
  EXPECT_EQ(lost_, 1);
}

// Who began before everything was listed anew would have it listed again.
TEST_F(StatusWriterTest, WhatTheCacheKnowsIsProvenNoMore) {
  live_version_ = "5";
  executor_.run([&] {
    auto mine = rotation("uid-1", "7");
    rotations_.erase(mine.meta.key);
    rotations_.put(rotation("uid-1", "5"));
    EXPECT_EQ(writer_.write(mine, changed_, {}).error().kind, kube::Error::Kind::conflict);
  });
  EXPECT_EQ(lost_, 0);
}

TEST_F(StatusWriterTest, WhatHappenedToAResourceIsNotWrittenToOneMadeAnew) {
  live_uid_ = "uid-2";
  executor_.run([&] {
    auto mine = rotation("uid-1", "7");
    EXPECT_TRUE(writer_.write(mine, [&](const auto&) { return changed_; }, {}));
  });
  EXPECT_THAT(lines_, ElementsAre("PATCH", "GET"));
}

TEST_F(StatusWriterTest, AChangeOfTheObjectItselfIsSentAsItIs) {
  const nlohmann::json change{
      {"metadata", {{"resourceVersion", "7"}, {"annotations", {{"example.com/mark", "a"}}}}}};
  executor_.run([&] {
    EXPECT_EQ(writer_.patch({"team-a", "puller"}, change, {}).error().kind,
              kube::Error::Kind::conflict);
  });
  EXPECT_THAT(lines_, ElementsAre("PATCH"));
  EXPECT_EQ(nlohmann::json::parse(server_.requests().front().body), change);
}

}  // namespace
}  // namespace quay_rotator::runtime
