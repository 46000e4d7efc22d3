#include "rotation/target_decision.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::rotation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

DesiredSecret desired() {
  return {{"team-a", "quay-pull"}, {"quay.example.com"}, {}, {}};
}

ExistingSecret ours() {
  ExistingSecret existing;
  existing.uid = "uid-1";
  existing.owner = "puller";
  existing.docker_config = true;
  return existing;
}

TargetProblem refused(const ExistingSecret& existing) {
  auto decision = decide_write(desired(), "puller", &existing);
  EXPECT_FALSE(decision.has_value());
  return decision ? TargetProblem{} : decision.error();
}

TEST(DecideWrite, CreatesWhatIsNotThereWithoutForce) {
  EXPECT_EQ(decide_write(desired(), "puller", nullptr).value(), (WriteMode{false, ""}));
}

TEST(DecideWrite, WritesItsOwnSecretByUid) {
  const auto existing = ours();
  EXPECT_EQ(decide_write(desired(), "puller", &existing).value(), (WriteMode{true, "uid-1"}));
}

TEST(DecideWrite, LeavesAForeignSecretAloneAndSaysHowToAllowIt) {
  auto existing = ours();
  existing.owner = "";
  existing.managers = {"kubectl-create", "helm"};
  const auto problem = refused(existing);
  EXPECT_EQ(problem.secret, "quay-pull");
  EXPECT_EQ(problem.reason, "NotOwned");
  EXPECT_TRUE(problem.permanent);
  EXPECT_THAT(problem.message, HasSubstr("managed by \"kubectl-create\", \"helm\""));
  EXPECT_THAT(problem.message, HasSubstr("kubectl -n team-a annotate secret quay-pull "
                                         "quayrotator.dev/allow-take-over-by=puller"));
}

TEST(DecideWrite, NamesTheOtherRotationThatOwnsIt) {
  auto existing = ours();
  existing.owner = "other";
  const auto problem = refused(existing);
  EXPECT_EQ(problem.reason, "NotOwned");
  EXPECT_THAT(problem.message, HasSubstr("RobotTokenRotation team-a/other"));
}

TEST(DecideWrite, TakesOverWhatItsOwnerAllows) {
  auto existing = ours();
  existing.owner = "";
  existing.take_over_allowed = true;
  EXPECT_EQ(decide_write(desired(), "puller", &existing).value(), (WriteMode{true, "uid-1"}));
}

TEST(DecideWrite, CannotChangeATypeOrAnImmutableSecret) {
  auto existing = ours();
  existing.immutable = true;
  EXPECT_EQ(refused(existing).reason, "Immutable");
  EXPECT_THAT(refused(existing).message, HasSubstr("delete it yourself or choose another name"));
  existing.docker_config = false;
  EXPECT_EQ(refused(existing).reason, "WrongType");
  EXPECT_THAT(refused(existing).message, HasSubstr("delete the Secret yourself"));
  // Whose it is comes first: nobody is told to delete what is not theirs.
  existing.owner = "other";
  EXPECT_EQ(refused(existing).reason, "NotOwned");
}

TEST(ExistingSecret, IsReadFromALiveSecret) {
  const auto live = nlohmann::json::parse(R"({
    "metadata": {"name": "quay-pull", "namespace": "team-a", "uid": "uid-7",
      "annotations": {"quayrotator.dev/rotation": "other",
                      "quayrotator.dev/allow-take-over-by": "puller"}},
    "type": "kubernetes.io/dockerconfigjson", "immutable": true})");
  const auto existing = ExistingSecret::of(live, "puller");
  EXPECT_EQ(existing.uid, "uid-7");
  EXPECT_EQ(existing.owner, "other");
  EXPECT_TRUE(existing.docker_config);
  EXPECT_TRUE(existing.immutable);
  EXPECT_TRUE(existing.take_over_allowed);
  EXPECT_FALSE(ExistingSecret::of(live, "third").take_over_allowed);
}

TEST(ExistingSecret, IsForeignWhenItSaysNothing) {
  const auto existing =
      ExistingSecret::of(nlohmann::json::parse(R"({"metadata": {"uid": "u"}})"), "puller");
  EXPECT_EQ(existing.owner, "");
  EXPECT_FALSE(existing.docker_config || existing.immutable || existing.take_over_allowed);
}

