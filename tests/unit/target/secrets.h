// A rotation with its target Secrets in an API server.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "support/kube/fake_api_server.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"
#include "target/prune.h"
#include "target/render.h"
#include "target/writer.h"

namespace quay_rotator::target {

using quay_rotator::testing::FakeApiServer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::RecordingLog;
using quay_rotator::testing::refusal;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;

inline constexpr std::string_view first_token =
    "FIRSTTOKENMARKED0000000000000000000000000000000000000000000001";
inline constexpr std::string_view second_token =
    "SECONDTOKENMARKED000000000000000000000000000000000000000000002";
inline constexpr std::string_view user = "acme+puller";

inline quay::RobotCredential credential(std::string_view token) {
  return {std::string(user), base::SecretString::copy_of(token)};
}

inline api::RobotTokenRotation rotation_of(std::vector<std::string> secrets) {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team-a", "puller"}, "rotation-uid", "7"};
  rotation.spec.deletion_policy = api::DeletionPolicy::delete_;
  for (auto& name : secrets) {
    api::SecretTarget target;
    target.name = std::move(name);
    rotation.spec.targets.push_back(std::move(target));
  }
  return rotation;
}

class SecretsTest : public ::testing::Test {
 protected:
  std::vector<DesiredSecret> desired() { return desired_secrets(rotation_, "quay.example.com"); }
  std::vector<Problem> dry_run() {
    return seen(writer_.dry_run(rotation_, desired(), user, first_token.size(), stop_));
  }
  std::vector<Problem> publish(std::string_view token) {
    return seen(writer_.publish(rotation_, desired(), credential(token), stop_));
  }
  // What was called since the last time.
  std::vector<std::string> new_calls() {
    auto calls = server_.calls();
    calls.erase(calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(known_calls_));
    known_calls_ += calls.size();
    return calls;
  }
  // "keep" and "former" are written; then the spec loses "former".
  void publish_and_drop() {
    rotation_ = rotation_of({"keep", "former"});
    server_.put({{"kind", "RobotTokenRotation"},
                 {"metadata", {{"name", "puller"}, {"namespace", "team-a"}, {"generation", 2}}}});
    rotation_.meta.uid = server_.object("robottokenrotations/team-a/puller")["metadata"]["uid"];
    executor_.run([&] { publish(first_token); });
    rotation_.spec.targets.pop_back();
    rotation_.generation = 2;
    new_calls();
  }
  // As the watch would tell it.
  void cache(const std::string& name) {
    cache_.put(api::ManagedSecret::from_json(server_.object("secrets/team-a/" + name)).value());
  }
  nlohmann::json secret(const std::string& name = "quay-pull") {
    return server_.object("secrets/team-a/" + name);
  }
  bool holds(const std::string& name, std::string_view token) {
    const auto config =
        docker_config({"quay.example.com"}, user, base::SecretString::copy_of(token));
    return secret(name).is_object() &&
           secret(name).at("data").at(".dockerconfigjson").get<std::string>() ==
               base::base64_encode(config.reveal()).reveal();
  }
  void put_foreign(nlohmann::json extra = nlohmann::json::object()) {
    nlohmann::json object = {{"apiVersion", "v1"},
                             {"kind", "Secret"},
                             {"metadata", {{"name", "quay-pull"}, {"namespace", "team-a"}}},
                             {"type", "kubernetes.io/dockerconfigjson"},
                             {"data", {{".dockerconfigjson", "e30="}}}};
    object.merge_patch(extra);
    server_.put(std::move(object));
  }
  void fail_patches(int times, const FakeResult& result) {
    server_.set_fault([times, result](const SentRequest& request) mutable {
      std::optional<FakeResult> fault;
      if (request.method == http::Method::patch && times-- > 0) fault = result;
      return fault;
    });
  }
  void TearDown() override {
    const auto lines = log_.text();
    EXPECT_EQ(lines.find("TOKENMARKED"), std::string::npos);
  }

  VirtualExecutor executor_{1};
  RecordingLog log_;
  FakeApiServer server_{executor_};
  quay_rotator::testing::NoCredentials credentials_;
  kube::Client client_{server_.transport(), credentials_, executor_, log_.log()};
  runtime::Store<api::ManagedSecret> cache_;
  Writer writer_{client_, cache_, executor_, log_.log()};
  Pruner pruner_{client_, cache_, log_.log()};
  api::RobotTokenRotation rotation_ = rotation_of({"quay-pull"});
  std::stop_token stop_;

 private:
  static std::vector<Problem> seen(std::vector<Problem> problems) {
    for (const auto& problem : problems) {
      EXPECT_FALSE(problem.message.empty());
      EXPECT_EQ(problem.message.find("TOKENMARKED"), std::string::npos);
    }
    return problems;
  }

  std::size_t known_calls_ = 0;
};

}  // namespace quay_rotator::target
