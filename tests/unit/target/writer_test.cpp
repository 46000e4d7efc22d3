#include "target/writer.h"

#include <chrono>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "target/currency.h"
#include "unit/target/secrets.h"

namespace quay_rotator::target {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using WriterTest = SecretsTest;

TEST_F(WriterTest, WritesTheWholeSecret) {
  rotation_.spec.targets[0].labels = {{"team", "a"}};
  EXPECT_THAT(publish(first_token), IsEmpty());
  const auto request = server_.requests().back();
  EXPECT_EQ(request.content_type, "application/apply-patch+yaml");
  const auto manifest = nlohmann::json::parse(request.body);
  auto config = docker_config({"quay.example.com"}, user, base::SecretString::copy_of(first_token));
  auto metadata = manifest.at("metadata");
  EXPECT_EQ(metadata.at("annotations").size(), 3U);
  EXPECT_EQ(metadata.at("annotations").at("quayrotator.dev/rotation"), "team-a/puller");
  EXPECT_EQ(metadata.at("annotations").at("quayrotator.dev/rotation-uid"), "rotation-uid");
  metadata.erase("annotations");
  EXPECT_EQ(metadata, nlohmann::json::parse(R"({
    "name": "quay-pull", "namespace": "team-a",
    "labels": {"app.kubernetes.io/managed-by": "quay-rotator", "team": "a"},
    "ownerReferences": [{"apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation",
      "name": "puller", "uid": "rotation-uid", "controller": true,
      "blockOwnerDeletion": false}]})"));
  EXPECT_EQ(manifest.at("apiVersion"), "v1");
  EXPECT_EQ(manifest.at("kind"), "Secret");
  EXPECT_EQ(manifest.at("type"), "kubernetes.io/dockerconfigjson");
  EXPECT_TRUE(manifest.at("data").size() == 1 &&
              manifest.at("data").at(".dockerconfigjson").get<std::string>() ==
                  base::base64_encode(config.reveal()).reveal());
  EXPECT_EQ(manifest.size(), 5U);
}

TEST_F(WriterTest, GivesNoOwnerToWhatIsRetained) {
  rotation_.spec.deletion_policy = api::DeletionPolicy::retain;
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_FALSE(secret().at("metadata").contains("ownerReferences"));
  EXPECT_THAT(new_calls(), SizeIs(2));
  // The policy changed: that alone makes the Secret out of date.
  rotation_.spec.deletion_policy = api::DeletionPolicy::delete_;
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_TRUE(secret().at("metadata").contains("ownerReferences"));
}

TEST_F(WriterTest, CreatesAfterALook) {
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "PATCH team-a/quay-pull"));
  EXPECT_TRUE(holds("quay-pull", first_token));
}

TEST_F(WriterTest, NeedsADryRunAndAnApplyForARotation) {
  publish(first_token);
  const auto uid = secret().at("metadata").at("uid");
  new_calls();
  EXPECT_THAT(dry_run(), IsEmpty());
  EXPECT_TRUE(holds("quay-pull", first_token));
  EXPECT_THAT(publish(second_token), IsEmpty());
  EXPECT_THAT(new_calls(),
              ElementsAre("PATCH team-a/quay-pull dryRun force", "PATCH team-a/quay-pull force"));
  EXPECT_TRUE(holds("quay-pull", second_token));
  EXPECT_EQ(secret().at("metadata").at("uid"), uid);
}

TEST_F(WriterTest, WritesNothingThatIsCurrent) {
  publish(first_token);
  new_calls();
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), IsEmpty());
}

// A start whose cache does not know the Secret (yet): a look, no write.

TEST_F(WriterTest, AdoptsAnUnchangedSecretWithoutAWrite) {
  publish(first_token);
  cache_.erase({"team-a", "quay-pull"});
  new_calls();
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull"));
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), IsEmpty());
}

