#include "runtime/store.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/runtime/thing.h"

namespace quay_rotator::runtime {
namespace {

using testing::broken_thing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Thing;
using testing::thing;
using ::testing::UnorderedElementsAre;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    store_.add_listener([this](const auto& before, const auto& after, ChangeCause cause) {
      changes_.push_back((before ? text(*before) : "-") + " > " + (after ? text(*after) : "-") +
                         (cause == ChangeCause::initial ? " initial" : ""));
    });
  }
  static std::string text(const Thing& one) {
    return one.meta.key.text() + "@" + one.meta.resource_version;
  }
  std::vector<std::string> contents() const {
    std::vector<std::string> all;
    store_.each([&](const Thing& one) { all.push_back(text(one)); });
    return all;
  }
  std::vector<std::string> take_changes() { return std::exchange(changes_, {}); }
  void snapshot(TypedStoreWriter<Thing>& writer, const std::vector<nlohmann::json>& objects,
                const std::string& version, const std::string& name_space = "",
                History history = History::goes_on) {
    writer.begin_snapshot(name_space, history);
    for (const auto& object : objects) ASSERT_TRUE(writer.add_to_snapshot(object));
    writer.end_snapshot(version);
  }
  void put(const nlohmann::json& object) { store_.put(*Thing::from_json(object)); }

  Store<Thing> store_;
  TypedStoreWriter<Thing> writer_{store_};
  std::vector<std::string> changes_;
};

TEST_F(StoreTest, FirstSnapshotIsInitialAndLaterOnesAreNot) {
  snapshot(writer_, {thing("a", 1), thing("b", 2)}, "5");
  EXPECT_THAT(take_changes(),
              UnorderedElementsAre("- > team-a/a@1 initial", "- > team-a/b@2 initial"));
  snapshot(writer_, {thing("a", 1), thing("c", 7)}, "8");
  EXPECT_THAT(take_changes(), ElementsAre("team-a/b@2 > -", "- > team-a/c@7"));
  EXPECT_THAT(contents(), UnorderedElementsAre("team-a/a@1", "team-a/c@7"));
}

TEST_F(StoreTest, OldContentStaysVisibleUntilTheSnapshotEnds) {
  snapshot(writer_, {thing("a", 1)}, "1");
  writer_.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer_.add_to_snapshot(thing("b", 2)));
  EXPECT_THAT(contents(), ElementsAre("team-a/a@1"));
  writer_.end_snapshot("2");
  EXPECT_THAT(contents(), ElementsAre("team-a/b@2"));
}

TEST_F(StoreTest, WhatHurriesDoesNotWaitForTheEndOfTheFirstSnapshot) {
  TypedStoreWriter<Thing> writer(store_, [](const Thing& one) { return one.value == "now"; });
  writer.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer.add_to_snapshot(thing("a", 1)));
  ASSERT_TRUE(writer.add_to_snapshot(thing("b", 2, "now")));
  EXPECT_THAT(take_changes(), ElementsAre("- > team-a/b@2 initial"));
  put(thing("b", 7, "done"));
  take_changes();
  writer.end_snapshot("5");
  EXPECT_THAT(take_changes(), ElementsAre("- > team-a/a@1 initial"));
  EXPECT_THAT(contents(), UnorderedElementsAre("team-a/a@1", "team-a/b@7"));

  writer.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer.add_to_snapshot(thing("c", 9, "now")));
  EXPECT_THAT(take_changes(), IsEmpty()) << "only the first one is slow";
}

TEST_F(StoreTest, WhatHurriedAndIsInNoCompleteListIsDeleted) {
  TypedStoreWriter<Thing> writer(store_, [](const Thing&) { return true; });
  writer.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer.add_to_snapshot(thing("a", 1)));
  snapshot(writer, {thing("b", 8)}, "9");
  EXPECT_THAT(contents(), ElementsAre("team-a/b@8"));
}

TEST_F(StoreTest, SnapshotThatBeginsAnewForgetsWhatItHad) {
  writer_.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer_.add_to_snapshot(thing("a", 1)));
  snapshot(writer_, {thing("b", 2)}, "2");
  EXPECT_THAT(contents(), ElementsAre("team-a/b@2"));
}

TEST_F(StoreTest, UnchangedObjectIsNotReadAgain) {
  snapshot(writer_, {thing("a", 1)}, "1");
  take_changes();
  snapshot(writer_, {broken_thing("a", 1)}, "9");
  EXPECT_THAT(contents(), ElementsAre("team-a/a@1"));
  EXPECT_THAT(take_changes(), IsEmpty());
}

