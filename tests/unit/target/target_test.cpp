#include "target/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::target {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

api::RobotTokenRotation rotation() {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team-a", "puller"}, "rotation-uid", "7"};
  api::SecretTarget target;
  target.name = "quay-pull";
  rotation.spec.targets = {target};
  return rotation;
}

TEST(DesiredSecrets, AreWhatTheSpecSaysAndTheOperatorsOwnMarks) {
  api::RobotTokenRotation puller = rotation();
  puller.spec.deletion_policy = api::DeletionPolicy::delete_;
  puller.spec.targets[0].labels = {{"team", "a"}, {"app.kubernetes.io/managed-by", "somebody"}};
  puller.spec.targets[0].annotations = {{"note", "x"}, {"quayrotator.dev/rotation", "other"}};
  const auto all =
      desired_secrets(puller, "quay.example.com", AllowedMetadata::parse({"*"}).value());
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].key.text(), "team-a/quay-pull");
  EXPECT_THAT(all[0].registries, ElementsAre("quay.example.com"));
  EXPECT_EQ(all[0].labels.at("team"), "a");
  EXPECT_EQ(all[0].labels.at("app.kubernetes.io/managed-by"), "quay-rotator");
  EXPECT_EQ(all[0].annotations.at("note"), "x");
  EXPECT_FALSE(all[0].annotations.contains("quayrotator.dev/rotation")) << "the owner says it";
  EXPECT_EQ(all[0].owner, (Owner{{"team-a", "puller"}, "rotation-uid"}));
  EXPECT_TRUE(all[0].owned);

  puller.spec.deletion_policy = api::DeletionPolicy::retain;
  puller.spec.targets[0].registries = {"b", "a:5000", "b"};
  const auto retained = desired_secrets(puller, "quay.example.com").at(0);
  EXPECT_THAT(retained.registries, ElementsAre("a:5000", "b"));
  EXPECT_FALSE(retained.owned);
}

TEST(DesiredSecrets, LeaveOutMetadataThatIsNotAllowed) {
  api::RobotTokenRotation puller = rotation();
  puller.spec.targets[0].labels = {{"team", "a"}, {"kubed.appscode.com/sync", "x"}};
  puller.spec.targets[0].annotations = {{"replicator.v1.mittwald.de/replicate-to", "*"}};
  const auto usual = desired_secrets(puller, "quay").at(0);
  EXPECT_THAT(usual.labels, SizeIs(2));
  EXPECT_FALSE(usual.labels.contains("kubed.appscode.com/sync"));
  EXPECT_FALSE(usual.annotations.contains("replicator.v1.mittwald.de/replicate-to"));
  const auto allowed = AllowedMetadata::parse({"*"}).value();
  EXPECT_THAT(desired_secrets(puller, "quay", allowed).at(0).labels, SizeIs(3));
}

}  // namespace
}  // namespace quay_rotator::target