TEST(ExistingSecret, IsReadFromTheCache) {
  api::ManagedSecret cached;
  cached.meta.uid = "uid-7";
  cached.owner = "other";
  cached.docker_config = true;
  cached.marks = {api::annotation_mark("quayrotator.dev/allow-take-over-by", "puller")};
  EXPECT_TRUE(ExistingSecret::of(cached, "puller").take_over_allowed);
  EXPECT_FALSE(ExistingSecret::of(cached, "third").take_over_allowed);
  EXPECT_EQ(ExistingSecret::of(cached, "puller").uid, "uid-7");
  EXPECT_EQ(ExistingSecret::of(cached, "puller").owner, "other");
}

TEST(ManagersOf, NamesEachOnce) {
  kube::Error conflict;
  conflict.causes = {{"FieldManagerConflict", ".type", "conflict with \"helm\" using v1"},
                     {"FieldManagerConflict", ".data", "conflict with \"helm\" using v1"},
                     {"FieldManagerConflict", ".x", "conflict with \"kubectl-edit\" using v1"},
                     {"", "", "nothing quoted"},
                     {"", "", "half \"quoted"}};
  EXPECT_THAT(managers_of(conflict), ElementsAre("helm", "kubectl-edit"));
}

struct Mapping {
  kube::Error::Kind kind;
  std::string message;
  std::string reason;
  bool permanent;
};

class TargetProblemOf : public ::testing::TestWithParam<Mapping> {};

TEST_P(TargetProblemOf, NamesTheReason) {
  kube::Error error;
  error.kind = GetParam().kind;
  error.message = GetParam().message;
  const auto problem = target_problem({"team-a", "quay-pull"}, error);
  EXPECT_EQ(problem.secret, "quay-pull");
  EXPECT_EQ(problem.reason, GetParam().reason);
  EXPECT_EQ(problem.permanent, GetParam().permanent);
  EXPECT_FALSE(problem.message.empty());
}

using Kind = kube::Error::Kind;
INSTANTIATE_TEST_SUITE_P(
    All, TargetProblemOf,
    ::testing::Values(
        Mapping{Kind::forbidden,
                "secrets \"quay-pull\" is forbidden: exceeded quota: few, requested: secrets=1",
                "QuotaExceeded", true},
        Mapping{Kind::forbidden,
                "secrets \"quay-pull\" is forbidden: User \"x\" cannot patch resource \"secrets\" "
                "in API group \"\" in the namespace \"team-a\"",
                "Forbidden", true},
        Mapping{Kind::forbidden,
                "secrets \"quay-pull\" is forbidden: unable to create new content in namespace "
                "team-a because it is being terminated",
                "NamespaceTerminating", true},
        Mapping{Kind::forbidden,
                "secrets \"quay-pull\" is forbidden: ValidatingAdmissionPolicy 'no' with binding "
                "'no' denied request: no secrets",
                "AdmissionDenied", true},
        Mapping{Kind::invalid,
                "secrets \"quay-pull\" is invalid: ValidatingAdmissionPolicy 'no' with binding "
                "'no' denied request: no secrets",
                "AdmissionDenied", true},
        Mapping{Kind::invalid,
                "admission webhook \"policy.example.com\" denied the request: no secrets",
                "AdmissionDenied", true},
        Mapping{Kind::invalid,
                "Secret \"quay-pull\" is invalid: data: Forbidden: field is immutable when "
                "`immutable` is set",
                "Immutable", true},
        Mapping{Kind::invalid,
                "Secret \"quay-pull\" is invalid: type: Invalid value: \"Opaque\": field is "
                "immutable",
                "WrongType", true},
        Mapping{Kind::invalid, "metadata.labels: Invalid value: \"!\"", "Invalid", true},
        Mapping{Kind::not_found, "namespaces \"team-a\" not found", "NamespaceNotFound", true},
        Mapping{Kind::conflict, "the object has been modified", "NotOwned", false},
        Mapping{Kind::already_exists, "secrets \"quay-pull\" already exists", "NotOwned", false},
        Mapping{Kind::server, "etcdserver: leader changed", "ApiServerUnavailable", false},
        Mapping{Kind::server, "failed calling webhook \"policy.example.com\"",
                "ApiServerUnavailable", false},
        Mapping{Kind::unreachable, "connection refused", "ApiServerUnavailable", false},
        Mapping{Kind::too_many_requests, "too many requests", "ApiServerUnavailable", false},
        Mapping{Kind::malformed, "not JSON", "ApiServerUnavailable", false},
        Mapping{Kind::unauthorized, "Unauthorized", "ApiServerUnavailable", false},
        Mapping{Kind::credentials, "token file", "ApiServerUnavailable", false},
        Mapping{Kind::cancelled, "stopped", "ApiServerUnavailable", false}));

}  // namespace
}  // namespace quay_rotator::rotation
