#include "target/decide.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace quay_rotator::target {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Owner puller{{"team-a", "puller"}, "uid-1"};

DesiredSecret desired(const Owner& owner = puller, bool owned = false) {
  return {{"team-a", "quay-pull"}, {"quay.example.com"}, {}, {}, owner, owned};
}

DesiredSecret desired_by(const std::string& name) {
  return desired({{"team-a", name}, "uid-1"});
}

ExistingSecret ours() {
  ExistingSecret existing;
  existing.uid = "uid-1";
  existing.owner = puller.key;
  existing.shape = api::SecretShape::docker_config;
  return existing;
}

Problem refused(const ExistingSecret& existing) {
  auto decision = decide_write(desired(), &existing);
  EXPECT_FALSE(decision.has_value());
  return decision ? Problem{} : decision.error();
}

TEST(DecideWrite, CreatesWhatIsNotThereWithoutForce) {
  EXPECT_EQ(decide_write(desired(), nullptr).value(), (WriteMode{false, "", ""}));
}

TEST(DecideWrite, WritesItsOwnSecretByUid) {
  const auto existing = ours();
  EXPECT_EQ(decide_write(desired(), &existing).value(), (WriteMode{true, "uid-1", ""}));
}

TEST(DecideWrite, LeavesAForeignSecretAloneAndSaysHowToAllowIt) {
  auto existing = ours();
  existing.owner = {};
  existing.managers = {"kubectl-create", "helm"};
  const auto problem = refused(existing);
  EXPECT_EQ(problem.object.text(), "team-a/quay-pull");
  EXPECT_EQ(problem.kind, "Secret");
  EXPECT_EQ(problem.reason, "NotOwned");
  EXPECT_TRUE(problem.permanent);
  EXPECT_THAT(problem.message, HasSubstr("managed by \"kubectl-create\", \"helm\""));
  EXPECT_THAT(problem.message, HasSubstr("kubectl -n team-a annotate secret quay-pull "
                                         "quayrotator.dev/allow-take-over-by=puller"));
}

TEST(DecideWrite, NamesTheOtherRotationThatOwnsIt) {
  auto existing = ours();
  existing.owner = {"team-a", "other"};
  const auto problem = refused(existing);
  EXPECT_EQ(problem.reason, "NotOwned");
  EXPECT_THAT(problem.message, HasSubstr("RobotTokenRotation team-a/other"));
  // A copy, whatever the name. Whose it is in another namespace is not for everybody here to know.
  existing.owner = {"team-b", "puller"};
  EXPECT_EQ(refused(existing).reason, "NotOwned");
  EXPECT_THAT(refused(existing).message,
              AllOf(HasSubstr("of another namespace"), Not(HasSubstr("team-b"))));
}

// No step of the advice may lead to the next refusal.
TEST(DecideWrite, OffersATakeOverOnlyAsFarAsItWouldBeAccepted) {
  constexpr const char* offer = "let this rotation take it over";
  auto existing = ours();
  existing.owner = {};
  EXPECT_THAT(refused(existing).message, HasSubstr("name, delete it, or let this rotation"));

  existing.entries.names = {"ghcr.io"};
  EXPECT_EQ(refused(existing).reason, "NotOwned");
  EXPECT_THAT(refused(existing).message,
              AllOf(HasSubstr("move what else it holds"), HasSubstr(offer)));
  EXPECT_THAT(refused(existing).message, Not(HasSubstr("ghcr.io"))) << "nobody allowed that";
  existing.entries = {};
  existing.entries.unreadable = true;
  EXPECT_THAT(refused(existing).message, AllOf(HasSubstr("empty it"), HasSubstr(offer)));
  existing.entries = {};

  existing.immutable = true;
  EXPECT_THAT(refused(existing).message, AllOf(HasSubstr("immutable"), Not(HasSubstr(offer))));
  existing.shape.reset();
  EXPECT_THAT(refused(existing).message,
              AllOf(HasSubstr("does not let a type change"), Not(HasSubstr(offer))));
}

TEST(DecideWrite, TakesOverWhatItsOwnerAllows) {
  auto existing = ours();
  existing.owner = {};
  existing.take_over_allowed = true;
  existing.resource_version = "7";
  EXPECT_EQ(decide_write(desired(), &existing).value(), (WriteMode{true, "uid-1", "7"}));
}

