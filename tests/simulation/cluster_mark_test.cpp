// One cluster for each resource, and one beginning of its life: restores, copies, and a crash at
// each point of the beginning.
#include <memory>
#include <string>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/robot_token_rotation.h"
#include "simulation/story.h"

namespace quay_rotator::simulation {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class ClusterMark : public Story {
 protected:
  json annotations() const {
    return (*world.api.find(api::rotations, rotation))["metadata"].value("annotations",
                                                                         json::object());
  }
  std::string annotation(std::string_view name) const {
    return annotations().value(std::string(name), "");
  }
  // As a backup brings it: with its annotations, another UID and no status.
  void restore() {
    json object = *world.api.find(api::rotations, rotation);
    world.api.remove(api::rotations, rotation);
    object.erase("status");
    object["metadata"] = {{"name", rotation.name},
                          {"namespace", rotation.name_space},
                          {"annotations", object["metadata"]["annotations"]}};
    world.api.create(api::rotations, object);
  }
  void start_in(const std::string& cluster) {
    world.start(0, {.drift_interval = hours(48), .cluster = cluster});
  }
  void take_over() {
    world.edit_rotation(rotation, [](json& object) {
      object["metadata"]["annotations"].erase(std::string(api::cluster_annotation));
    });
  }
  int commits() { return world.commits("acme+puller"); }
};

TEST_F(ClusterMark, IsWrittenOnceTheBeginningIsOver) {
  live({});
  EXPECT_EQ(annotation(api::cluster_annotation), "this-cluster");
  EXPECT_NE(annotation(api::initialized_annotation), "");
  expect_settled();
}

TEST_F(ClusterMark, ARestoreWithoutStatusBeginsNothingAgain) {
  live({.initially_rotate = true});
  world.rotate_now(rotation);
  world.advance(minutes(2));
  ASSERT_EQ(commits(), 2);
  for (int time = 0; time < 3; ++time) {
    restore();
    world.advance(minutes(5));
    EXPECT_EQ(commits(), 2);
    EXPECT_EQ(world.token_in("quay-pull"), world.quay.token("acme+puller"));
    world.start(0);
    world.advance(minutes(5));
    EXPECT_EQ(commits(), 2);
  }
  EXPECT_EQ(reason(rotation), "Current");
  // Its life goes on.
  world.rotate_now(rotation);
  world.advance(minutes(2));
  EXPECT_EQ(commits(), 3);
  expect_no_violation();
}

TEST_F(ClusterMark, ARestoreWhileTheOperatorIsDownBeginsNothingAgain) {
  live({.initially_rotate = true});
  world.rotate_now(rotation);
  world.advance(minutes(2));
  world.crash(0);
  world.rotate_now(rotation);  // asked, and in the backup, and never served
  restore();
  world.start(0);
  world.advance(hours(1));
  EXPECT_EQ(commits(), 2);
  EXPECT_EQ(world.status(rotation)["lastHandledRotateRequest"],
            annotation(api::rotate_requested_annotation));
}

TEST_F(ClusterMark, AnotherClusterDoesNothingUntilThePersonSaysSo) {
  live({.interval = "1h", .initially_rotate = true});
  ASSERT_EQ(commits(), 1);
  world.crash(0);
  restore();
  const std::string secret = world.token_in("quay-pull");
  const std::uint64_t asked = world.quay.requests();
  start_in("second-cluster");
  world.advance(hours(5));
  world.rotate_now(rotation);
  world.quay.regenerate_in_ui("acme+puller");  // what the first cluster does
  world.advance(hours(5));
  EXPECT_EQ(reason(rotation), "OwnedByAnotherCluster");
  EXPECT_EQ(commits(), 1);
  EXPECT_EQ(world.token_in("quay-pull"), secret);
  EXPECT_EQ(world.quay.requests(), asked);
  EXPECT_EQ(annotation(api::cluster_annotation), "this-cluster");

  take_over();
  world.advance(minutes(2));
  EXPECT_EQ(commits(), 1) << "what was asked in its life before is not done again";
  EXPECT_EQ(annotation(api::cluster_annotation), "second-cluster");
  EXPECT_EQ(world.token_in("quay-pull"), world.quay.token("acme+puller"));
  world.advance(minutes(61));
  EXPECT_EQ(commits(), 2);
  expect_no_violation();
}

// etcd was copied: the status too, in the middle of a rotation.
TEST_F(ClusterMark, AnotherClusterSettlesNoLedgerEither) {
  live({});
  world.quay.faults.late_commit = 1;
  world.rotate_now(rotation);
  world.advance(std::chrono::milliseconds(500));
  world.crash(0);
  ASSERT_TRUE(world.status(rotation).contains("rotation"));
  world.quay.faults = {};
  const std::uint64_t asked = world.quay.requests();
  start_in("second-cluster");
  world.advance(hours(1));
  EXPECT_EQ(world.quay.requests(), asked);
  EXPECT_TRUE(world.status(rotation).contains("rotation"));
  EXPECT_EQ(reason(rotation), "OwnedByAnotherCluster");
  start_in("this-cluster");
  world.advance(hours(1));
  EXPECT_EQ(commits(), 1);
  expect_settled();
}

TEST_F(ClusterMark, AnotherClustersResourceBlocksNobodyHere) {
  live({});
  world.crash(0);
  start_in("second-cluster");
  const auto ours = world.create_rotation({.name = "ours", .targets = {"ours"}});
  world.advance(minutes(5));
  world.rotate_now(ours);
  world.advance(minutes(2));
  EXPECT_EQ(commits(), 1);
  EXPECT_EQ(world.token_in("ours"), world.quay.token("acme+puller"));
}

// The step after which it dies, how often it passes it first, and whether the spec or a request
// that came with the creation asks for a rotation.
class CrashInTheBeginning
    : public ClusterMark,
      public ::testing::WithParamInterface<std::tuple<const char*, int, bool>> {};

TEST_P(CrashInTheBeginning, LosesNothingAndDoesNothingTwice) {
  const auto& [step, passes, initially] = GetParam();
  world.create_connection();
  rotation = world.create_rotation({.initially_rotate = initially});
  if (!initially) world.rotate_now(rotation);
  auto left = std::make_shared<int>(passes);
  world.start(0, {}, [wanted = std::string(step), left](std::string_view name) {
    return name == wanted && (*left)-- == 0;
  });
  world.advance(minutes(2));
  world.start(0);
  world.advance(minutes(5));
  EXPECT_EQ(commits(), 1);
  EXPECT_EQ(annotation(api::cluster_annotation), "this-cluster");
  EXPECT_NE(annotation(api::initialized_annotation), "");
  expect_settled();
  restore();
  world.advance(minutes(5));
  EXPECT_EQ(commits(), 1);
}

std::string name_of(const ::testing::TestParamInfo<CrashInTheBeginning::ParamType>& test) {
  std::string name = std::get<0>(test.param);
  std::erase(name, '-');
  return name + std::to_string(std::get<1>(test.param)) +
         (std::get<2>(test.param) ? "Initial" : "Requested");
}

INSTANTIATE_TEST_SUITE_P(EachStep, CrashInTheBeginning,
                         ::testing::Combine(::testing::Values("read-robot", "dry-run", "login",
                                                              "ledger", "before-regenerate",
                                                              "regenerate", "publish", "commit",
                                                              "event", "mark"),
                                            ::testing::Values(0, 1), ::testing::Bool()),
                         name_of);

}  // namespace
}  // namespace quay_rotator::simulation
