#include "connection/newcomers.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/virtual_executor.h"

namespace quay_rotator::connection {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NewcomersTest : public ::testing::Test {
 protected:
  static api::RobotTokenRotation rotation(const std::string& robot) {
    api::RobotTokenRotation rotation;
    rotation.meta.key = {"team", robot};
    rotation.spec.connection = "quay";
    rotation.spec.robot = {"acme", robot};
    return rotation;
  }
  static kube::ObjectKey key(const std::string& robot) { return {"team", robot}; }
  void note(const api::RobotTokenRotation& rotation) { newcomers.note(rotation, true); }
  void wait(const std::vector<std::string>& robots) {
    for (const std::string& robot : robots) note(rotation(robot));
  }

  enum class Is { robot, list, wait, wait_until, listed };
  // A list that it leads to is kept in `list`, what it was told in `told`.
  Is way(const std::string& robot, const Newcomers::Session& by) {
    Newcomers::Way way = newcomers.way(key(robot), by);
    if (auto* read = std::get_if<Newcomers::ReadList>(&way)) {
      list = std::move(*read);
      return Is::list;
    }
    if (const auto* later = std::get_if<Newcomers::Wait>(&way)) {
      return later->until ? Is::wait_until : Is::wait;
    }
    auto* credential = std::get_if<quay::RobotCredential>(&way);
    if (credential == nullptr) return Is::robot;
    told = credential->robot + " " + std::string(credential->token.reveal());
    return Is::listed;
  }
  Is way(const std::string& robot) { return way(robot, session); }
  void tell(const std::string& name, const std::string& token) {
    if (list->wants(name)) list->take({name, base::SecretString::copy_of(token)});
  }
  void end(bool complete = true) {
    if (complete) list->complete();
    list.reset();
  }

  Newcomers::Session session = std::make_shared<int>(1);

