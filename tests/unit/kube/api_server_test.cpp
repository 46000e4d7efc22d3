#include "kube/api_server.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kube/client.h"
#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/temporary_folder.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using ::testing::ElementsAre;
using testing::FakeResult;
using testing::FakeTransport;
using ::testing::HasSubstr;
using testing::SentRequest;

// A server that trusts one client certificate and one token, and shows one CA's certificate.
class ApiServerTest : public ::testing::Test {
 protected:
  class Factory final : public http::TransportFactory {
   public:
    explicit Factory(ApiServerTest& test) : test_(test) {}
    tl::expected<std::unique_ptr<http::Transport>, http::Error> open(
        http::Endpoint endpoint) override {
      const std::string trust =
          endpoint.ca_certificates.value_or("") + ' ' + endpoint.client_certificate.value_or("") +
          ' ' + endpoint.server_name.value_or("") + ' ' + endpoint.proxy.value_or("");
      test_.opened_.push_back(trust);
      if (trust.find("nonsense") != std::string::npos) {
        return tl::unexpected(http::Error{http::Error::Kind::tls, "not a certificate", false});
      }
      return std::make_unique<FakeTransport>(
          test_.executor_, [&test = test_, trust](const SentRequest& request) -> FakeResult {
            test.targets_.push_back(request.target);
            if (trust.find(test.ca_) != 0) {
              return tl::unexpected(http::Error{http::Error::Kind::tls, "not trusted", false});
            }
            if (request.authorization != "Bearer " + test.token_) return Answer{.status = 401};
            return Answer{.body = R"({"kind": "Version"})"};
          });
    }

   private:
    ApiServerTest& test_;
  };

  base::Expected<Configuration> load() {
    ++loads_;
    return load_configuration({.kubeconfig = folder_.path("config")}, executor_);
  }
  void write(const std::string& cluster, const std::string& user) {
    (void)folder_.write("config",
                        "current-context: a\ncontexts: [{name: a, context: {cluster: c, "
                        "user: u}}]\nclusters: [{name: c, cluster: " +
                            cluster + "}]\nusers: [{name: u, user: " + user + "}]\n");
  }
  void start() {
    auto first = load();
    ASSERT_TRUE(first) << first.error().message;
    server_ = std::make_unique<ApiServer>(
        std::move(*first), [this] { return load(); }, factory_, executor_, log_.log());
    auto opened = server_->open();
    ASSERT_TRUE(opened);
    transport_ = std::move(*opened);
    client_ = std::make_unique<Client>(*transport_, *server_, executor_, log_.log());
    loads_ = 0;
  }
  std::string ask() {
    const auto answer = client_->get(secrets, {"a", "b"}, {});
    return answer ? "ok" : answer.error().message;
  }

  testing::TemporaryFolder folder_;
  testing::VirtualExecutor executor_{1};
  testing::RecordingLog log_;
  Factory factory_{*this};
  std::string ca_ = "ca-1";
  std::string token_ = "t";
  std::vector<std::string> opened_;
  std::vector<std::string> targets_;
  int loads_ = 0;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<http::Transport> transport_;
  std::unique_ptr<Client> client_;
};

const std::string cluster = "{server: 'https://a', certificate-authority: ca}";

TEST_F(ApiServerTest, LooksAgainAMinuteLaterAndKeepsWhatHasNotChanged) {
  (void)folder_.write("ca", "ca-1");
  write(cluster, "{token: t}");
  start();
  for (int second = 0; second < 59; ++second) {
    EXPECT_EQ(ask(), "ok");
    executor_.advance(1s);
  }
  EXPECT_EQ(loads_, 0);
  executor_.advance(1s);
  EXPECT_EQ(ask(), "ok");
  EXPECT_EQ(ask(), "ok");
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(opened_.size(), 1U);
}

TEST_F(ApiServerTest, ACaThatIsReplacedIsReadAtOnceWhenTheServerIsNotTrusted) {
  (void)folder_.write("ca", "ca-1");
  write(cluster, "{token: t}");
  start();
  EXPECT_EQ(ask(), "ok");
  ca_ = "ca-2";
  executor_.advance(5s);
  EXPECT_THAT(ask(), HasSubstr("not trusted"));
  EXPECT_THAT(ask(), HasSubstr("not trusted"));  // the file is still the old one
  (void)folder_.write("ca", "ca-2");
  executor_.advance(2s);
  EXPECT_EQ(ask(), "ok");
  EXPECT_THAT(log_.text(), HasSubstr("has changed and was read anew"));
  EXPECT_EQ(opened_.size(), 2U);
  EXPECT_LE(loads_, 2) << "at most once a second";
}

