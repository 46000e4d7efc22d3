#include "rotation/run.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/group.h"
#include "base/base64.h"
#include "support/kube/fake_api_server.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::rotation {
namespace {

using base::Fingerprint;
using quay_rotator::testing::Answer;
using quay_rotator::testing::FakeApiServer;
using quay_rotator::testing::FakeResult;
using quay_rotator::testing::FakeTransport;
using quay_rotator::testing::RecordingLog;
using quay_rotator::testing::SentRequest;
using quay_rotator::testing::VirtualExecutor;
using std::chrono::seconds;
using ::testing::ElementsAre;
using End = credential::Outcome::End;
using Verified = credential::Outcome::Verified;

const std::string old_token = "OLDTOKENMARKED" + std::string(50, '0');
const std::string new_token = "NEWTOKENMARKED" + std::string(50, '0');
const std::string path = "robottokenrotations/team-a/puller";

Answer json_answer(int status, const std::string& body) {
  return {.status = status, .body = body, .headers = {{"Content-Type", "application/json"}}};
}

class RunTest : public ::testing::Test {
 protected:
  RunTest() {
    server_.put({{"kind", api::rotations.kind},
                 {"metadata",
                  {{"namespace", "team-a"},
                   {"name", "puller"},
                   {"creationTimestamp", "2026-03-01T12:00:00Z"}}},
                 {"spec",
                  {{"connectionRef", {{"name", "quay"}}},
                   {"robot", {{"organization", "acme"}, {"name", "puller"}}},
                   {"schedule", {{"interval", "1h"}}},
                   {"targets", nlohmann::json::array({{{"secret", {{"name", "quay-pull"}}}}})}}}});
    rotation_ = api::RobotTokenRotation::from_json(server_.object(path)).value();
    order_.goal = Goal::rotate;
    order_.rotation_id = "id";
  }
  void TearDown() override { EXPECT_EQ(log_.text().find("TOKENMARKED"), std::string::npos); }

