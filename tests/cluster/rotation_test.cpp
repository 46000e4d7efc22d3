// The main job: adopt, rotate, heal, follow, let go.
#include "api/robot_token_rotation.h"
#include "cluster/audit_log.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;
using testing::Not;

class Rotation : public ClusterTest {};

TEST_F(Rotation, AdoptsTheCurrentTokenWithoutRegenerating) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 0);
  expect_event("Adopted");
  expect_pull("quay-pull");
}

TEST_F(Rotation, RotatesOnItsIntervalAndImagesArePulledBeforeAndAfter) {
  const OperatorProcess running;
  apply_rotation({.interval = "10s"});
  ASSERT_TRUE(wait_until_ready());
  const std::string before = secret_token();
  const std::string uid = secret_uid();
  expect_pull("quay-pull");
  const json old_secret = cluster().get(kube::secrets, key("quay-pull"));

  const auto rotated = wait_until_rotated(2);
  ASSERT_TRUE(rotated);
  EXPECT_NE(secret_token(), before);
  EXPECT_EQ(secret_uid(), uid) << "a Secret is updated in place (I4)";
  expect_pull("quay-pull");
  const ProgramResult old_pull = pull_with(old_secret);
  EXPECT_NE(old_pull.code, 0) << "the old credential must fail";
  EXPECT_THAT(old_pull.output, HasSubstr("unauthorized"));
  EXPECT_FALSE(rotated->at("status").at("history").front().at("outage").get<std::string>().empty());
}

TEST_F(Rotation, RotatesNowWhenAskedAndOnlyOnce) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("first");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(rotation().at("status").at("lastHandledRotateRequest"), "first");
  EXPECT_EQ(secret_token(), quay_token());
  annotate_rotate_now("first");
  annotate_rotate_now("second");
  ASSERT_TRUE(wait_until_rotated(2));
  EXPECT_EQ(regenerations(), 2);
  expect_event("Rotated");
}

TEST_F(Rotation, CostsFourRequestsToQuayAndFiveToTheApiServer) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  expect_event("Adopted");
  // The last request of its beginning.
  ASSERT_TRUE(wait_until_initialized());
  cluster().quay().remove("/journal");
  AuditLog audit(cluster().value("auditLog"));
  const auto asked = std::chrono::system_clock::now();
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  expect_event("Rotated");
  EXPECT_EQ(journal().size(), 4U) << journal().dump(1);
  std::vector<std::string> requests;
  for (const AuditEntry& entry : audit.read_work_of(operator_user)) {
    if (entry.received < asked) continue;  // the mark: seen before it was logged
    requests.push_back(entry.verb + " " + entry.resource + (entry.dry_run ? ", dry run" : ""));
  }
  // Dry run, ledger, Secret, status, Event.
  EXPECT_THAT(requests, testing::UnorderedElementsAre(
                            "patch secrets, dry run", "patch robottokenrotations/status",
                            "patch secrets", "patch robottokenrotations/status", "create events"));
}

TEST_F(Rotation, FillsSeveralTargetsAndRegistries) {
  const OperatorProcess running;
  RotationOptions options;
  options.secrets = {"one", "two", "three"};
  apply_rotation(options);
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  for (const std::string& secret : options.secrets) EXPECT_EQ(secret_token(secret), quay_token());
  EXPECT_EQ(rotation().at("status").at("targets").at("current"), 3);
}

TEST_F(Rotation, RotatesARobotOfTheUser) {
  const OperatorProcess running;
  const std::string name = "user" + robot();
  cluster().quay().put("/robots/admin+" + name, json::object());
  RotationOptions options;
  options.robot = name;
  options.more = {{"robot", {{"organization", nullptr}}}};
  apply_rotation(options);
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(rotation().at("status").at("robots").at(0).at("name"), "admin+" + name);
  EXPECT_EQ(secret_token(), quay_token("admin+" + name));
}

TEST_F(Rotation, HealsASecretThatIsDeletedOrEditedWithoutRegenerating) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  expect_secret_current();
  expect_event("Healed");
  const std::string uid = secret_uid();
  cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-pull", "--type=merge", "-p",
                        R"({"stringData":{".dockerconfigjson":"{\"auths\":{}}"}})"});
  cluster().wait_for("healed", kube::secrets, key("quay-pull"), [&](const json& object) {
    return object.is_object() && object.dump().find("eyJhdXRocyI6e319") == std::string::npos;
  });
  expect_secret_current();
  EXPECT_EQ(secret_uid(), uid);
  EXPECT_EQ(regenerations(), 0);
}

