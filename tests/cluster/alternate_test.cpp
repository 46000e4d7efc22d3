// Two robots that take turns: no pull fails, ever.
#include <atomic>
#include <iostream>
#include <thread>

#include "api/group.h"
#include "base/base64.h"
#include "base/time.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;

class Alternate : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    cluster().quay().put("/robots/acme+" + standby(), json::object());
    grant({{"acme+" + robot(), "read"}, {"acme+" + standby(), "read"}});
  }
  [[nodiscard]] std::string standby() const { return robot() + "-b"; }
  static void grant(const json& permissions, const std::string& repository = "app") {
    cluster().quay().put("/repositories/acme/" + repository, {{"permissions", permissions}});
  }
  [[nodiscard]] json strategy(const json& more = json::object()) const {
    json alternate{{"standby", {{"name", standby()}}}};
    alternate.merge_patch(more);
    return {{"strategy", {{"type", "Alternate"}, {"alternate", alternate}}}};
  }
  std::string user() { return user_of(cluster().get(kube::secrets, key("quay-pull"))); }
  static std::string user_of(const json& secret) {
    const auto text =
        base::base64_decode(secret.at("data").at(".dockerconfigjson").get<std::string>());
    return json::parse(text->reveal()).at("auths").begin()->at("username");
  }
  // Asks for one, and waits until it is over.
  void turn(const std::string& request) {
    annotate_rotate_now(request);
    EXPECT_TRUE(wait_until_served(request));
  }
  int turns() { return regenerations("acme+" + robot()) + regenerations("acme+" + standby()); }
  json robot_status(const std::string& role) {
    const json object = rotation();
    for (const json& one : object.at("status").at("robots")) {
      if (one.at("role") == role) return one;
    }
    return json();
  }

  void set_replaced_at(base::WallTime time) {
    json object = rotation();
    for (json& one : object["status"]["robots"]) {
      if (one["role"] == "Standby") one["replacedAt"] = base::format_time(time);
    }
    cluster().kubectl_ok({"-n", ns(), "replace", "--subresource=status", "-f", "-"}, object.dump());
  }

  // Pulls without a pause, each time with the Secret as it is, from another thread.
  class Puller {
   public:
    explicit Puller(Alternate& test) : thread_([this, &test] { run(test); }) {}
    ~Puller() { stop(); }
    Puller(const Puller&) = delete;
    Puller& operator=(const Puller&) = delete;
    void stop() {
      over_ = true;
      if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] int pulls() const { return pulls_; }
    [[nodiscard]] int failed() const { return failed_; }

   private:
    void run(Alternate& test) {
      while (!over_) {
        const json secret = cluster().get(kube::secrets, test.key("quay-pull"));
        if (test.pull_with(secret).code != 0) ++failed_;
        ++pulls_;
      }
    }

    std::atomic<bool> over_ = false;
    std::atomic<int> pulls_ = 0;
    std::atomic<int> failed_ = 0;
    std::thread thread_;
  };
  // How many failed, of how many, while the token was replaced that often.
  std::pair<int, int> pull_through(int rotations) {
    Puller puller(*this);
    for (int rotation = 1; rotation <= rotations; ++rotation) {
      turn("turn-" + std::to_string(rotation));
      const int before = puller.pulls();
      while (puller.pulls() < before + 2) std::this_thread::yield();
    }
    puller.stop();
    return {puller.failed(), puller.pulls()};
  }
  // A pull between Quay's commit and the Secret.
  ProgramResult pull_during_a_turn() {
    const json fault = add_fault({{"action", "hold"},
                                  {"at", {"after"}},
                                  {"times", 1},
                                  {"match", {{"endpoint", "regenerate"}}}});
    annotate_rotate_now("held");
    EXPECT_EQ(held_by(fault), "after");
    ProgramResult pull = pull_with(cluster().get(kube::secrets, key("quay-pull")));
    cluster().quay().remove("/faults");
    return pull;
  }
};

TEST_F(Alternate, NoPullFailsThroughTenTurns) {
  const OperatorProcess running;
  apply_rotation({.more = strategy()});
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(turns(), 0);
  const auto [failed, pulls] = pull_through(10);
  std::cout << "Alternate: " << failed << " of " << pulls << " pulls failed through 10 turns\n";
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(turns(), 10);
  EXPECT_EQ(user(), "acme+" + robot());
  expect_secret_current();
}