TEST(DecideWrite, TakesNothingOverThatItWouldLose) {
  auto existing = ours();
  existing.owner = {};
  existing.take_over_allowed = true;
  existing.entries.names = {"docker.io", "credHelpers"};
  existing.entries.unnamed = 1;
  const auto problem = refused(existing);
  EXPECT_EQ(problem.reason, "WouldLoseEntries");
  EXPECT_THAT(problem.message, HasSubstr("also holds credHelpers, docker.io and 1 more, which"));
  EXPECT_THAT(problem.message, HasSubstr("move them to a Secret of their own"));
  existing.entries = {};
  existing.entries.unreadable = true;
  EXPECT_EQ(refused(existing).reason, "ContentUnreadable");
  // In a Secret that is its own already the same is damage, which is mended.
  existing.owner = puller.key;
  EXPECT_EQ(decide_write(desired(), &existing).value(), (WriteMode{true, "uid-1", ""}));
}

TEST(DecideWrite, LeavesASecretToItsController) {
  auto existing = ours();
  existing.controller = "SealedSecret pull";
  for (const bool allowed : {false, true}) {
    existing.take_over_allowed = allowed;
    existing.owner = allowed ? kube::ObjectKey{} : puller.key;
    const auto problem = refused(existing);
    EXPECT_EQ(problem.reason, "ControlledByAnother");
    EXPECT_THAT(problem.message, HasSubstr("is controlled by SealedSecret pull, which"));
    EXPECT_THAT(problem.message, HasSubstr("metadata.ownerReferences"));
  }
}

TEST(DecideWrite, CannotChangeATypeOrAnImmutableSecret) {
  auto existing = ours();
  existing.immutable = true;
  EXPECT_EQ(refused(existing).reason, "Immutable");
  EXPECT_THAT(refused(existing).message, HasSubstr("delete it yourself or choose another name"));
  existing.shape.reset();
  EXPECT_EQ(refused(existing).reason, "WrongType");
  EXPECT_THAT(refused(existing).message, HasSubstr("delete the Secret yourself"));
  // Whose it is comes first: nobody is told to delete what is not theirs.
  existing.owner = {"team-a", "other"};
  EXPECT_EQ(refused(existing).reason, "NotOwned");
}

TEST(ExistingSecret, IsReadFromALiveSecret) {
  const auto live = nlohmann::json::parse(R"({
    "metadata": {"name": "quay-pull", "namespace": "team-a", "uid": "uid-7",
      "annotations": {"quayrotator.dev/rotation": "team-a/other",
                      "quayrotator.dev/allow-take-over-by": "puller"}},
    "type": "kubernetes.io/dockerconfigjson", "immutable": true})");
  const auto existing = ExistingSecret::of(live, desired());
  EXPECT_EQ(existing.uid, "uid-7");
  EXPECT_EQ(existing.owner.text(), "team-a/other");
  EXPECT_EQ(existing.shape, api::SecretShape::docker_config);
  EXPECT_TRUE(existing.immutable);
  EXPECT_TRUE(existing.take_over_allowed);
  EXPECT_FALSE(ExistingSecret::of(live, desired_by("third")).take_over_allowed);
}

TEST(ExistingSecret, IsForeignWhenItSaysNothing) {
  const auto existing =
      ExistingSecret::of(nlohmann::json::parse(R"({"metadata": {"uid": "u"}})"), desired());
  EXPECT_EQ(existing.owner, kube::ObjectKey{});
  EXPECT_FALSE(existing.shape || existing.immutable || existing.take_over_allowed);
}

TEST(ExistingSecret, IsReadFromTheCache) {
  api::ManagedSecret cached;
  cached.meta.uid = "uid-7";
  cached.owner = {"team-a", "other"};
  cached.shape = api::SecretShape::docker_config;
  cached.marks = {api::annotation_mark("quayrotator.dev/allow-take-over-by", "puller")};
  EXPECT_TRUE(ExistingSecret::of(cached, desired()).take_over_allowed);
  EXPECT_FALSE(ExistingSecret::of(cached, desired_by("third")).take_over_allowed);
  EXPECT_EQ(ExistingSecret::of(cached, desired()).uid, "uid-7");
  EXPECT_EQ(ExistingSecret::of(cached, desired()).owner.text(), "team-a/other");
}

nlohmann::json reference(const std::string& kind, const std::string& uid,
                         const std::string& api_version = "quayrotator.dev/v1alpha1") {
  return {{"apiVersion", api_version},
          {"kind", kind},
          {"name", "puller"},
          {"uid", uid},
          {"controller", true}};
}

