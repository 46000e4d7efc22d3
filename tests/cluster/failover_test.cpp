// Two replicas: one acts, the other takes over, and no due moment is served twice.
#include <csignal>
#include <unistd.h>

#include <sys/wait.h>

#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;

class FailOver : public ClusterTest {
 protected:
  // A replica that waits, with complete caches, while the first one leads.
  static std::unique_ptr<OperatorProcess> start_waiting(OperatorOptions options = {}) {
    options.pod = "quay-rotator-1";
    options.wait_until_ready = false;
    auto replica = std::make_unique<OperatorProcess>(std::move(options));
    replica->wait_for_log("the lease's holder changed");
    std::string readiness;
    for (int attempt = 0; attempt < 600; ++attempt) {
      readiness = replica->probe("/readyz");
      if (readiness.find("[-]") == std::string::npos) return replica;
      usleep(50'000);  // readiness is asked for, as the kubelet does; it is not told
    }
    ADD_FAILURE() << "not ready: " << readiness;
    return replica;
  }
  static void expect_waiting(const OperatorProcess& replica) {
    EXPECT_THAT(replica.metrics(), HasSubstr("quay_rotator_leader 0"));
  }
  static void expect_leading(const OperatorProcess& replica) {
    replica.wait_for_log("caches are complete");
    EXPECT_THAT(replica.metrics(), HasSubstr("quay_rotator_leader 1"));
  }
};

TEST_F(FailOver, OneLeadsAndTheOtherTakesOverWhenItIsToldToStop) {
  OperatorProcess first;
  const auto second = start_waiting();
  expect_leading(first);
  expect_waiting(*second);
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("first");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(first.terminate(), 0);

  // Well within the 15 s of a lease: it was released.
  second->wait_for_log("caches are complete", std::chrono::seconds(10));
  expect_leading(*second);
  annotate_rotate_now("second");
  ASSERT_TRUE(wait_until_rotated(2));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 2);
}

// Killed when Quay has committed: the other replica finds the ledger, once the lease has expired.
TEST_F(FailOver, TheLeaderIsKilledInTheMiddleOfARotation) {
  OperatorProcess first({.quay_timeout = "30s"});
  const auto second = start_waiting({.quay_timeout = "30s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string uid = secret_uid();
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  first.kill9();
  cluster().quay().remove("/faults");

  ASSERT_TRUE(wait_until_rotated(1));
  expect_leading(*second);
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(secret_uid(), uid);
  EXPECT_EQ(regenerations(), 1);
}

// The leader is frozen right before the request to Quay, and wakes when another one has served it.
TEST_F(FailOver, ALeaderThatWasFrozenPastItsLeaseEndsWithoutRegenerating) {
  OperatorProcess first({.environment = {{"QUAY_ROTATOR_FAIL_POINT_FREEZES", "1"}},
                         .fail_point = "before-regenerate"});
  const auto second = start_waiting();
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  int status = 0;
  ASSERT_EQ(waitpid(first.pid(), &status, WUNTRACED), first.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(regenerations(), 0);

  ASSERT_TRUE(wait_until_rotated(1));
  expect_leading(*second);
  first.signal(SIGCONT);
  EXPECT_EQ(first.wait(), 1) << "the lease is lost";
  annotate_rotate_now("second");
  ASSERT_TRUE(wait_until_rotated(2));
  EXPECT_EQ(regenerations(), 2) << "nothing came of the one that was frozen";
  EXPECT_EQ(secret_token(), quay_token());
}

// The same without any election: what stops the frozen one is the age of its own ledger.
TEST_F(FailOver, AProcessThatWasFrozenPastItsLedgerDoesNotRegenerate) {
  const OperatorProcess first({.arguments = {"--leader-elect=false"},
                               .environment = {{"QUAY_ROTATOR_FAIL_POINT_FREEZES", "1"}},
                               .fail_point = "before-regenerate"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  int status = 0;
  ASSERT_EQ(waitpid(first.pid(), &status, WUNTRACED), first.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  const OperatorProcess second({.arguments = {"--leader-elect=false"}, .pod = "quay-rotator-1"});
  ASSERT_TRUE(wait_until_rotated(1));
  first.signal(SIGCONT);
  const json ended = first.wait_for_log("not done");
  ASSERT_TRUE(ended.is_object());
  EXPECT_EQ(ended.at("result"), "started-over");
  EXPECT_EQ(regenerations(), 1);
  EXPECT_EQ(secret_token(), quay_token());
}

TEST_F(FailOver, AShutdownFinishesWhatIsUnderWay) {
  OperatorProcess running({.quay_timeout = "30s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}, {"times", 1}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  running.signal(SIGTERM);
  running.wait_for_log("stopping: finishing what is under way");
  cluster().quay().remove("/faults");
  EXPECT_EQ(running.wait(), 0);

  // Nobody runs any more: what is there, it left.
  const json left = rotation();
  EXPECT_FALSE(left.at("status").contains("rotation"));
  EXPECT_EQ(left.at("status").at("lastHandledRotateRequest"), "now");
  EXPECT_EQ(condition(left, "Ready").at("status"), "True");
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 1);
}

}  // namespace
}  // namespace quay_rotator::cluster
