#include "kube/cluster_identity.h"

#include <gtest/gtest.h>

#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeTransport;
using quay_rotator::testing::SentRequest;

class NoCredentials final : public Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

struct ClusterIdentityTest : ::testing::Test {
  Expected<std::string> identity_by(Answer given) {
    answer = std::move(given);
    std::optional<Expected<std::string>> result;
    executor.run([&] { result = cluster_identity(client, system_namespace, {}); });
    return *result;
  }

  Answer answer;
  quay_rotator::testing::VirtualExecutor executor{1};
  quay_rotator::testing::RecordingLog log;
  NoCredentials credentials;
  FakeTransport transport{executor, [this](const SentRequest&) { return answer; }};
  Client client{transport, credentials, executor, log.log()};
};

TEST_F(ClusterIdentityTest, IsTheUidOfANamespace) {
  EXPECT_EQ(identity_by({.body = R"({"metadata": {"uid": "a-uid"}})"}).value(), "a-uid");
  EXPECT_EQ(transport.requests().front().target, "/api/v1/namespaces/kube-system");
}

// Never another one because this one could not be read for a moment.
TEST_F(ClusterIdentityTest, IsAnErrorWhereItCannotBeRead) {
  EXPECT_EQ(identity_by({.status = 403, .body = "{}"}).error().kind, Error::Kind::forbidden);
  EXPECT_EQ(identity_by({.body = R"({"metadata": {}})"}).error().kind, Error::Kind::malformed);
  EXPECT_EQ(identity_by({.body = R"({"metadata": {"uid": ""}})"}).error().kind,
            Error::Kind::malformed);
}

}  // namespace
}  // namespace quay_rotator::kube