TEST(ExistingSecret, NamesWhoElseIsInCharge) {
  nlohmann::json live{{"metadata", {{"uid", "u"}}}};
  auto& owners = live["metadata"]["ownerReferences"];
  const auto controller = [&] { return ExistingSecret::of(live, desired()).controller; };
  owners = {reference("SealedSecret", "s", "bitnami.com/v1alpha1")};
  EXPECT_EQ(controller(), "SealedSecret puller");
  owners[0]["name"] = std::string(300, 'a');
  owners[0]["kind"] = "a; b";
  EXPECT_EQ(controller(), "something something");
  owners[0]["controller"] = false;
  EXPECT_EQ(controller(), std::nullopt) << "an owner that is not in charge does no harm";
  owners = {reference("RobotTokenRotation", "r")};
  EXPECT_EQ(controller(), std::nullopt);
  owners = {reference("RobotTokenRotation", "r", "example.com/v1")};
  EXPECT_EQ(controller(), "RobotTokenRotation puller") << "of another group";
}

TEST(ExistingSecret, LooksAtWhatATakeOverWouldLose) {
  nlohmann::json live{{"metadata", {{"uid", "u"}}}, {"type", "kubernetes.io/dockerconfigjson"}};
  const auto entries = [&](const std::string& config, const std::string& rotation = "puller") {
    live["data"][".dockerconfigjson"] = std::string(base::base64_encode(config).reveal());
    return ExistingSecret::of(live, desired_by(rotation)).entries;
  };
  EXPECT_TRUE(entries(R"({"auths":{"quay.example.com":{"auth":"b2xkOm9sZA=="}}})").empty());
  const std::string more = R"({"auths":{"docker.io":{"auth":"b2xkOm9sZA=="}}})";
  EXPECT_THAT(entries(more).names, ElementsAre("docker.io"));
  live["metadata"]["annotations"]["quayrotator.dev/rotation"] = "team-a/puller";
  EXPECT_TRUE(entries(more).empty()) << "its own";
  EXPECT_FALSE(entries(more, "other").empty());
  live["data"][".dockerconfigjson"] = "!";
  EXPECT_TRUE(ExistingSecret::of(live, desired_by("other")).entries.unreadable);
  live.erase("data");
  EXPECT_TRUE(ExistingSecret::of(live, desired_by("other")).entries.unreadable);
}

TEST(KnowsEnough, OfWhatIsItsOwnOrAnothersForCertain) {
  api::ManagedSecret cached;
  cached.owner = puller.key;
  const auto knows = [&](bool owned) { return knows_enough(cached, desired(puller, owned)); };
  EXPECT_TRUE(knows(true) && knows(false));
  cached.rotations = 1;
  EXPECT_FALSE(knows(true) || knows(false)) << "a former owner";
  cached.marks = {api::owner_mark("uid-1")};
  EXPECT_TRUE(knows(true));
  EXPECT_FALSE(knows(false));
  cached.rotations = 2;
  EXPECT_FALSE(knows(true));
  cached.rotations = 0;
  cached.controlled = true;
  EXPECT_FALSE(knows(false));
  cached.controlled = false;
  cached.owner = {"team-a", "other"};
  EXPECT_TRUE(knows(false));
  cached.marks = {api::annotation_mark("quayrotator.dev/allow-take-over-by", "puller")};
  EXPECT_FALSE(knows(false)) << "what is in it must be seen";
  cached.owner = {};
  EXPECT_FALSE(knows(false));
}

TEST(OwnersToKeep, LeavesOutRotationsThatAreGone) {
  nlohmann::json live{{"metadata", nlohmann::json::object()}};
  EXPECT_EQ(owners_to_keep(live, "uid-1"), std::nullopt);
  auto& owners = live["metadata"]["ownerReferences"];
  owners = {reference("Deployment", "d", "apps/v1"), reference("RobotTokenRotation", "uid-1")};
  EXPECT_EQ(owners_to_keep(live, "uid-1"), std::nullopt);
  EXPECT_EQ(owners_to_keep(live, "").value(), nlohmann::json::array({owners[0]}));
  owners.push_back(reference("RobotTokenRotation", "former"));
  EXPECT_EQ(owners_to_keep(live, "uid-1").value(), nlohmann::json::array({owners[0], owners[1]}));
}

}  // namespace
}  // namespace quay_rotator::target
