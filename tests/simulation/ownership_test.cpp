// Who owns a robot, told as stories: those who may not read it, those who make up names, and two
// who come at the same moment.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/group.h"
#include "http/allowed_hosts.h"
#include "simulation/story.h"

namespace quay_rotator::simulation {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Ownership : public Story {
 protected:
  static constexpr const char* wrong_token = "QRSIMTOKENWRONG";

  // The victim is `rotation`: team-a, by the Quay's own name.
  void adopt() {
    live({}, options);
    expect_owner(rotation);
  }
  // Another namespace with a claim to the same robot.
  kube::ObjectKey claim_elsewhere(const ConnectionOptions& connection, bool verify = true) {
    world.create_connection(connection);
    return world.create_rotation({.verify = verify, .name_space = connection.name_space});
  }
  void expect_owner(const kube::ObjectKey& key) {
    EXPECT_NE(reason(key), "Conflict") << key.text();
    EXPECT_EQ(world.token_in(kube::ObjectKey{key.name_space, "quay-pull"}), world.token_of(key));
  }
  void expect_conflict(const kube::ObjectKey& key) { EXPECT_EQ(reason(key), "Conflict"); }
  // The victim's rotations go on.
  void expect_undisturbed() {
    const int before = world.commits(rotation);
    world.rotate_now(rotation);
    world.advance(minutes(1));
    EXPECT_EQ(world.commits(rotation), before + 1);
    expect_owner(rotation);
  }

  ReplicaOptions options;
};

TEST_F(Ownership, WhoMayNotReadTheRobotBlocksNobodyHoweverOld) {
  const auto old = claim_elsewhere({.name_space = "team-b", .api_token = wrong_token});
  world.advance(seconds(5));
  adopt();
  expect_undisturbed();
  expect_conflict(old);
  expect_no_violation();
}

TEST_F(Ownership, AConflictNamesNobodyOfAnotherNamespace) {
  adopt();
  const auto other = claim_elsewhere({.name_space = "team-b"});
  world.advance(minutes(1));
  expect_conflict(other);
  EXPECT_THAT(world.status(other).dump(), Not(HasSubstr("team-a")));
  const auto near = world.create_rotation({.name = "near", .targets = {"near"}});
  world.advance(minutes(1));
  EXPECT_THAT(world.status(near).dump(), HasSubstr("team-a/puller"));
}

TEST_F(Ownership, LapsesWhenQuayHasRefusedForLong) {
  adopt();
  const auto next = claim_elsewhere({.name_space = "team-b"});
  world.advance(minutes(1));
  world.store_api_token({"team-a", "quay"}, wrong_token);
  world.quay.replace_api_token();
  world.store_api_token({"team-b", "quay"}, world.quay.api_token());
  world.advance(minutes(40));
  expect_conflict(next);
  world.advance(hours(2));
  expect_owner(next);
  expect_conflict(rotation);
  expect_no_violation();
}

TEST_F(Ownership, StaysWhileQuayIsAway) {
  adopt();
  const auto next = claim_elsewhere({.name_space = "team-b"});
  world.advance(minutes(1));
  world.quay.troubles.down = true;
  world.rotate_now(rotation);
  world.advance(hours(5));
  world.start(0);
  world.advance(hours(5));
  expect_conflict(next);
  world.quay.troubles.down = false;
  world.advance(minutes(10));
  expect_owner(rotation);
  expect_conflict(next);
  expect_no_violation();
}

TEST_F(Ownership, AConnectionThatIsTurnedToAnotherQuayIsDatedAnew) {
  world.add_quay();
  const auto parked = claim_elsewhere({.name_space = "team-b", .quay = 1});
  world.start(0);
  world.advance(minutes(2));
  expect_owner(parked);
  adopt();
  world.store_api_token({"team-b", "quay"}, world.quay.api_token());
  world.api.edit(api::connections, {"team-b", "quay"},
                 [&](json& object) { object["spec"]["url"] = world.quay.origin(); });
  world.advance(minutes(5));
  expect_conflict(parked);
  expect_undisturbed();
  expect_no_violation();
}

TEST_F(Ownership, OfTwoSpellingsOfOneQuayOneOwns) {
  world.quay.aliases = {"https://10.0.0.7:8080", "https://quay.internal:8080"};
  const auto first =
      claim_elsewhere({.name_space = "team-b", .url = "https://10.0.0.7:8080"}, false);
  world.start(0);
  world.advance(minutes(1));
  const auto second =
      claim_elsewhere({.name_space = "team-c", .url = "https://quay.internal:8080"}, false);
  world.rotate_now(first);
  world.rotate_now(second);
  world.advance(minutes(2));
  expect_conflict(second);
  EXPECT_EQ(world.commits(first), 1);
  expect_no_violation();
}

TEST_F(Ownership, TheQuaysOwnNameComesBeforeAnother) {
  world.quay.aliases = {"https://quay.internal"};
  const auto old = claim_elsewhere({.name_space = "team-b", .url = "https://quay.internal"}, false);
  world.start(0);
  world.advance(minutes(2));
  expect_owner(old);
  adopt();
  expect_undisturbed();
  expect_conflict(old);
  expect_no_violation();
}

TEST_F(Ownership, AServerThatCallsItselfByTheVictimsNameDisturbsNobody) {
  SimulatedQuay& forger = world.add_quay();
  forger.service = world.quay.host();
  const auto forged = claim_elsewhere({.name_space = "team-b", .quay = 1}, false);
  world.start(0);
  world.advance(minutes(2));
  expect_owner(forged);
  adopt();
  expect_undisturbed();
  world.start(0);
  world.advance(minutes(2));
  expect_undisturbed();
  expect_conflict(forged);
}

class Forged : public Ownership {
 protected:
  Forged() {
    options.allowed_hosts = *http::AllowedHosts::parse({"*.example.com"});
    SimulatedQuay& forger = world.add_quay();
    world.create_connection({.name_space = "team-b"});
    world.api.create(kube::secrets, {{"apiVersion", "v1"},
                                     {"kind", "Secret"},
                                     {"metadata", {{"name", "ca"}, {"namespace", "team-b"}}},
                                     {"type", "Opaque"},
                                     {"data", {{"ca.crt", "UEVN"}}}});
    world.store_api_token({"team-b", "quay"}, forger.api_token());
    forger.add_robot("acme+puller");
  }
  void edit_connection(const json& spec) {
    world.api.edit(api::connections, {"team-b", "quay"},
                   [&](json& object) { object["spec"].merge_patch(spec); });
  }
  kube::ObjectKey claim() { return world.create_rotation({.name_space = "team-b"}); }