TEST_F(WriterTest, RemovesALabelThatLeftTheSpec) {
  rotation_.spec.targets[0].labels = {{"team", "a"}};
  publish(first_token);
  new_calls();
  rotation_.spec.targets[0].labels.clear();
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("PATCH team-a/quay-pull force"));
}

TEST_F(WriterTest, TriesExactlyTheWriteToCome) {
  rotation_.spec.targets[0].labels = {{"team", "a"}};
  EXPECT_THAT(dry_run(), IsEmpty());
  EXPECT_TRUE(secret().is_null());
  EXPECT_EQ(cache_.size(), 0U);
  publish(first_token);
  const auto requests = server_.requests();
  ASSERT_THAT(requests, SizeIs(4));
  auto tried = nlohmann::json::parse(requests[1].body);
  auto written = nlohmann::json::parse(requests[3].body);
  EXPECT_EQ(requests[1].body.size(), requests[3].body.size());
  tried.erase("data");
  written.erase("data");
  EXPECT_EQ(tried, written);
  EXPECT_THAT(requests[1].target, HasSubstr("dryRun=All"));
  EXPECT_THAT(requests[3].target, Not(HasSubstr("dryRun")));
}

TEST_F(WriterTest, PutsItsLabelBack) {
  publish(first_token);
  auto stripped = secret();
  stripped["metadata"]["labels"].clear();
  server_.put(stripped, "kubectl-label");
  cache_.erase({"team-a", "quay-pull"});
  new_calls();
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "PATCH team-a/quay-pull force"));
  EXPECT_EQ(secret().at("metadata").at("labels").at("app.kubernetes.io/managed-by"),
            "quay-rotator");
}

TEST_F(WriterTest, LeavesAForeignSecretAlone) {
  put_foreign();
  const auto before = secret();
  for (auto problems : {dry_run(), publish(first_token)}) {
    ASSERT_THAT(problems, SizeIs(1));
    EXPECT_EQ(problems[0].reason, "NotOwned");
    EXPECT_THAT(problems[0].message, HasSubstr("kubectl-create"));
  }
  EXPECT_EQ(secret(), before);
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "PATCH team-a/quay-pull dryRun",
                                       "GET team-a/quay-pull", "PATCH team-a/quay-pull dryRun"));
  for (const auto& request : server_.requests()) {
    EXPECT_TRUE(request.body.find(std::string(first_token)) == std::string::npos);
  }
}

TEST_F(WriterTest, AsksNothingAboutASecretThatTheCacheGivesToAnotherRotation) {
  auto other = rotation_;
  other.meta.key.name = "other";
  writer_.publish(other, desired_secrets(other, "quay.example.com"), credential(first_token),
                  stop_);
  new_calls();
  const auto problems = publish(first_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "NotOwned");
  EXPECT_THAT(problems[0].message, HasSubstr("team-a/other"));
  EXPECT_THAT(new_calls(), IsEmpty());
}

// Somebody's Secret that wears our label by accident.

TEST_F(WriterTest, LooksAtASecretThatHasOurLabelAndNoOwner) {
  put_foreign({{"metadata", {{"labels", {{"app.kubernetes.io/managed-by", "quay-rotator"}}}}}});
  cache("quay-pull");
  const auto problems = publish(first_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "NotOwned");
  EXPECT_THAT(problems[0].message, HasSubstr("kubectl-create"));
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "PATCH team-a/quay-pull dryRun"));
}

