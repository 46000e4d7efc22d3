#include "target/allowed_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::target {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

AllowedMetadata allowed(const std::vector<std::string>& patterns) {
  return AllowedMetadata::parse(patterns).value();
}

TEST(AllowedMetadata, IsByItselfWhatNoControllerActsOn) {
  const AllowedMetadata usual;
  EXPECT_TRUE(usual.allows("team"));
  EXPECT_TRUE(usual.allows("app.kubernetes.io/part-of"));
  for (const char* key :
       {"replicator.v1.mittwald.de/replicate-to",
        "reflector.v1.k8s.emberstack.com/reflection-allowed", "kubed.appscode.com/sync",
        "kubernetes.io/service-account.name", "sealedsecrets.bitnami.com/managed",
        "reconcile.external-secrets.io/managed", "argocd.argoproj.io/secret-type",
        "x.app.kubernetes.io/a", "example.com/contact"}) {
    EXPECT_FALSE(usual.allows(key)) << key;
  }
}

TEST(AllowedMetadata, IsWhatTheAdministratorNames) {
  const auto some = allowed({"example.com/*", "jenkins.io/credentials-type"});
  EXPECT_TRUE(some.allows("example.com/contact"));
  EXPECT_TRUE(some.allows("jenkins.io/credentials-type"));
  EXPECT_FALSE(some.allows("jenkins.io/credentials-type-2"));
  EXPECT_FALSE(some.allows("a.example.com/contact"));
  EXPECT_FALSE(some.allows("example.com.evil.com/contact"));
  EXPECT_TRUE(allowed({"*"}).allows("kubed.appscode.com/sync"));
}

TEST(AllowedMetadata, APatternIsAKeyOrAPrefix) {
  for (const char* pattern : {"", "team", "/a", "a/", "a/b*", "*/b", "*.example.com/*", "a*/b"}) {
    const auto parsed = AllowedMetadata::parse({pattern});
    ASSERT_FALSE(parsed.has_value()) << pattern;
    EXPECT_THAT(parsed.error().message, HasSubstr("expected example.com/team"));
  }
}

TEST(AllowedMetadata, NamesTheKeysThatItRefuses) {
  api::RobotTokenRotation rotation;
  rotation.spec.targets = {{"one", {{"b.com/x", "1"}, {"team", "a"}}, {{"a.com/y", "1"}}, {}},
                           {"two", {{"b.com/x", "2"}}, {}, {}}};
  EXPECT_THAT(AllowedMetadata().refused(rotation), ElementsAre("a.com/y", "b.com/x"));
  EXPECT_THAT(allowed({"a.com/*", "b.com/*"}).refused(rotation), IsEmpty());
}

}  // namespace
}  // namespace quay_rotator::target