  const json ca = {{"ca", {{"secretRef", {{"name", "ca"}, {"key", "ca.crt"}}}}}};
  const json proxy = {{"proxyURL", "http://quay-2.example.com:3128"}};
};

TEST_F(Forged, ByACaAloneNothingIsProven) {
  edit_connection(ca);
  const auto forged = claim();
  world.advance(seconds(5));
  adopt();
  EXPECT_EQ(world.token_in(kube::ObjectKey{"team-b", "quay-pull"}), "");
  expect_conflict(forged);
  expect_undisturbed();
}

TEST_F(Forged, ByAProxyAloneNothingIsProven) {
  edit_connection(proxy);
  const auto forged = claim();
  world.advance(seconds(5));
  adopt();
  EXPECT_EQ(world.token_in(kube::ObjectKey{"team-b", "quay-pull"}), "");
  expect_conflict(forged);
  expect_undisturbed();
}

TEST_F(Forged, ByBothItRanksBehindTheVictim) {
  edit_connection(ca);
  edit_connection(proxy);
  const auto forged = claim();
  world.start(0, options);
  world.advance(minutes(2));
  EXPECT_NE(world.token_in(kube::ObjectKey{"team-b", "quay-pull"}), "");
  adopt();
  expect_undisturbed();
  expect_conflict(forged);
  // What was forged counts for nothing without the forgery.
  edit_connection({{"ca", nullptr}, {"proxyURL", nullptr}});
  world.advance(minutes(10));
  expect_undisturbed();
}

TEST_F(Ownership, OfTwoThatComeAtTheSameMomentOneRotatesUnderTwoLeaders) {
  for (const bool late : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      SCOPED_TRACE(seed);
      World two(seed);
      two.create_connection();
      two.create_connection({.name_space = "team-b"});
      two.start(0, {.leader_elect = false});
      two.start(1, {.leader_elect = false});
      two.advance(minutes(1));
      two.api.faults.watch_lag = late ? seconds(20) : seconds(0);
      two.api.lag_watches(two.api.faults.watch_lag);
      two.api.faults.late_write = late ? 0.3 : 0;
      const auto one = two.create_rotation({.initially_rotate = true});
      two.create_rotation({.initially_rotate = true, .name_space = "team-b"});
      two.advance(minutes(2));
      two.api.faults = {};
      two.api.lag_watches({});
      two.advance(minutes(30));
      EXPECT_EQ(two.commits(one), 1);
      EXPECT_THAT(two.observer.violations(), IsEmpty());
      EXPECT_THAT(two.observer.unsettled(), IsEmpty());
    }
  }
}

}  // namespace
}  // namespace quay_rotator::simulation
