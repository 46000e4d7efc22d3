#include "connection/service_account.h"

#include <gmock/gmock.h>

#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::connection {
namespace {

using ::testing::HasSubstr;

TEST(ConsentTest, NamesTheQuayExactly) {
  EXPECT_TRUE(consents("quay.example.com", "quay.example.com"));
  EXPECT_TRUE(consents(" Quay.Example.com:8443 , other", "quay.example.com:8443"));
  EXPECT_TRUE(consents("other,,quay.example.com", "quay.example.com"));
  for (const char* annotation :
       {"", ",", "*", "*.example.com", "example.com", "quay.example.com.evil", "xquay.example.com",
        "https://quay.example.com", "quay.example.com:8443", "quay.example.com/x"}) {
    EXPECT_FALSE(consents(annotation, "quay.example.com")) << annotation;
  }
  EXPECT_FALSE(consents("", ""));
  EXPECT_FALSE(consents(",", ""));
}

TEST(AudienceTest, IsTheQuayUnlessTheAdministratorAllowsOthers) {
  const auto audience = [](const std::string& wanted) {
    api::Federate federate;
    federate.audience = wanted;
    return audience_of(federate, "quay.example.com", {"https://quay"});
  };
  EXPECT_EQ(*audience(""), "quay.example.com");
  EXPECT_EQ(*audience("quay.example.com"), "quay.example.com");
  EXPECT_EQ(*audience("https://quay"), "https://quay");
  for (const char* other : {"https://kubernetes.default.svc", "vault", "https://quay/", "*"}) {
    ASSERT_FALSE(audience(other)) << other;
    EXPECT_EQ(audience(other).error().reason, "AudienceNotAllowed");
  }
}

class NoCredentials final : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

class ServiceAccountTest : public ::testing::Test {
 protected:
  ServiceAccountTest() {
    rotation_.meta.key = {"team-a", "pull"};
    rotation_.spec.strategy.type = api::StrategyType::federate;
    rotation_.spec.strategy.federate.service_account = "puller";
  }
  auto token() { return tokens_.token(rotation_, "quay.example.com", {}); }

  testing::Answer account_{.body = R"({"metadata": {"name": "puller", "annotations":
                                       {"quayrotator.dev/federate-with": "quay.example.com"}}})"};
  testing::Answer token_{.status = 201, .body = R"({"status": {"token": "a.b.c"}})"};
  testing::VirtualExecutor executor_{1};
  testing::RecordingLog log_;
  NoCredentials credentials_;
  testing::FakeTransport transport_{executor_, [this](const testing::SentRequest& request) {
                                      return request.method == http::Method::get ? account_
                                                                                 : token_;
                                    }};
  kube::Client client_{transport_, credentials_, executor_, log_.log(), {}};
  ServiceAccountTokens tokens_{client_, {}};
  api::RobotTokenRotation rotation_;
};

TEST_F(ServiceAccountTest, AsksForConsentAndThenForAToken) {
  const auto answer = token();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->reveal() == "a.b.c");
  const auto sent = transport_.requests();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].line(), "GET /api/v1/namespaces/team-a/serviceaccounts/puller");
  EXPECT_EQ(sent[1].line(), "POST /api/v1/namespaces/team-a/serviceaccounts/puller/token");
  EXPECT_EQ(sent[1].body, R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",)"
                          R"("spec":{"audiences":["quay.example.com"],"expirationSeconds":600}})");
}

TEST_F(ServiceAccountTest, WithoutConsentNoTokenIsAskedFor) {
  for (const char* annotations : {"{}", "null", R"({"quayrotator.dev/federate-with": "other"})"}) {
    account_.body = R"({"metadata": {"annotations": )" + std::string(annotations) + "}}";
    const auto answer = token();
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().reason, "ServiceAccountNotConsenting");
    EXPECT_THAT(answer.error().message,
                HasSubstr("kubectl annotate serviceaccount -n team-a puller "
                          "quayrotator.dev/federate-with=quay.example.com"));
  }
  for (const auto& request : transport_.requests()) EXPECT_EQ(request.method, http::Method::get);
}

TEST_F(ServiceAccountTest, AnAudienceThatIsNotAllowedCostsNoRequest) {
  rotation_.spec.strategy.federate.audience = "https://kubernetes.default.svc";
  EXPECT_EQ(token().error().reason, "AudienceNotAllowed");
  EXPECT_TRUE(transport_.requests().empty());
}

TEST_F(ServiceAccountTest, SaysWhatToDo) {
  const auto status = [](int code, const std::string& reason, const std::string& message) {
    return testing::Answer{.status = code,
                           .body = R"({"kind": "Status", "reason": ")" + reason +
                                   R"(", "details": {"name": "puller"}, "message": ")" + message +
                                   "\"}"};
  };
  token_ = status(403, "Forbidden",
                  R"(serviceaccounts \"puller\" is forbidden: User \"x\" cannot create resource )"
                  R"(\"serviceaccounts/token\" in API group \"\" in the namespace \"team-a\")");
  EXPECT_EQ(token().error().reason, "ServiceAccountForbidden");
  EXPECT_THAT(token().error().message, HasSubstr("create on serviceaccounts/token"));
  EXPECT_THAT(token().error().message, HasSubstr("federate.enabled"));
  token_ = testing::Answer{.body = "{}"};
  EXPECT_EQ(token().error().reason, "ApiServerUnavailable");
  account_ = status(404, "NotFound", "no");
  EXPECT_EQ(token().error().reason, "ServiceAccountNotFound");
}

}  // namespace
}  // namespace quay_rotator::connection
