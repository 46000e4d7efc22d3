// A SIGKILL after every step of the protocol: whatever was under way is finished by the next life
// of the same pod, with one regeneration for one request, and no Secret is lost or made anew.
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

constexpr int killed = 128 + 9;

// Parameters name tests: no hyphens, no colons.
std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& letter : name) {
    if (letter == '-' || letter == ':') letter = '_';
  }
  return name;
}

// The parameter: the fail point, counted from the start of the process. Its first life adopts the
// token before it is asked to rotate, so steps that adoption has too come later than the first
// time.
class Crash : public ClusterTest, public testing::WithParamInterface<std::string> {};

TEST_P(Crash, IsRecoveredFromWithOneRegeneration) {
  OperatorProcess dying({.fail_point = GetParam()});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string uid = secret_uid();
  const std::string before = secret_token();
  annotate_rotate_now("first");
  ASSERT_EQ(dying.wait(), killed);

  OperatorProcess recovering;
  const auto rotated = wait_until_rotated(1);
  ASSERT_TRUE(rotated);
  EXPECT_EQ(condition(*rotated, "Ready").at("status"), "True");
  EXPECT_EQ(rotated->at("status").at("lastHandledRotateRequest"), "first");
  EXPECT_NE(secret_token(), before);
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 1);
  EXPECT_EQ(secret_uid(), uid) << "a Secret is updated in place (I4)";

  // A second request, served, shows that nothing else was left to do for the first.
  annotate_rotate_now("second");
  ASSERT_TRUE(wait_until_rotated(2));
  EXPECT_EQ(regenerations(), 2);
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(recovering.terminate(), 0);
}

INSTANTIATE_TEST_SUITE_P(After, Crash,
                         testing::Values("read-robot:2", "dry-run", "login:2", "ledger",
                                         "before-regenerate", "regenerate", "publish:2", "login:3",
                                         "commit:2", "event:2"),
                         test_name);

// The parameter: the fail point; the process dies during the adoption.
class CrashWhileAdopting : public Crash {};

TEST_P(CrashWhileAdopting, IsRecoveredFromWithoutRegenerating) {
  OperatorProcess dying({.fail_point = GetParam()});
  apply_rotation();
  ASSERT_EQ(dying.wait(), killed);

  OperatorProcess recovering;
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(secret_token(), quay_token());
  const std::string uid = secret_uid();
  annotate_rotate_now("first");
  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(regenerations(), 1) << "the one that was asked for";
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(secret_uid(), uid);
  EXPECT_EQ(recovering.terminate(), 0);
}

INSTANTIATE_TEST_SUITE_P(After, CrashWhileAdopting,
                         testing::Values("read-robot", "publish", "login", "commit", "event"),
                         test_name);

class CrashAtQuay : public ClusterTest {};

// The worst moment there is: Quay has committed, and the answer with the token is on its way.
TEST_F(CrashAtQuay, TheAnswerIsLostWithTheProcess) {
  OperatorProcess dying({.quay_timeout = "30s"});
  const std::vector<std::string> secrets{"one", "two"};
  apply_rotation({.secrets = secrets});
  ASSERT_TRUE(wait_until_ready());
  const std::vector<std::string> uids{secret_uid("one"), secret_uid("two")};
  const json fault = add_fault({{"action", "hold"}, {"at", {"after"}}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "after");
  EXPECT_NE(secret_token("one"), quay_token()) << "there is an outage now";
  dying.kill9();
  cluster().quay().remove("/faults");

  const OperatorProcess recovering({.quay_timeout = "30s"});
  const auto rotated = wait_until_rotated(1);
  ASSERT_TRUE(rotated);
  EXPECT_EQ(condition(*rotated, "Ready").at("status"), "True");
  for (const std::string& secret : secrets) EXPECT_EQ(secret_token(secret), quay_token());
  EXPECT_EQ((std::vector<std::string>{secret_uid("one"), secret_uid("two")}), uids);
  EXPECT_EQ(regenerations(), 1);
}

// Killed while Quay has not begun: the request still arrives, after the process that sent it has
// gone.
TEST_F(CrashAtQuay, TheRequestOutlivesTheProcess) {
  OperatorProcess dying;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const json fault = add_fault({{"action", "hold"}, {"at", {"before"}}});
  annotate_rotate_now("now");
  ASSERT_EQ(held_by(fault), "before");
  dying.kill9();
  OperatorProcess recovering;
  ASSERT_TRUE(wait_until_failing("RotationUnclear"));
  cluster().quay().remove("/faults");

  ASSERT_TRUE(wait_until_rotated(1));
  EXPECT_EQ(secret_token(), quay_token());
  EXPECT_EQ(regenerations(), 1) << "not sent again before twice the deadline";
}

}  // namespace
}  // namespace quay_rotator::cluster