TEST_F(StoreTest, EachVisitsManyInOrderWhateverChangesMeanwhile) {
  std::vector<nlohmann::json> things;
  for (int number = 100; number < 400; ++number) {
    things.push_back(thing("t" + std::to_string(number), 1, "v", number % 2 ? "odd" : "even"));
  }
  snapshot(writer_, things, "1");
  std::vector<std::string> names;
  store_.each(
      [&](const Thing& one) {
        names.push_back(one.meta.key.name);
        store_.erase({"odd", one.meta.key.name});
      },
      "odd");
  EXPECT_EQ(names.size(), 150U);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(store_.size(), 150U);
}

TEST_F(StoreTest, ListedTwiceIsThereOnce) {
  snapshot(writer_, {thing("a", 1), thing("a", 1)}, "1");
  EXPECT_THAT(contents(), ElementsAre("team-a/a@1"));
  EXPECT_EQ(take_changes().size(), 1U);
}

TEST_F(StoreTest, OwnWriteOfWhatWasJustListedIsNotTakenForOneThatVanished) {
  writer_.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer_.add_to_snapshot(thing("a", 3)));
  put(thing("a", 3));
  take_changes();
  writer_.end_snapshot("5");
  EXPECT_THAT(take_changes(), IsEmpty());
  EXPECT_THAT(contents(), ElementsAre("team-a/a@3"));
}

TEST_F(StoreTest, SnapshotOfANamespaceTouchesNoOther) {
  TypedStoreWriter<Thing> other(store_);
  snapshot(writer_, {thing("a", 1, "v", "team-a")}, "1", "team-a");
  snapshot(other, {thing("b", 2, "v", "team-b")}, "2", "team-b");
  snapshot(writer_, {}, "3", "team-a");
  EXPECT_THAT(contents(), ElementsAre("team-b/b@2"));
}

TEST_F(StoreTest, OwnWriteDuringARelistOutlivesIt) {
  snapshot(writer_, {thing("a", 1)}, "1");
  writer_.begin_snapshot("", History::goes_on);
  ASSERT_TRUE(writer_.add_to_snapshot(thing("a", 4)));
  put(thing("a", 11));
  put(thing("new", 12));
  take_changes();
  writer_.end_snapshot("10");
  EXPECT_THAT(contents(), UnorderedElementsAre("team-a/a@11", "team-a/new@12"));
  EXPECT_THAT(take_changes(), IsEmpty());
}

TEST_F(StoreTest, ListedObjectReplacesAnOlderOwnWrite) {
  put(thing("a", 3));
  snapshot(writer_, {thing("a", 4)}, "5");
  EXPECT_THAT(contents(), ElementsAre("team-a/a@4"));
}

TEST_F(StoreTest, OlderOrSameVersionChangesNothing) {
  put(thing("a", 10));
  take_changes();
  ASSERT_TRUE(writer_.upsert(thing("a", 9)));
  ASSERT_TRUE(writer_.upsert(thing("a", 10)));
  EXPECT_THAT(take_changes(), IsEmpty());
  // Versions are numbers: "9" sorts after "10" as text.
  ASSERT_TRUE(writer_.upsert(thing("a", 11)));
  EXPECT_THAT(take_changes(), ElementsAre("team-a/a@10 > team-a/a@11"));
}

TEST_F(StoreTest, DeletionIsNotUndoneByAnOlderWrite) {
  ASSERT_TRUE(writer_.upsert(thing("a", 5)));
  ASSERT_TRUE(writer_.erase(thing("a", 7)));
  put(thing("a", 6));  // the answer to a write of ours came late
  EXPECT_THAT(contents(), IsEmpty());
  put(thing("a", 8));
  EXPECT_THAT(contents(), ElementsAre("team-a/a@8"));
}

TEST_F(StoreTest, ObjectThatVanishedInARelistIsNotUndoneByAnOlderWrite) {
  snapshot(writer_, {thing("a", 5)}, "5");
  snapshot(writer_, {}, "9");
  put(thing("a", 8));
  EXPECT_THAT(contents(), IsEmpty());
}

TEST_F(StoreTest, DeletionsOfAnyNumberOfNamespacesAreRememberedAsOne) {
  ASSERT_TRUE(writer_.upsert(thing("a", 5, "v", "team-a")));
  ASSERT_TRUE(writer_.erase(thing("a", 7, "v", "team-a")));
  put(thing("b", 6, "v", "team-b"));  // the watch of all namespaces has told of it, or of its end
  EXPECT_THAT(contents(), IsEmpty());
  put(thing("b", 8, "v", "team-b"));
  EXPECT_THAT(contents(), ElementsAre("team-b/b@8"));
}

