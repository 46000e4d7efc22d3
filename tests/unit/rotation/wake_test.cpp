#include "rotation/wake.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "support/virtual_executor.h"

namespace quay_rotator::rotation {
namespace {

using runtime::Serves;
using runtime::Urgency;
using std::chrono::minutes;
using std::chrono::seconds;

const kube::ObjectKey key{"team-a", "puller"};

api::RobotTokenRotation rotation(std::string version, std::int64_t generation = 1) {
  api::RobotTokenRotation result;
  result.meta = {key, "uid-1", std::move(version)};
  result.generation = generation;
  result.spec.connection = "quay";
  result.spec.robot = {"acme", "puller"};
  return result;
}

api::QuayConnection connection(std::string version, bool ready) {
  api::QuayConnection result;
  result.meta = {{"team-a", "quay"}, "uid-2", std::move(version)};
  result.spec.url = "https://quay.example.com";
  result.status.conditions.set("Ready",
                               ready ? api::ConditionStatus::true_ : api::ConditionStatus::false_,
                               "Any", "", 1, {});
  return result;
}

class WakeTest : public ::testing::Test {
 protected:
  // What the queue would hand out now; nothing: it has nothing.
  std::optional<kube::ObjectKey> next() {
    std::optional<kube::ObjectKey> taken;
    executor_.run([&] {
      const auto worker = executor_.spawn("worker", [&](const std::stop_token& stop) {
        taken = queue_.take(stop, Serves::everything);
        if (taken) queue_.done(*taken);
      });
      executor_.sleep_for(std::chrono::milliseconds(1), {});
      worker->request_stop();
      worker->join();
    });
    return taken;
  }
  // The least urgency that must be handed out for it to be taken.
  std::optional<Urgency> urgency() {
    for (const Urgency least :
         {Urgency::outage, Urgency::urgent, Urgency::normal, Urgency::initial}) {
      queue_.admit(least);
      if (next()) return least;
    }
    return std::nullopt;
  }

  quay_rotator::testing::VirtualExecutor executor_{1};
  runtime::Store<api::RobotTokenRotation> rotations_;
  runtime::Store<api::QuayConnection> connections_;
  runtime::Store<api::ManagedSecret> secrets_;
  connection::Findings findings_;
  target::AllowedMetadata allowed_;
  runtime::WorkQueue queue_{executor_, {seconds(5), minutes(5)}};
  runtime::Lanes lanes_;
  runtime::Metrics metrics_{"test"};
  connection::Newcomers newcomers_{executor_, [](const kube::ObjectKey&) {}};
  Knowledge knowledge_{1};
  Wake wake_{{rotations_,
              connections_,
              secrets_,
              {rotations_, connections_, secrets_, findings_, allowed_},
              knowledge_,
              newcomers_,
              queue_,
              lanes_,
              metrics_,
              executor_}};
};

TEST_F(WakeTest, OnlyLedgersAreHandedOutBeforeTheCachesAreComplete) {
  auto resource = rotation("1");
  rotations_.put(resource);
  EXPECT_EQ(next(), std::nullopt);
  resource.meta.resource_version = "2";
  resource.status.rotation = api::Ledger{};
  rotations_.put(resource);
  EXPECT_EQ(next(), key);
  resource.meta.resource_version = "3";
  resource.status.rotation.reset();
  rotations_.put(resource);
  EXPECT_EQ(next(), std::nullopt);
  wake_.see("", Sight::Extent::connections);
  EXPECT_EQ(next(), std::nullopt);
  wake_.see("", Sight::Extent::everything);
  EXPECT_EQ(next(), key);
}

TEST_F(WakeTest, WhatAPersonWaitsForComesBeforeWhatNobodyDoes) {
  auto resource = rotation("1");
  rotations_.put(resource);
  EXPECT_EQ(urgency(), Urgency::urgent) << "it was created just now";
  resource.meta.resource_version = "2";
  resource.status.consecutive_failures = 1;
  rotations_.put(resource);
  EXPECT_EQ(urgency(), Urgency::normal) << "a status of our own";
  resource.meta.resource_version = "3";
  resource.generation = 2;
  rotations_.put(resource);
  EXPECT_EQ(urgency(), Urgency::urgent) << "an edit";
  resource.meta.resource_version = "4";
  resource.rotate_request = "now";
  rotations_.put(resource);
  EXPECT_EQ(urgency(), Urgency::urgent) << "rotate now";
  resource.meta.resource_version = "5";
  resource.status.last_handled_rotate_request = "now";
  rotations_.put(resource);
  EXPECT_EQ(urgency(), Urgency::normal) << "it was served";
}

TEST_F(WakeTest, AConnectionThatTurnsReadyWakesItsResources) {
  rotations_.put(rotation("1"));
  connections_.put(connection("2", false));
  ASSERT_TRUE(urgency());
  connections_.put(connection("3", false));
  EXPECT_EQ(urgency(), std::nullopt) << "nothing that matters has changed";
  connections_.put(connection("4", true));
  EXPECT_EQ(urgency(), Urgency::normal);
}

TEST_F(WakeTest, DriftIsRememberedAndWakes) {
  rotations_.put(rotation("1"));
  ASSERT_TRUE(urgency());
  wake_.note_drift(key, base::Fingerprint::of("another"));
  EXPECT_EQ(urgency(), Urgency::normal);
  EXPECT_TRUE(knowledge_.memories.of(key).drifted());
}

TEST_F(WakeTest, ARefusalIsADriftOnlyWhereOthersClaimTheRobotToo) {
  rotations_.put(rotation("1"));
  connections_.put(connection("2", true));
  ASSERT_TRUE(urgency());
  wake_.note_refusal(key);
  EXPECT_EQ(urgency(), std::nullopt);
  auto other = rotation("3");
  other.meta.key.name = "other";
  other.meta.uid = "uid-3";
  rotations_.put(other);
  while (urgency()) {
  }
  wake_.note_refusal(key);
  EXPECT_TRUE(knowledge_.memories.of(key).drifted());
}

TEST_F(WakeTest, WhatIsDeletedIsForgottenUnlessALedgerIsOpen) {
  auto resource = rotation("1");
  rotations_.put(resource);
  wake_.note_drift(key, std::nullopt);
  rotations_.erase(key);
  EXPECT_TRUE(knowledge_.memories.of(key).empty());
  EXPECT_EQ(knowledge_.departed.find(key, executor_.now()), nullptr);

  resource = rotation("3");
  resource.status.rotation = api::Ledger{};
  rotations_.put(resource);
  while (urgency()) {
  }
  rotations_.erase(key);
  EXPECT_NE(knowledge_.departed.find(key, executor_.now()), nullptr);
  EXPECT_EQ(urgency(), Urgency::outage);
}

TEST_F(WakeTest, AnotherClustersResourceClaimsNothing) {
  auto resource = rotation("1");
  resource.cluster = "there";
  rotations_.put(resource);
  connections_.put(connection("2", true));
  auto other = rotation("3");
  other.meta.key.name = "other";
  other.meta.uid = "uid-3";
  rotations_.put(other);
  EXPECT_TRUE(knowledge_.owners.standing(other.meta.key).contested);
  wake_.identify("here");
  EXPECT_FALSE(knowledge_.owners.standing(other.meta.key).contested);
}

}  // namespace
}  // namespace quay_rotator::rotation
