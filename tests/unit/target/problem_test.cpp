#include "target/problem.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::target {
namespace {

using ::testing::ElementsAre;

TEST(ManagersOf, NamesEachOnce) {
  kube::Error conflict;
  conflict.kind = kube::Error::Kind::conflict;
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
  const auto problem = problem_of({"team-a", "quay-pull"}, error);
  EXPECT_EQ(problem.object.text(), "team-a/quay-pull");
  EXPECT_EQ(problem.kind, "Secret");
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
}  // namespace quay_rotator::target