  // A Quay whose registry lets in whoever has its current token.
  FakeResult quay(const SentRequest& request) {
    if (request.target == "/v2/") {
      Answer challenge = json_answer(401, "{}");
      challenge.headers.push_back(
          {"WWW-Authenticate", R"(Bearer realm="https://quay.example.com/v2/auth",service="q")"});
      return challenge;
    }
    if (request.target.starts_with("/v2/auth")) return json_answer(200, R"({"token":"jwt"})");
    if (on_other_) {
      if (auto answer = on_other_(request)) return *answer;
    }
    if (request.method == http::Method::get) {
      ++reads_;
      return robot();
    }
    ++posts_;
    held_ = new_token;
    return on_post_ ? on_post_() : robot();
  }
  FakeResult robot() {
    return json_answer(200, R"({"name":"acme+puller","token":")" + held_ + R"("})");
  }

  credential::Outcome run() {
    connection::Session session(
        api::QuayConnection{}, "https://quay.example.com", "quay.example.com",
        std::make_unique<FakeTransport>(executor_,
                                        [this](const auto& request) { return quay(request); }),
        base::SecretString::copy_of("api"), client_, executor_, std::make_shared<runtime::Lane>(),
        {}, seconds(30));
    Runner runner(status_, writer_, executor_,
                  {seconds(30), std::chrono::minutes(10), [this] { return leading_; },
                   [this](std::string_view step) {
                     steps_.emplace_back(step);
                     if (after_step_) after_step_(step);
                   },
                   identity_});
    credential::Outcome outcome;
    executor_.run([&] {
      outcome = runner.run(rotation_, session, order_,
                           target::desired_secrets(rotation_, session.authority()),
                           std::move(listed_), log_.log(), stop_.get_token());
    });
    return outcome;
  }
  bool published() { return server_.object("secrets/team-a/quay-pull").is_object(); }

  VirtualExecutor executor_{1};
  RecordingLog log_;
  FakeApiServer server_{executor_};
  quay_rotator::testing::NoCredentials credentials_;
  kube::Client client_{server_.transport(), credentials_, executor_, log_.log()};
  runtime::Store<api::RobotTokenRotation> rotations_;
  runtime::Store<api::ManagedSecret> secrets_;
  runtime::StatusWriter<api::RobotTokenRotation> status_{client_, api::rotations, rotations_};
  target::Writer writer_{client_, secrets_, executor_, log_.log()};
  api::RobotTokenRotation rotation_;
  Order order_;
  std::optional<quay::RobotCredential> listed_;
  std::stop_source stop_;
  bool leading_ = true;
  std::string held_ = old_token;  // by Quay
  int reads_ = 0;
  int posts_ = 0;
  std::function<FakeResult()> on_post_;  // after its commit
  std::function<void(std::string_view)> after_step_;
  std::function<std::optional<FakeResult>(const SentRequest&)> on_other_;
  decltype(RunOptions::identity) identity_;
  std::vector<std::string> steps_;
};

TEST_F(RunTest, RotatesUnderALedger) {
  on_post_ = [this] {
    EXPECT_EQ(server_.object(path).at("/status/rotation/id"_json_pointer), "id");
    FakeResult answer = robot();
    answer->delay = seconds(2);
    return answer;
  };
  const credential::Outcome outcome = run();
  EXPECT_THAT(steps_, ElementsAre("read-robot", "dry-run", "login", "ledger", "before-regenerate",
                                  "regenerate", "publish", "login"));
  EXPECT_EQ(outcome.end, End::done);
  EXPECT_TRUE(outcome.regenerated);
  EXPECT_TRUE(outcome.clear_ledger);
  EXPECT_EQ(outcome.fingerprint, Fingerprint::of(new_token));
  EXPECT_EQ(outcome.verified, Verified::good);
  EXPECT_EQ(outcome.robot, "acme+puller");
  EXPECT_EQ(outcome.outage, seconds(2));
  EXPECT_EQ(posts_, 1);
  EXPECT_TRUE(published());
  ASSERT_TRUE(rotation_.status.rotation) << "as it was last written";
  EXPECT_EQ(rotation_.status.rotation->previous, Fingerprint::of(old_token));
}

TEST_F(RunTest, FinishesWhatALedgerSaysWithoutAnotherPost) {
  rotation_.status.rotation = api::Ledger{"theirs",
                                          "acme+puller",
                                          api::RotationReason::interval,
                                          VirtualExecutor::wall_start - seconds(5),
                                          Fingerprint::of(old_token),
                                          1,
                                          ""};
  order_.goal = Goal::resume;
  order_.ledger_seen_for = seconds(20);
  held_ = new_token;
  const credential::Outcome outcome = run();
  EXPECT_THAT(steps_, ElementsAre("read-robot", "publish", "login"));
  EXPECT_EQ(outcome.end, End::done);
  EXPECT_TRUE(outcome.regenerated);
  EXPECT_EQ(outcome.ledger->id, "theirs");
  EXPECT_EQ(outcome.outage, seconds(20)) << "our own clock has seen more than theirs tells";
  EXPECT_EQ(posts_, 0);
  EXPECT_TRUE(published());
}

TEST_F(RunTest, SendsNothingUnderAnOldLedger) {
  after_step_ = [this](std::string_view step) {
    if (step == "before-regenerate") (void)executor_.sleep_for(seconds(30), {});
  };
  const credential::Outcome outcome = run();
  EXPECT_EQ(outcome.end, End::start_over);
  EXPECT_FALSE(outcome.clear_ledger);
  EXPECT_EQ(posts_, 0);
  EXPECT_FALSE(published());
}

TEST_F(RunTest, SendsNothingWithoutTheLease) {
  leading_ = false;
  EXPECT_EQ(run().end, End::start_over);
  EXPECT_EQ(posts_, 0);
}

TEST_F(RunTest, ALedgerThatAnotherWriterPreventsSendsNothing) {
  after_step_ = [this](std::string_view step) {
    if (step == "dry-run") server_.edit(server_.object(path));
  };
  const credential::Outcome outcome = run();
  EXPECT_EQ(outcome.end, End::start_over);
  EXPECT_EQ(outcome.ledger, std::nullopt);
  EXPECT_EQ(posts_, 0);
}

// Its answer tells the token, and nobody else will in time.
TEST_F(RunTest, AStopRequestDoesNotCutAPostThatWasSent) {
  on_post_ = [this] {
    stop_.request_stop();
    FakeResult answer = robot();
    answer->delay = seconds(5);
    return answer;
  };
  const credential::Outcome outcome = run();
  EXPECT_EQ(outcome.end, End::unpublished);
  EXPECT_EQ(outcome.made, Fingerprint::of(new_token));
  EXPECT_FALSE(outcome.clear_ledger);
  EXPECT_EQ(posts_, 1);
}

TEST_F(RunTest, ALostAnswerIsReadBack) {
  on_post_ = []() -> FakeResult {
    return tl::unexpected(http::Error{http::Error::Kind::timeout, "no answer in time"});
  };
  const credential::Outcome outcome = run();
  EXPECT_THAT(steps_, ElementsAre("read-robot", "dry-run", "login", "ledger", "before-regenerate",
                                  "regenerate", "read-robot", "publish", "login"));
  EXPECT_EQ(outcome.end, End::done);
  EXPECT_EQ(outcome.made, Fingerprint::of(new_token));
  EXPECT_EQ(posts_, 1);
}

TEST_F(RunTest, WhatAListToldStandsForTheFirstRead) {
  order_.goal = Goal::synchronize;
  listed_ = {"acme+puller", base::SecretString::copy_of(old_token)};
  const credential::Outcome outcome = run();
  EXPECT_THAT(steps_, ElementsAre("read-robot", "login", "publish"));
  EXPECT_EQ(outcome.end, End::done);
  EXPECT_FALSE(outcome.regenerated);
  EXPECT_EQ(outcome.outage, std::nullopt);
  EXPECT_EQ(reads_, 0);
  EXPECT_EQ(posts_, 0);
}

// A JWT with those claims.
std::string jwt(const std::string& claims) {
  std::string middle(base::base64_encode(claims).reveal());
  while (middle.ends_with('=')) middle.pop_back();
  return "eyJhbGciOiJSUzI1NiJ9." + middle + ".TOKENMARKED";
}

class FederatedRunTest : public RunTest {
 protected:
  FederatedRunTest() {
    nlohmann::json object = server_.object(path);
    object["spec"].erase("schedule");
    object["spec"]["strategy"] = {{"type", "Federate"}, {"federate", {{"serviceAccount", "sa"}}}};
    rotation_ = api::RobotTokenRotation::from_json(object).value();
    order_.goal = Goal::exchange;
    identity_ = [](const auto&, const std::string& quay, const std::stop_token&) {
      EXPECT_EQ(quay, "quay.example.com");
      return base::SecretString(jwt(R"({"iss":"https://api","sub":"system:serviceaccount:a:sa"})"));
    };
    on_other_ = [this](const SentRequest& request) -> std::optional<FakeResult> {
      if (request.target == "/oauth2/federation/robot/token") {
        const bool taken = federation_.find("serviceaccount:a:sa") != std::string::npos;
        if (!taken) return json_answer(400, R"({"message":"Token does not match robot"})");
        return json_answer(200, R"({"token":")" + jwt(R"({"iat":1,"exp":3601})") + R"("})");
      }
      if (!request.target.ends_with("/federation")) return std::nullopt;
      if (request.method == http::Method::post) {
        noted_ = server_.object(path).contains("/status/federation/subject"_json_pointer);
        federation_ = request.body;
      }
      return json_answer(200, federation_);
    };
  }

  const std::string others_ = R"({"issuer":"https://ci","subject":"x"})";
  const std::string ours_ = R"({"issuer":"https://api","subject":"system:serviceaccount:a:sa"})";
  std::string federation_ = "[" + others_ + "]";
  bool noted_ = false;
};

TEST_F(FederatedRunTest, PutsItsEntryBesideOthersOnceTheStatusSaysSo) {
  const credential::Outcome outcome = run();
  EXPECT_THAT(steps_, ElementsAre("exchange", "keep-federation", "exchange", "publish", "login"));
  EXPECT_EQ(outcome.end, End::done);
  EXPECT_EQ(outcome.robot, "acme+puller");
  EXPECT_TRUE(outcome.expires);
  EXPECT_EQ(federation_, "[" + others_ + "," + ours_ + "]");
  EXPECT_TRUE(noted_);
  EXPECT_TRUE(published());
  EXPECT_EQ(posts_, 0);
}

TEST_F(FederatedRunTest, WhatOthersPutInIsNotOurs) {
  federation_ = "[" + ours_ + "]";
  EXPECT_EQ(run().end, End::done);
  EXPECT_THAT(steps_, ElementsAre("exchange", "publish", "login"));
  EXPECT_FALSE(server_.object(path).contains("/status/federation"_json_pointer));
}

TEST_F(FederatedRunTest, LeavesOthersEntriesWhenItGoes) {
  ASSERT_EQ(run().end, End::done);
  steps_.clear();
  rotation_.spec.strategy = {};
  order_.goal = Goal::synchronize;
  const credential::Outcome outcome = run();
  EXPECT_TRUE(outcome.left_federation);
  EXPECT_EQ(federation_, "[" + others_ + "]");
  EXPECT_EQ(steps_.back(), "leave-federation");
}

TEST_F(FederatedRunTest, WithoutATokenQuayIsNotAsked) {
  identity_ = [](const auto&, const auto&, const auto&) {
    return tl::unexpected(connection::Problem{"ServiceAccountNotConsenting", "annotate it"});
  };
  EXPECT_EQ(run().refusal->reason, "ServiceAccountNotConsenting");
  order_.forgeable = true;
  EXPECT_EQ(run().refusal->reason, "ConnectionForgeable");
  EXPECT_EQ(federation_, "[" + others_ + "]");
}

}  // namespace
}  // namespace quay_rotator::rotation