TEST_F(StoreTest, AWatchOfOneNamespaceSaysNothingAboutAnother) {
  TypedStoreWriter<Thing> other(store_);
  snapshot(writer_, {}, "1", "team-a");
  snapshot(other, {}, "1", "team-b");
  ASSERT_TRUE(writer_.erase(thing("a", 7, "v", "team-a")));
  put(thing("a", 6, "v", "team-a"));
  put(thing("b", 6, "v", "team-b"));
  EXPECT_THAT(contents(), ElementsAre("team-b/b@6"));
}

TEST_F(StoreTest, AListIsRightAboutWhatIsAsOldAsItselfEvenWithALowerVersion) {
  // A backup whose revisions were raised: the list's version is high, its objects' are not.
  put(thing("a", 105, "lost"));
  snapshot(writer_, {thing("a", 90, "restored")}, "1000000105");
  EXPECT_EQ(store_.find({"team-a", "a"})->value, "restored");
}

TEST_F(StoreTest, WhenHistoryWentBackOnlyTheListCounts) {
  snapshot(writer_, {thing("a", 100), thing("gone", 101), thing("same", 102, "old")}, "102");
  put(thing("a", 200));
  ASSERT_TRUE(writer_.upsert(thing("new", 201)));
  ASSERT_TRUE(writer_.erase(thing("gone", 202)));
  take_changes();
  snapshot(writer_, {thing("a", 90), thing("gone", 80), thing("same", 102, "other")}, "110", "",
           History::went_back);
  EXPECT_THAT(take_changes(),
              UnorderedElementsAre("team-a/new@201 > -", "team-a/a@200 > team-a/a@90",
                                   "- > team-a/gone@80", "team-a/same@102 > team-a/same@102"));
  EXPECT_EQ(store_.find({"team-a", "same"})->value, "other") << "that number was given twice";
  ASSERT_TRUE(writer_.upsert(thing("later", 111)));
  EXPECT_EQ(store_.size(), 4U) << "a deletion of the lost history hides nothing";
}

TEST_F(StoreTest, DeletionOfAPredecessorKeepsItsSuccessor) {
  put(thing("a", 20, "v", "team-a", "second"));
  ASSERT_TRUE(writer_.erase(thing("a", 15, "v", "team-a", "first")));
  EXPECT_THAT(contents(), ElementsAre("team-a/a@20"));
  ASSERT_TRUE(writer_.upsert(thing("a", 14, "v", "team-a", "first")));
  EXPECT_EQ(store_.find({"team-a", "a"})->meta.uid, "second");
  ASSERT_TRUE(writer_.erase(thing("a", 21, "v", "team-a", "second")));
  EXPECT_THAT(contents(), IsEmpty());
}

TEST_F(StoreTest, DeletionOfTheUnknownIsSilent) {
  ASSERT_TRUE(writer_.erase(thing("a", 7)));
  store_.erase({"team-a", "a"});
  EXPECT_THAT(take_changes(), IsEmpty());
}

TEST_F(StoreTest, WhatCannotBeDecodedIsAnErrorAndKeepsWhatThereWas) {
  snapshot(writer_, {thing("a", 1), thing("b", 1)}, "1");
  take_changes();

  const auto upserted = writer_.upsert(broken_thing("a", 2));
  ASSERT_FALSE(upserted);
  EXPECT_THAT(upserted.error().message, HasSubstr("team-a/a: spec.value"));
  EXPECT_THAT(contents(), UnorderedElementsAre("team-a/a@1", "team-a/b@1"));

  writer_.begin_snapshot("", History::goes_on);
  EXPECT_FALSE(writer_.add_to_snapshot(broken_thing("a", 2)));
  EXPECT_FALSE(writer_.add_to_snapshot({{"kind", "Thing"}}));
  writer_.end_snapshot("3");
  EXPECT_THAT(contents(), ElementsAre("team-a/a@1"));
  EXPECT_THAT(take_changes(), ElementsAre("team-a/b@1 > -"));
}

TEST_F(StoreTest, ListenerMayReadTheStore) {
  std::vector<std::size_t> sizes;
  store_.add_listener([&](const auto&, const auto&, ChangeCause) {
    sizes.push_back(store_.size());
    EXPECT_EQ(contents().size(), store_.size());
  });
  snapshot(writer_, {thing("a", 1), thing("b", 2)}, "2");
  EXPECT_THAT(sizes, ElementsAre(2, 2)) << "a snapshot is there as a whole when it is told of";
}

TEST(ReadMetaTest, NamesWhatIsMissing) {
  const auto missing = read_meta({{"metadata", {{"name", "a"}}}});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("metadata.resourceVersion"));
  const auto cluster_scoped = read_meta({{"metadata", {{"name", "a"}, {"resourceVersion", "1"}}}});
  ASSERT_TRUE(cluster_scoped);
  EXPECT_EQ(cluster_scoped->key, (kube::ObjectKey{"", "a"}));
}

}  // namespace
}  // namespace quay_rotator::runtime