TEST_F(WriterTest, TakesOverAForeignSecretInPlace) {
  put_foreign(
      {{"metadata", {{"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}}}}});
  const auto uid = secret().at("metadata").at("uid");
  EXPECT_THAT(dry_run(), IsEmpty());
  EXPECT_THAT(publish(first_token), IsEmpty());
  EXPECT_TRUE(holds("quay-pull", first_token));
  EXPECT_EQ(secret().at("metadata").at("uid"), uid);
}

// It names the same rotation, of the namespace that it was copied from.
TEST_F(WriterTest, LeavesACopyFromAnotherNamespaceAlone) {
  publish(first_token);
  auto copy = secret();
  copy["metadata"]["annotations"]["quayrotator.dev/rotation"] = "team-b/puller";
  server_.put(copy);
  for (const bool cached : {false, true}) {
    cache_.erase({"team-a", "quay-pull"});
    if (cached) cache("quay-pull");
    new_calls();
    const auto problems = publish(second_token);
    ASSERT_THAT(problems, SizeIs(1));
    EXPECT_EQ(problems[0].reason, "NotOwned");
    EXPECT_THAT(problems[0].message, HasSubstr("of another namespace (it is a copy"));
    EXPECT_THAT(problems[0].message, Not(HasSubstr("team-b")));
    EXPECT_THAT(new_calls(), SizeIs(cached ? 0 : 1));
  }
  EXPECT_TRUE(holds("quay-pull", first_token));
}

// What a pull Secret may hold besides, of three registries and a helper.

TEST_F(WriterTest, TakesOverNothingThatItWouldLose) {
  const std::string config =
      R"({"auths":{"docker.io":{"auth":"dTpw"},"https://quay.example.com/v1/":{"auth":"dTpw"}},)"
      R"("credHelpers":{"000000000000.dkr.ecr.example.com":"ecr-login"}})";
  put_foreign({{"metadata", {{"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}}}},
               {"data", {{".dockerconfigjson", base::base64_encode(config).reveal()}}}});
  const auto before = secret();
  for (const auto& problems : {dry_run(), publish(first_token)}) {
    ASSERT_THAT(problems, SizeIs(1));
    EXPECT_EQ(problems[0].reason, "WouldLoseEntries");
    EXPECT_THAT(problems[0].message, HasSubstr("also holds credHelpers, docker.io, which"));
  }
  EXPECT_EQ(secret(), before);
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "GET team-a/quay-pull"));
}

// The cache knows a Secret that wears our label already; what is in it is read all the same.

TEST_F(WriterTest, LooksAtWhatItTakesOverFromAnotherRotation) {
  auto other = rotation_of({"quay-pull"});
  other.meta = {{"team-a", "other"}, "other-uid", "7"};
  other.spec.targets[0].registries = {"mirror.example.com"};
  writer_.publish(other, desired_secrets(other, ""), credential(first_token), stop_);
  auto handed = secret();
  handed["metadata"]["annotations"]["quayrotator.dev/allow-take-over-by"] = "puller";
  server_.put(handed);
  cache("quay-pull");
  auto problems = publish(first_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "WouldLoseEntries");
  EXPECT_THAT(problems[0].message, HasSubstr("mirror.example.com"));

  rotation_.spec.targets[0].registries = {"mirror.example.com"};
  EXPECT_THAT(dry_run(), IsEmpty());
  EXPECT_EQ(secret(), handed = server_.object("secrets/team-a/quay-pull"));
  EXPECT_THAT(publish(first_token), IsEmpty());
  const auto owners = secret().at("metadata").at("ownerReferences");
  ASSERT_THAT(owners, SizeIs(1)) << "the former rotation is no longer in charge";
  EXPECT_EQ(owners[0].at("uid"), "rotation-uid");
}

// Somebody adds a login between our look and our write.

TEST_F(WriterTest, OverwritesOnlyWhatItHasLookedAt) {
  const nlohmann::json allowed = {
      {"metadata", {{"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}}}}};
  put_foreign(allowed);
  server_.set_fault([&, once = true](const SentRequest& request) mutable {
    if (request.method == http::Method::patch && std::exchange(once, false)) {
      auto changed = secret();
      changed["data"][".dockerconfigjson"] =
          base::base64_encode(R"({"auths":{"ghcr.io":{"auth":"dTpw"}}})").reveal();
      server_.edit(changed);
    }
    return std::optional<FakeResult>();
  });
  const auto problems = publish(first_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "WouldLoseEntries");
  EXPECT_THAT(problems[0].message, HasSubstr("ghcr.io"));
}

TEST_F(WriterTest, LeavesASecretToItsController) {
  put_foreign({{"metadata",
                {{"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}},
                 {"ownerReferences",
                  {{{"apiVersion", "bitnami.com/v1alpha1"},
                    {"kind", "SealedSecret"},
                    {"name", "pull"},
                    {"uid", "sealed"},
                    {"controller", true}}}}}}});
  const auto before = secret();
  for (const auto policy : {api::DeletionPolicy::delete_, api::DeletionPolicy::retain}) {
    rotation_.spec.deletion_policy = policy;
    for (const auto& problems : {dry_run(), publish(first_token)}) {
      ASSERT_THAT(problems, SizeIs(1));
      EXPECT_EQ(problems[0].reason, "ControlledByAnother");
      EXPECT_THAT(problems[0].message, HasSubstr("controlled by SealedSecret pull"));
    }
  }
  EXPECT_EQ(secret(), before);
}

// As a backup brings it back: all is ours but the owner's uid, which is of a former life.

TEST_F(WriterTest, HealsItsOwnSecretThatWasRestored) {
  for (const auto policy : {api::DeletionPolicy::delete_, api::DeletionPolicy::retain}) {
    const bool owned = policy == api::DeletionPolicy::delete_;
    rotation_.spec.deletion_policy = api::DeletionPolicy::delete_;
    rotation_.meta.uid = "former-uid";
    publish(first_token);
    server_.put(secret(), "velero");
    const auto uid = secret().at("metadata").at("uid");
    cache("quay-pull");
    rotation_.meta.uid = "rotation-uid";
    const auto findings = [&] {
      return currency(desired()[0], cache_.find({"team-a", "quay-pull"}).get(), user,
                      base::Fingerprint::of(first_token));
    };
    rotation_.spec.deletion_policy = policy;
    EXPECT_EQ(findings().at(0).what, Finding::What::owner);
    EXPECT_THAT(dry_run(), IsEmpty());
    new_calls();
    EXPECT_THAT(publish(first_token), IsEmpty());
    EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull", "MERGE team-a/quay-pull",
                                         "PATCH team-a/quay-pull force"));
    EXPECT_EQ(secret().at("metadata").at("uid"), uid) << "in place (I4)";
    const auto owners =
        secret().value("/metadata/ownerReferences"_json_pointer, nlohmann::json::array());
    ASSERT_THAT(owners, SizeIs(owned ? 1 : 0));
    EXPECT_TRUE(!owned || owners[0].at("uid") == "rotation-uid");
    EXPECT_THAT(findings(), IsEmpty());
    server_.remove("secrets/team-a/quay-pull");
    cache_.erase({"team-a", "quay-pull"});
  }
}

TEST_F(WriterTest, OfWhatIsDeletedOnlySecretsThatAreThereAreWritten) {
  rotation_ = rotation_of({"keep", "gone", "taken"});
  rotation_.spec.deletion_policy = api::DeletionPolicy::retain;
  executor_.run([&] {
    publish(first_token);
    server_.remove("secrets/team-a/gone");
    auto taken = secret("taken");
    taken["metadata"]["annotations"]["quayrotator.dev/rotation"] = "team-a/other";
    server_.put(taken);
    rotation_.deleting = true;
    EXPECT_THAT(publish(second_token), IsEmpty());
  });
  EXPECT_TRUE(holds("keep", second_token));
  EXPECT_TRUE(secret("gone").is_null());
  EXPECT_TRUE(holds("taken", first_token));
}

TEST_F(WriterTest, RefusesAnImmutableSecret) {
  publish(first_token);
  auto immutable = secret();
  immutable["immutable"] = true;
  server_.put(immutable);
  cache("quay-pull");
  const auto problems = dry_run();
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "Immutable");
}

TEST_F(WriterTest, RefusesAnotherType) {
  put_foreign(
      {{"type", "Opaque"},
       {"metadata", {{"annotations", {{"quayrotator.dev/allow-take-over-by", "puller"}}}}}});
  const auto problems = dry_run();
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "WrongType");
  EXPECT_THAT(new_calls(), ElementsAre("GET team-a/quay-pull"));
}

TEST_F(WriterTest, LooksAgainWhenTheSecretWasDeleted) {
  publish(first_token);
  server_.remove("secrets/team-a/quay-pull");
  new_calls();
  EXPECT_THAT(publish(second_token), IsEmpty());
  EXPECT_THAT(new_calls(), ElementsAre("PATCH team-a/quay-pull force", "GET team-a/quay-pull",
                                       "PATCH team-a/quay-pull"));
  EXPECT_TRUE(holds("quay-pull", second_token));
}

TEST_F(WriterTest, LooksAgainWhenSomebodyElseRecreatedTheSecret) {
  publish(first_token);
  put_foreign();
  new_calls();
  const auto problems = publish(second_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "NotOwned");
  EXPECT_THAT(new_calls(), ElementsAre("PATCH team-a/quay-pull force", "GET team-a/quay-pull",
                                       "PATCH team-a/quay-pull dryRun"));
  EXPECT_FALSE(holds("quay-pull", second_token));
}

// Created by somebody between our look and our write: found by the conflict.

TEST_F(WriterTest, LooksAgainWhenSomebodyElseWasFasterToCreate) {
  server_.set_fault([this](const SentRequest& request) {
    if (request.method == http::Method::patch && secret().is_null()) put_foreign();
    return std::optional<FakeResult>();
  });
  const auto problems = publish(first_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "NotOwned");
  EXPECT_FALSE(holds("quay-pull", first_token));
}

TEST_F(WriterTest, RetriesWhatMayPass) {
  publish(first_token);
  new_calls();
  const auto start = executor_.now();
  fail_patches(3, refusal(503, "ServiceUnavailable", "etcdserver: leader changed"));
  EXPECT_THAT(publish(second_token), IsEmpty());
  EXPECT_THAT(new_calls(), SizeIs(4));
  EXPECT_EQ(executor_.now() - start, milliseconds(50 + 200 + 800));
  EXPECT_TRUE(holds("quay-pull", second_token));
}

TEST_F(WriterTest, RetriesAfterALostAnswer) {
  publish(first_token);
  fail_patches(1, tl::unexpected(http::Error{http::Error::Kind::connection_lost, "reset", true}));
  EXPECT_THAT(publish(second_token), IsEmpty());
  EXPECT_TRUE(holds("quay-pull", second_token));
}

TEST_F(WriterTest, GivesUpAfterAboutASecond) {
  publish(first_token);
  new_calls();
  fail_patches(99, refusal(500, "InternalError", "failed calling webhook \"x\""));
  const auto problems = publish(second_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "ApiServerUnavailable");
  EXPECT_FALSE(problems[0].permanent);
  EXPECT_THAT(new_calls(), SizeIs(4));
}

TEST_F(WriterTest, DoesNotRetryWhatStays) {
  publish(first_token);
  new_calls();
  fail_patches(
      99, refusal(403, "Forbidden", "secrets \"quay-pull\" is forbidden: exceeded quota: few"));
  const auto start = executor_.now();
  const auto problems = publish(second_token);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].reason, "QuotaExceeded");
  EXPECT_THAT(new_calls(), SizeIs(1));
  EXPECT_EQ(executor_.now(), start);
}

TEST_F(WriterTest, StopsBetweenRetries) {
  publish(first_token);
  new_calls();
  std::stop_source source;
  server_.set_fault([&](const SentRequest&) {
    source.request_stop();
    return std::optional<FakeResult>(refusal(500, "InternalError", "no"));
  });
  const auto problems =
      writer_.publish(rotation_, desired(), credential(second_token), source.get_token());
  EXPECT_THAT(problems, SizeIs(1));
  EXPECT_THAT(new_calls(), SizeIs(1));
}

// I5: a policy may quote what it refuses.

TEST_F(WriterTest, WithholdsAMessageThatQuotesTheToken) {
  publish(first_token);
  const auto pair = base::base64_encode(std::string(user) + ":" + std::string(second_token));
  std::string small(second_token);
  std::ranges::transform(small, small.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto data = base::base64_encode("{\"auth\":\"" + std::string(pair.reveal()) + "\"");
  for (const auto& quoted :
       {std::string(second_token), std::string(second_token.substr(0, 20)),
        std::string(second_token.substr(21, 18)), std::string(second_token.substr(40, 10)),
        std::string(pair.reveal().substr(20, 30)), small, std::string(pair.reveal()),
        std::string(pair.reveal().substr(30, 20)), std::string(data.reveal()),
        std::string(data.reveal().substr(60, 40))}) {
    fail_patches(
        99, refusal(422, "Invalid", "ValidatingAdmissionPolicy 'no' denied request: " + quoted));
    const auto problems = publish(second_token);
    ASSERT_THAT(problems, SizeIs(1));
    EXPECT_EQ(problems[0].reason, "AdmissionDenied");
    EXPECT_THAT(problems[0].message, HasSubstr("withheld"));
    EXPECT_TRUE(problems[0].message.find(quoted) == std::string::npos);
  }
}

class ParallelWriterTest : public SecretsTest {
 protected:
  ParallelWriterTest() {
    std::vector<std::string> names;
    for (int number = 0; number < 40; ++number) names.push_back("pull-" + std::to_string(number));
    rotation_ = rotation_of(names);
  }
};

TEST_F(ParallelWriterTest, WritesSixteenAtATime) {
  executor_.run([&] {
    publish(first_token);
    new_calls();
    int under_way = 0;
    int most = 0;
    server_.set_fault([&](const SentRequest&) {
      most = std::max(most, ++under_way);
      executor_.sleep_for(milliseconds(10), {});
      --under_way;
      return std::optional<FakeResult>();
    });
    const auto start = executor_.now();
    EXPECT_THAT(publish(second_token), IsEmpty());
    EXPECT_EQ(most, 16);
    EXPECT_EQ(executor_.now() - start, milliseconds(30));
  });
  EXPECT_THAT(new_calls(), SizeIs(40));
  for (const auto& target : rotation_.spec.targets) {
    EXPECT_TRUE(holds(target.name, second_token)) << target.name;
  }
}

TEST_F(ParallelWriterTest, ReportsEachTargetThatFailedInOrder) {
  executor_.run([&] {
    publish(first_token);
    server_.set_fault([](const SentRequest& request) {
      std::optional<FakeResult> fault;
      if (request.target.find("/pull-7?") != std::string::npos) {
        fault = refusal(500, "InternalError", "no");
      }
      if (request.target.find("/pull-30?") != std::string::npos) {
        fault = refusal(422, "Invalid", "metadata.labels: Invalid value");
      }
      return fault;
    });
    const auto problems = publish(second_token);
    ASSERT_THAT(problems, SizeIs(2));
    EXPECT_EQ(problems[0].object.text(), "team-a/pull-7");
    EXPECT_EQ(problems[0].reason, "ApiServerUnavailable");
    EXPECT_EQ(problems[1].object.text(), "team-a/pull-30");
    EXPECT_EQ(problems[1].reason, "Invalid");
  });
  EXPECT_TRUE(holds("pull-8", second_token));
  EXPECT_TRUE(holds("pull-7", first_token));
}

// Another replica knows a newer spec, and has written a target that we do not know yet.

}  // namespace
}  // namespace quay_rotator::target