// For comparison, at the moment that makes the difference.
TEST_F(Alternate, APullBetweenCommitAndSecretSucceedsWhereRegenerateFails) {
  const OperatorProcess running({.quay_timeout = "60s"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  EXPECT_NE(pull_during_a_turn().code, 0) << "Regenerate";
  turn("after");
  const auto [failed, pulls] = pull_through(10);
  std::cout << "Regenerate: " << failed << " of " << pulls
            << " pulls failed through 10 rotations\n";
  apply_rotation({.more = strategy()});
  cluster().wait_for("the standby to be known", api::rotations, key("puller"),
                     [](const json& it) { return it["status"]["robots"].size() == 2; });
  turn("first");
  const ProgramResult pull = pull_during_a_turn();
  EXPECT_EQ(pull.code, 0) << "Alternate: " << pull.output;
}

TEST_F(Alternate, TheReplacedTokenIsRetiredWhenItsOverlapIsOver) {
  const OperatorProcess running;
  apply_rotation({.more = strategy({{"overlap", "1m"}})});
  ASSERT_TRUE(wait_until_ready());
  turn("now");
  EXPECT_EQ(user(), "acme+" + standby());
  EXPECT_EQ(rotation().at("status").at("next").at("reason"), "Retire");
  const std::string valid = quay_token("acme+" + robot());
  // As if the minute were over: a test does not wait for it.
  set_replaced_at(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) -
                  std::chrono::seconds(90));
  cluster().wait_for("retired", api::rotations, key("puller"), [](const json& it) {
    return it["status"]["robots"].dump().find("retiredAt") != std::string::npos;
  });
  EXPECT_NE(quay_token("acme+" + robot()), valid);
  expect_event("Retired");
  expect_pull("quay-pull");
}

TEST_F(Alternate, ATokenThatSomebodyUsesIsNotRetired) {
  const OperatorProcess running;
  apply_rotation({.more = strategy({{"overlap", "1m"}})});
  ASSERT_TRUE(wait_until_ready());
  const json before = cluster().get(kube::secrets, key("quay-pull"));
  turn("now");
  ASSERT_EQ(pull_with(before).code, 0) << "the token of before is valid";
  set_replaced_at(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) -
                  std::chrono::minutes(10));
  ASSERT_TRUE(wait_until_failing("OldCredentialInUse"));
  expect_event("OldCredentialInUse");
  EXPECT_EQ(turns(), 1);
  EXPECT_EQ(pull_with(before).code, 0);
}

TEST_F(Alternate, RobotsThatDifferTakeNoTurn) {
  const std::string repository = "of-" + robot();
  grant({{"acme+" + robot(), "read"}}, repository);
  const OperatorProcess running;
  apply_rotation({.more = strategy()});
  const auto refused = wait_until_failing("RobotsDiffer");
  ASSERT_TRUE(refused);
  EXPECT_THAT(condition(*refused, "Ready").at("message"),
              HasSubstr("only " + robot() + " may use repository " + repository));
  expect_pull("quay-pull");
  grant({{"acme+" + robot(), "read"}, {"acme+" + standby(), "read"}}, repository);
  turn("now");
  EXPECT_EQ(turns(), 1);
}

TEST_F(Alternate, TheStrategyChangesInPlaceWithoutAFailedPull) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  const std::string token = quay_token();
  Puller puller(*this);
  apply_rotation({.more = strategy()});
  cluster().wait_for("the standby to be known", api::rotations, key("puller"),
                     [](const json& it) { return it["status"]["robots"].size() == 2; });
  turn("now");
  EXPECT_EQ(user(), "acme+" + standby());
  apply_rotation();
  cluster().wait_for("one robot again", api::rotations, key("puller"), [&](const json& it) {
    return it["status"]["robots"].size() == 1 &&
           it["status"]["observedGeneration"] == it["metadata"]["generation"];
  });
  puller.stop();
  EXPECT_EQ(puller.failed(), 0) << "of " << puller.pulls();
  EXPECT_EQ(user(), "acme+" + robot());
  EXPECT_EQ(quay_token(), token) << "nothing was regenerated for it";
}

}  // namespace
}  // namespace quay_rotator::cluster
