#include "target/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "unit/target/secrets.h"

namespace quay_rotator::target {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using PruneTest = SecretsTest;

TEST_F(PruneTest, PrunesFormerTargets) {
  publish_and_drop();
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/puller", "DELETE team-a/former"));
  EXPECT_TRUE(secret("former").is_null());
  EXPECT_TRUE(secret("keep").is_object());
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_THAT(new_calls(), IsEmpty());
}

TEST_F(PruneTest, PrunesNothingThatIsRetained) {
  rotation_ = rotation_of({"keep", "former"});
  executor_.run([&] { publish(first_token); });
  rotation_.spec.targets.pop_back();
  rotation_.spec.deletion_policy = api::DeletionPolicy::retain;
  new_calls();
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_THAT(new_calls(), IsEmpty());
}

TEST_F(PruneTest, PrunesNoCopyAndNoOtherRotationsSecret) {
  publish(first_token);
  auto copy = secret();
  copy["metadata"]["name"] = "copy";
  copy["metadata"].erase("ownerReferences");
  server_.put(copy);
  cache("copy");
  auto foreign = secret();
  foreign["metadata"]["name"] = "foreign";
  foreign["metadata"]["annotations"]["quayrotator.dev/rotation"] = "team-b/puller";
  server_.put(foreign);
  cache("foreign");
  auto other = rotation_;
  other.meta.key.name = "other";
  other.spec.targets[0].name = "others";
  writer_.publish(other, desired_secrets(other, "quay.example.com"), credential(first_token),
                  stop_);
  new_calls();
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_THAT(new_calls(), IsEmpty());
}

TEST_F(PruneTest, PrunesNothingByAnOldSpec) {
  publish_and_drop();
  rotation_.generation = 1;
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/puller"));
  EXPECT_TRUE(secret("former").is_object());
}

TEST_F(PruneTest, PrunesByUid) {
  publish_and_drop();
  server_.put(secret("former"), "kubectl-create");  // recreated: another uid
  EXPECT_THAT(pruner_.prune(rotation_, desired(), stop_), IsEmpty());
  EXPECT_TRUE(secret("former").is_object());
}

TEST_F(PruneTest, SaysWhatCouldNotBePruned) {
  publish_and_drop();
  server_.set_fault([](const SentRequest&) {
    return std::optional<FakeResult>(refusal(500, "InternalError", "no"));
  });
  const auto problems = pruner_.prune(rotation_, desired(), stop_);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].object.text(), "team-a/former");
  EXPECT_EQ(problems[0].reason, "ApiServerUnavailable");
}

}  // namespace
}  // namespace quay_rotator::target