TEST_F(Rotation, FollowsATokenThatSomebodyElseRegenerated) {
  const OperatorProcess running({.arguments = {"--drift-interval=1s"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().quay().post("/robots/acme+" + robot() + "/regenerate");
  expect_secret_current();
  expect_event("ForeignRotation");
  EXPECT_EQ(regenerations(), 0);
}

TEST_F(Rotation, SuspendStopsEverythingUntilItEnds) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  apply_rotation({.more = {{"suspend", true}}});
  ASSERT_TRUE(
      cluster().wait_for("suspended", api::rotations, key("puller"), [](const json& object) {
        const json reconciling = condition(object, "Reconciling");
        return reconciling.is_object() && reconciling.at("reason") == "Suspended";
      }));
  annotate_rotate_now("now");
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  // Another resource shows that the operator has looked at everything since.
  cluster().quay().put("/robots/acme+other" + robot(), json::object());
  apply_rotation({.name = "other", .secrets = {"other-pull"}, .robot = "other" + robot()});
  ASSERT_TRUE(wait_until_ready("other"));
  EXPECT_EQ(regenerations(), 0);
  EXPECT_EQ(secret_token(), "");
  apply_rotation({.more = {{"suspend", false}}});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(Rotation, OfTwoResourcesForOneRobotTheOlderOwnsIt) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  cluster().quay().remove("/journal");
  apply_rotation({.name = "second", .secrets = {"second-pull"}});
  const auto refused = wait_until_failing("Conflict", "second");
  ASSERT_TRUE(refused);
  EXPECT_THAT(condition(*refused, "Conflict").at("message").get<std::string>(),
              HasSubstr(ns() + "/puller"));
  expect_event("Conflict", "second");
  annotate_rotate_now("now", "second");
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(regenerations(), 1);
  EXPECT_EQ(secret_token("second-pull"), "");
  cluster().kubectl_ok({"-n", ns(), "delete", "rtr", "puller", "--wait=false"});
  ASSERT_TRUE(wait_until_ready("second"));
}

TEST_F(Rotation, WhatAnotherClusterLooksAfterIsLeftAloneUntilAPersonHandsItOver) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string uid =
      cluster().get(kube::namespaces, {"", "kube-system"}).at("metadata").at("uid");
  const auto marked =
      cluster().wait_for("marked", api::rotations, key("puller"), [](const json& object) {
        return object.at("metadata")
            .value("annotations", json::object())
            .contains("quayrotator.dev/initialized-at");
      });
  ASSERT_TRUE(marked);
  EXPECT_EQ(marked->at("metadata").at("annotations").at("quayrotator.dev/cluster"), uid);
  cluster().kubectl_ok(
      {"-n", ns(), "annotate", "rtr", "puller", "--overwrite", "quayrotator.dev/cluster=another"});
  ASSERT_TRUE(wait_until_failing("OwnedByAnotherCluster"));
  annotate_rotate_now("now");
  cluster().quay().post("/robots/acme+" + robot() + "/regenerate");
  cluster().kubectl_ok({"-n", ns(), "annotate", "rtr", "puller", "quayrotator.dev/cluster-"});
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token("quay-pull"), quay_token("acme+" + robot()));
}