  testing::VirtualExecutor executor{1};
  std::vector<std::string> woken;
  Newcomers newcomers{executor, [this](const kube::ObjectKey& key) { woken.push_back(key.name); }};
  std::unique_ptr<Newcomers::Listing> list;
  std::string told;
};

TEST_F(NewcomersTest, OneAloneIsReadByItself) {
  EXPECT_EQ(way("aa"), Is::robot) << "nobody has told of it";
  wait({"aa"});
  EXPECT_EQ(way("aa"), Is::robot);
  auto other = rotation("bb");
  other.spec.robot.organization = "other";
  note(other);
  EXPECT_EQ(way("aa"), Is::robot);
}

TEST_F(NewcomersTest, SeveralAreReadFromOneList) {
  wait({"aa", "bb", "cc"});
  ASSERT_EQ(way("aa"), Is::list);
  EXPECT_EQ(way("bb"), Is::wait);
  EXPECT_EQ(way("cc"), Is::wait);
  EXPECT_FALSE(list->wants("acme+somebody"));
  tell("acme+aa", "A");
  EXPECT_EQ(way("aa"), Is::listed) << "handed over while the list goes on";
  tell("acme+bb", "B");
  EXPECT_THAT(woken, IsEmpty());
  end();
  EXPECT_THAT(woken, ElementsAre("bb", "cc"));
  EXPECT_EQ(way("bb"), Is::listed);
  EXPECT_EQ(told, "acme+bb B");
  EXPECT_EQ(way("bb"), Is::robot) << "once";
  EXPECT_EQ(way("cc"), Is::robot) << "looked for in vain";
}

TEST_F(NewcomersTest, AListThatFailsIsFollowedByOwnReadsForAWhile) {
  wait({"aa", "bb"});
  ASSERT_EQ(way("aa"), Is::list);
  tell("acme+aa", "A");
  EXPECT_EQ(way("bb"), Is::wait);
  end(/*complete=*/false);
  EXPECT_THAT(woken, ElementsAre("bb"));
  EXPECT_EQ(way("aa"), Is::robot);
  EXPECT_EQ(way("bb"), Is::robot);
  executor.advance(Newcomers::kept);
  EXPECT_EQ(way("aa"), Is::list);
}

TEST_F(NewcomersTest, WhoComesAfterAListWaitsForTheNextOne) {
  wait({"aa", "bb"});
  ASSERT_EQ(way("aa"), Is::list);
  tell("acme+aa", "A");
  tell("acme+bb", "B");
  end();
  EXPECT_EQ(way("aa"), Is::listed);
  wait({"cc", "dd"});
  EXPECT_EQ(way("cc"), Is::wait_until);
  EXPECT_EQ(way("bb"), Is::listed);
  executor.advance(Newcomers::pause);
  ASSERT_EQ(way("dd"), Is::list);
  end();
}

TEST_F(NewcomersTest, TokensAreNotKeptForLong) {
  wait({"aa", "bb", "cc"});
  ASSERT_EQ(way("aa"), Is::list);
  for (const char* name : {"acme+aa", "acme+bb", "acme+cc"}) tell(name, "T");
  end();
  executor.advance(Newcomers::kept - milliseconds(1));
  EXPECT_EQ(way("aa"), Is::listed);
  executor.advance(milliseconds(1));
  EXPECT_EQ(way("bb"), Is::list) << "anew";
  tell("acme+cc", "N");
  end();
  note([] {
    auto gone = rotation("cc");
    gone.spec.suspend = true;
    return gone;
  }());
  wait({"cc"});
  EXPECT_NE(way("cc"), Is::listed) << "it did not wait in between";
}

TEST_F(NewcomersTest, WhatAnotherSessionWasToldIsNoAnswer) {
  wait({"aa", "bb"});
  ASSERT_EQ(way("aa"), Is::list);
  tell("acme+aa", "A");
  tell("acme+bb", "B");
  const Newcomers::Session other = std::make_shared<int>(2);
  EXPECT_EQ(way("aa", other), Is::wait);
  end();
  EXPECT_EQ(way("aa", other), Is::wait_until);
  executor.advance(Newcomers::pause);
  EXPECT_EQ(way("aa", other), Is::list);
  EXPECT_EQ(way("bb"), Is::wait) << "the tokens of before are gone";
  end();
}

TEST_F(NewcomersTest, AListThatIsReadAnywayIsListenedTo) {
  EXPECT_EQ(newcomers.listen({"team", "quay"}, "acme", session), nullptr);
  wait({"aa"});
  list = newcomers.listen({"team", "quay"}, "acme", session);
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(newcomers.listen({"team", "quay"}, "acme", session), nullptr) << "one at a time";
  EXPECT_EQ(way("aa"), Is::wait);
  tell("acme+aa", "A");
  newcomers.forget(key("aa"));
  EXPECT_FALSE(list->wants("acme+aa"));
  end();
}

TEST_F(NewcomersTest, ARobotOfAUserIsKnownByItsShortName) {
  for (const char* name : {"aa", "bb"}) {
    auto of_user = rotation(name);
    of_user.spec.robot.organization.clear();
    note(of_user);
  }
  ASSERT_EQ(way("aa"), Is::list);
  tell("admin+aa", "A");
  tell("admin+bb", std::string(Newcomers::longest_token + 1, 'B'));
  end();
  EXPECT_EQ(way("aa"), Is::listed);
  EXPECT_EQ(told, "admin+aa A");
  EXPECT_EQ(way("bb"), Is::robot) << "that is no token of Quay's";
}

TEST_F(NewcomersTest, OnlyWhatALoginWillProveAndNothingForbidsWaits) {
  const auto never = [&](const char* why, auto change) {
    auto changed = rotation("aa");
    change(changed);
    note(changed);
    wait({"bb"});
    EXPECT_EQ(way("bb"), Is::robot) << why;
    EXPECT_EQ(way("aa"), Is::robot) << why;
    newcomers.forget(key("aa"));
    newcomers.forget(key("bb"));
  };
  using Rotation = api::RobotTokenRotation;
  never("unverified", [](Rotation& it) { it.spec.verify = api::VerifyLevel::none; });
  never("adopted", [](Rotation& it) {
    it.status.robots = {{.name = "acme+a", .fingerprint = base::Fingerprint::of("A")}};
  });
  never("ledger", [](Rotation& it) { it.status.rotation = api::Ledger(); });
  never("deleted", [](Rotation& it) { it.deleting = true; });
  never("hurries", [](Rotation& it) { it.rotate_request = "now"; });
  never("missing", [](Rotation& it) {
    it.status.conditions.set("Ready", api::ConditionStatus::false_, "RobotNotFound", "", 1, {});
  });
  wait({"aa", "bb"});
  newcomers.note(rotation("aa"), /*may=*/false);
  EXPECT_EQ(way("bb"), Is::robot);
}

TEST_F(NewcomersTest, OfTwoResourcesForOneRobotOneIsServed) {
  wait({"aa", "bb"});
  auto second = rotation("aa");
  second.meta.key.name = "second";
  note(second);
  ASSERT_EQ(way("bb"), Is::list);
  tell("acme+aa", "A");
  end();
  EXPECT_EQ(way("second"), Is::listed);
  EXPECT_EQ(way("aa"), Is::robot);
}

}  // namespace
}  // namespace quay_rotator::connection
