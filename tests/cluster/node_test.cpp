// What it is all for: pods on a real node (kubelet, containerd) pull their image with the Secret.
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

constexpr kube::Resource pods{"", "v1", "pods", "Pod"};

class Node : public ClusterTest {
 protected:
  void SetUp() override {
    if (!cluster().node().at("available")) {
      GTEST_SKIP() << "left out, as there is no node: "
                   << cluster().node().at("reason").get<std::string>();
    }
    ClusterTest::SetUp();
  }
  void TearDown() override {
    if (!cluster().node().at("available")) return;
    cluster().kubectl({"-n", ns(), "delete", "pods", "--all", "--wait=false"});
    ClusterTest::TearDown();
  }

  // A pod that pulls the private image anew with that Secret.
  void start_pod(const std::string& name, const std::string& secret = "quay-pull") {
    apply({{"apiVersion", "v1"},
           {"kind", "Pod"},
           {"metadata", {{"name", name}}},
           {"spec",
            {{"imagePullSecrets", {{{"name", secret}}}},
             {"containers",
              {{{"name", "app"},
                {"image", cluster().value("image")},
                {"imagePullPolicy", "Always"}}}},
             // There is no scheduler and no network plugin.
             {"nodeName", cluster().node().at("name")},
             {"hostNetwork", true},
             {"tolerations", {{{"operator", "Exists"}}}},
             {"terminationGracePeriodSeconds", 1}}}});
  }
  // Why the pod's container waits, or the pod's phase; the message of the container.
  static std::pair<std::string, std::string> state(const json& pod) {
    if (!pod.is_object() || !pod.contains("status")) return {};
    const json& status = pod.at("status");
    for (const json& container : status.value("containerStatuses", json::array())) {
      if (!container.at("state").contains("waiting")) continue;
      const json& waiting = container.at("state").at("waiting");
      return {waiting.at("reason"), waiting.value("message", "")};
    }
    return {status.value("phase", ""), ""};
  }
  void expect_running(const std::string& name) {
    cluster().wait_for("Running", pods, key(name),
                       [](const json& pod) { return state(pod).first == "Running"; });
  }
  void expect_image_refused(const std::string& name) {
    cluster().wait_for("ErrImagePull: 401", pods, key(name), [](const json& pod) {
      const auto [reason, message] = state(pod);
      return reason == "ErrImagePull" && message.find("401 Unauthorized") != std::string::npos;
    });
  }
  // The Secret as it is now, under another name that nobody keeps current.
  void copy_secret(const std::string& name) {
    const json secret = cluster().get(kube::secrets, key("quay-pull"));
    apply({{"apiVersion", "v1"},
           {"kind", "Secret"},
           {"metadata", {{"name", name}}},
           {"type", secret.at("type")},
           {"data", secret.at("data")}});
  }
};

TEST_F(Node, PodsRunBeforeAndAfterARotationAndNotWithTheRevokedToken) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  copy_secret("copied-before");
  start_pod("before");
  expect_running("before");
  start_pod("with-copy", "copied-before");
  expect_running("with-copy");

  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  start_pod("after");
  expect_running("after");
  start_pod("revoked", "copied-before");
  expect_image_refused("revoked");
}

TEST_F(Node, APodRunsInEveryInterval) {
  const OperatorProcess running;
  apply_rotation({.interval = "10s"});
  ASSERT_TRUE(wait_until_ready());
  for (int count = 1; count <= 3; ++count) {
    ASSERT_TRUE(wait_until_rotated(count));
    const std::string name = "pod-" + std::to_string(count);
    start_pod(name);
    expect_running(name);
  }
}

// Between Quay's commit and the write of the Secret there is an outage; a pod that starts in it is
// refused, and runs by itself once the Secret is written.
TEST_F(Node, APodThatStartsDuringARotationRunsWhenItIsDone) {
  const OperatorProcess running({.quay_timeout = "60s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  start_pod("during");
  expect_image_refused("during");
  cluster().quay().remove("/faults");
  ASSERT_TRUE(wait_until_rotated(1));
  expect_running("during");
  EXPECT_EQ(regenerations(), 1);
}

}  // namespace
}  // namespace quay_rotator::cluster