TEST_F(Rotation, WhatADeletionLeavesIsWhatThePolicySays) {
  cluster().control().post("/processes/kube-controller-manager/start");  // the real collector
  const OperatorProcess running;
  cluster().quay().put("/robots/acme+retained" + robot(), json::object());
  apply_rotation({.more = {{"deletionPolicy", "Delete"}}});
  apply_rotation({.name = "retained",
                  .secrets = {"retained-pull"},
                  .robot = "retained" + robot(),
                  .more = {{"deletionPolicy", "Delete"}}});
  ASSERT_TRUE(wait_until_ready());
  ASSERT_TRUE(wait_until_ready("retained"));
  apply_rotation({.name = "retained",
                  .secrets = {"retained-pull"},
                  .robot = "retained" + robot(),
                  .more = {{"deletionPolicy", "Retain"}}});
  cluster().wait_for("no owner", kube::secrets, key("retained-pull"), [](const json& object) {
    return object.is_object() && !object.at("metadata").contains("ownerReferences");
  });
  const json secret = cluster().get(kube::secrets, key("quay-pull"));
  const json& owner = secret.at("metadata").at("ownerReferences").at(0);
  EXPECT_EQ(owner.at("uid"), rotation().at("metadata").at("uid"));
  EXPECT_EQ(owner.at("kind"), "RobotTokenRotation");

  // The collector has one worker: once the second's Secret is gone, it has also judged the first's.
  for (const char* name : {"retained", "puller"}) {
    cluster().kubectl_ok({"-n", ns(), "delete", "rtr", name, "--timeout=20s"});
  }
  cluster().wait_for("collected", kube::secrets, key("quay-pull"),
                     [](const json& object) { return object.is_null(); });
  EXPECT_NE(secret_token("retained-pull"), "");
}

// Its owner is the resource's former uid, so that the collector is after it too.
TEST_F(Rotation, ItsOwnSecretComesBackFromABackup) {
  cluster().control().post("/processes/kube-controller-manager/start");
  json secret = {{"apiVersion", "v1"},
                 {"kind", "Secret"},
                 {"metadata",
                  {{"name", "quay-pull"},
                   {"labels", {{"app.kubernetes.io/managed-by", "quay-rotator"}}},
                   {"annotations",
                    {{"quayrotator.dev/rotation", ns() + "/puller"},
                     {"quayrotator.dev/rotation-uid", "11111111-2222-3333-4444-555555555555"}}},
                   {"ownerReferences",
                    {{{"apiVersion", "quayrotator.dev/v1alpha1"},
                      {"kind", "RobotTokenRotation"},
                      {"name", "puller"},
                      {"uid", "11111111-2222-3333-4444-555555555555"},
                      {"controller", true},
                      {"blockOwnerDeletion", false}}}}}},
                 {"type", "kubernetes.io/dockerconfigjson"},
                 {"stringData", {{".dockerconfigjson", R"({"auths":{}})"}}}};
  const OperatorProcess running;
  apply(secret);
  for (const char* policy : {"Delete", "Retain"}) {
    apply_rotation({.more = {{"deletionPolicy", policy}}});
    ASSERT_TRUE(wait_until_ready());
    const json uid = rotation().at("metadata").at("uid");
    cluster().wait_for("healed", kube::secrets, key("quay-pull"), [&](const json& object) {
      if (object.is_null()) return false;
      const json& metadata = object.at("metadata");
      if (policy == std::string("Retain")) return !metadata.contains("ownerReferences");
      return metadata.contains("ownerReferences") && metadata["ownerReferences"].size() == 1 &&
             metadata["ownerReferences"][0]["uid"] == uid;
    });
    expect_secret_current();
    EXPECT_EQ(regenerations(), 0);
    cluster().kubectl_ok({"-n", ns(), "delete", "rtr", "puller"});
    cluster().kubectl_ok({"-n", ns(), "delete", "--ignore-not-found", "secret", "quay-pull"});
    apply(secret);
  }
}

TEST_F(Rotation, AFormerTargetIsDeleted) {
  const OperatorProcess running;
  const json policy{{"deletionPolicy", "Delete"}};
  apply_rotation({.secrets = {"keep", "drop"}, .more = policy});
  ASSERT_TRUE(wait_until_ready());
  apply_rotation({.secrets = {"keep"}, .more = policy});
  cluster().wait_for("deleted", kube::secrets, key("drop"),
                     [](const json& object) { return object.is_null(); });
  EXPECT_EQ(secret_token("keep"), quay_token());
}

TEST_F(Rotation, AChangedIntervalReschedulesFromTheLastRotation) {
  const OperatorProcess running;
  apply_rotation({.interval = "10h"});
  const auto adopted = wait_until_ready();
  ASSERT_TRUE(adopted);
  const std::string before = adopted->at("status").at("next").at("time");
  apply_rotation({.interval = "5h"});
  cluster().wait_for("an earlier time", api::rotations, key("puller"), [&](const json& object) {
    return object.at("status").at("next").at("time").get<std::string>() < before;
  });
  EXPECT_EQ(regenerations(), 0);
}

}  // namespace
}  // namespace quay_rotator::cluster