TEST_F(ApiServerTest, AClientCertificateThatIsReplacedIsUsedAMinuteLater) {
  (void)folder_.write("ca", "ca-1");
  (void)folder_.write("cert", "cert-1");
  (void)folder_.write("key", "key-1");
  write(cluster, "{token: t, client-certificate: cert, client-key: key}");
  start();
  (void)folder_.write("cert", "nonsense");  // half written
  executor_.advance(1min);
  EXPECT_EQ(ask(), "ok") << "over the transport that there was";
  EXPECT_THAT(log_.text(), HasSubstr("not a certificate"));
  (void)folder_.write("cert", "cert-2");
  (void)folder_.write("key", "key-2");
  executor_.advance(1min);
  EXPECT_EQ(ask(), "ok");
  EXPECT_EQ(opened_.back(), "ca-1 cert-2  ");
}

TEST_F(ApiServerTest, ATokenThatIsReplacedInTheKubeconfigIsReadAtOnceWhenItIsRefused) {
  (void)folder_.write("ca", "ca-1");
  write(cluster, "{token: t}");
  start();
  EXPECT_EQ(ask(), "ok");
  token_ = "new";
  write(cluster, "{token: new}");
  executor_.advance(2s);
  EXPECT_EQ(ask(), "ok");
}

TEST_F(ApiServerTest, WhatCannotBeReadChangesNothingAndIsToldOnce) {
  (void)folder_.write("ca", "ca-1");
  write(cluster, "{token: t}");
  start();
  (void)folder_.write("config", "{");
  for (int minute = 0; minute < 5; ++minute) {
    executor_.advance(1min);
    EXPECT_EQ(ask(), "ok");
  }
  EXPECT_EQ(loads_, 5);
  const std::string log = log_.text();
  const std::size_t told = log.find("cannot be read anew");
  ASSERT_NE(told, std::string::npos);
  EXPECT_EQ(log.find("cannot be read anew", told + 1), std::string::npos);
}

TEST_F(ApiServerTest, AnotherServerIsNotFollowed) {
  (void)folder_.write("ca", "ca-1");
  write(cluster, "{token: t}");
  start();
  write("{server: 'https://b', certificate-authority: ca}", "{token: of-another-cluster}");
  executor_.advance(1min);
  EXPECT_EQ(ask(), "ok");
  EXPECT_THAT(log_.text(), HasSubstr("it names another server, https://b"));
}

TEST_F(ApiServerTest, EveryTargetIsBelowTheServersPath) {
  (void)folder_.write("ca", "ca-1");
  write("{server: 'https://a/k8s/clusters/c-1', certificate-authority: ca}", "{token: t}");
  start();
  EXPECT_EQ(server_->url(), "https://a/k8s/clusters/c-1");
  EXPECT_EQ(ask(), "ok");
  (void)client_->watch(secrets, "", {}, {}, [](std::string_view) { return true; });
  EXPECT_EQ(targets_.front(), "/k8s/clusters/c-1/api/v1/namespaces/a/secrets/b");
  EXPECT_THAT(targets_.back(),
              ::testing::StartsWith("/k8s/clusters/c-1/api/v1/secrets?watch=true"));
}

TEST_F(ApiServerTest, ACertificateOfAnExecPluginIsShownFromTheFirstRequestOn) {
  (void)folder_.write("ca", "ca-1");
  (void)folder_.write_script(
      "plugin",
      "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"t\","
      "\"clientCertificateData\":\"cert-'$(cat \"$0.number\")'\",\"clientKeyData\":\"k\"}}'\n");
  (void)folder_.write("plugin.number", "1");
  write(cluster, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin}}");
  start();
  EXPECT_EQ(ask(), "ok");
  EXPECT_THAT(opened_, ElementsAre("ca-1   ", "ca-1 cert-1  "));
  // Refused, it is had anew.
  (void)folder_.write("plugin.number", "2");
  ca_ = "none";
  executor_.advance(10s);
  EXPECT_THAT(ask(), HasSubstr("not trusted"));
  ca_ = "ca-1";
  EXPECT_EQ(ask(), "ok");
  EXPECT_EQ(opened_.back(), "ca-1 cert-2  ");
}

}  // namespace
}  // namespace quay_rotator::kube
