// The simulated Quay, asked as quay-rotator asks a real one.
#include "simulation/simulated_quay.h"

#include <gmock/gmock.h>

#include "quay/registry_login.h"
#include "quay/robots_api.h"

namespace quay_rotator::simulation {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NoLog final : public base::LogSink {
 public:
  void write(base::LogLevel /*level*/, std::string_view /*message*/,
             const std::vector<base::LogField>& /*fields*/) override {}
};

class SimulatedQuayTest : public ::testing::Test {
 protected:
  SimulatedQuayTest() {
    for (const char* robot :
         {"acme+puller", "acme+standby", "zinc+puller", "admin+ci", "admin+cd"}) {
      quay.add_robot(robot);
    }
  }
  void run(const std::function<void(quay::RobotsApi&)>& body) {
    world.run([&] {
      Connection connection(process, quay);
      quay::RobotsApi api(connection, quay.origin(), {});
      body(api);
    });
  }
  [[nodiscard]] base::SecretString token() const {
    return base::SecretString::copy_of(quay.api_token());
  }
  void log_in(const std::string& robot) {
    Connection connection(process, quay);
    quay::RegistryLogin registry(connection, quay.origin(), {});
    ASSERT_TRUE(registry.login({robot, base::SecretString::copy_of(quay.token(robot))}, {}));
  }

  NoLog log;
  testing::VirtualExecutor world{1};
  Process process{world, log};
  SimulatedQuay quay{world, 1};
};

TEST_F(SimulatedQuayTest, ShowsWhatRobotsMayDo) {
  run([&](quay::RobotsApi& api) {
    for (const auto& [organization, first, second] :
         {std::tuple("acme", "puller", "standby"), {"", "ci", "cd"}}) {
      const auto equal = api.compare(organization, first, second, token(), {});
      ASSERT_TRUE(equal.has_value());
      EXPECT_THAT(equal->differences, IsEmpty());
      EXPECT_TRUE(equal->roles_compared);
    }
    auto& rights = quay.rights("acme+standby");
    rights.teams = {"devs"};
    rights.repositories = {{"app", "write"}};
    rights.default_permissions = {{"", "read"}};
    const auto unequal = api.compare("acme", "puller", "standby", token(), {});
    ASSERT_TRUE(unequal.has_value());
    EXPECT_THAT(unequal->differences,
                ElementsAre("puller may use repository app (read), standby (write)",
                            "only standby is in team devs",
                            "only standby may use new repositories (read)"));
    quay.troubles.no_rights_as_user = true;
    const auto without_roles = api.compare("acme", "puller", "standby", token(), {});
    ASSERT_TRUE(without_roles.has_value());
    EXPECT_FALSE(without_roles->roles_compared);
    EXPECT_EQ(without_roles->differences.size(), 2U);
    quay.troubles.robots_missing = {"acme+standby"};
    EXPECT_EQ(api.compare("acme", "puller", "standby", token(), {}).error().kind,
              quay::Error::Kind::robot_not_found);
  });
}

TEST_F(SimulatedQuayTest, LoginsMoveLastAccessedOnceAMinute) {
  run([&](quay::RobotsApi& api) {
    const auto last = [&] {
      const auto robot = api.get({"acme", "puller"}, token(), {});
      EXPECT_TRUE(robot.has_value());
      return robot ? robot->last_accessed : std::nullopt;
    };
    EXPECT_EQ(last(), std::nullopt);
    log_in("acme+puller");
    const auto first = last();
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(*first, std::chrono::floor<seconds>(*quay.last_accessed("acme+puller")));
    world.sleep_for(seconds(50), {});
    log_in("acme+puller");
    EXPECT_EQ(last(), first);
    world.sleep_for(seconds(11), {});
    log_in("acme+puller");
    EXPECT_GE(*last() - *first, minutes(1));
    EXPECT_EQ(quay.last_accessed("acme+standby"), std::nullopt);
    EXPECT_EQ(api.compare("acme", "standby", "puller", token(), {})->second_last_accessed, last());
  });
}

TEST_F(SimulatedQuayTest, LogsWhoRegenerated) {
  run([&](quay::RobotsApi& api) {
    const quay::Robot puller{"acme", "puller"};
    const base::WallTime began = world.wall_now();
    const auto of_log = [&](const quay::Robot& robot) {
      const auto found = api.regenerations(robot, began, token(), {});
      EXPECT_TRUE(found.has_value());
      std::vector<std::string> entries;
      for (const auto& entry : found->entries) {
        entries.push_back(entry.performer + " " + entry.application);
      }
      if (found->incomplete) entries.emplace_back("incomplete");
      return entries;
    };
    quay.regenerate_in_ui("acme+puller");
    for (int i = 0; i < 50; ++i) log_in("acme+standby");
    ASSERT_TRUE(api.regenerate(puller, token(), {}).has_value());
    quay.regenerate_in_ui("zinc+puller");
    quay.regenerate_in_ui("admin+ci");
    EXPECT_THAT(of_log(puller), ElementsAre("admin automation", "admin "));
    EXPECT_THAT(of_log({"", "ci"}), ElementsAre("admin "));
    const auto used = api.regenerations({"acme", "standby"}, began, token(), {});
    ASSERT_TRUE(used.has_value());
    ASSERT_EQ(used->uses.size(), 1U);
    EXPECT_EQ(used->uses[0].count, 50);
    for (int i = 0; i < 200; ++i) log_in("acme+standby");
    EXPECT_THAT(of_log(puller), ElementsAre("incomplete"));
  });
}

}  // namespace
}  // namespace quay_rotator::simulation
