#include "kube/item_splitter.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Taken {
  std::vector<std::string> items;
  std::string envelope;
  bool whole = true;
};

// Feeds it in pieces of that size.
Taken take(std::string_view text, std::size_t size, std::size_t max_item = 1000) {
  ItemSplitter splitter(max_item);
  Taken taken;
  for (; !text.empty() && taken.whole; text.remove_prefix(std::min(size, text.size()))) {
    taken.whole = splitter.feed(text.substr(0, size), [&](std::string_view item) {
      taken.items.emplace_back(item);
      return true;
    });
  }
  EXPECT_EQ(splitter.overflowed(), !taken.whole);
  taken.envelope = splitter.envelope();
  return taken;
}

class ItemSplitterTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(ItemSplitterTest, TakesTheItemsOutOfTheList) {
  const Taken taken = take(
      R"({"kind":"List", "items" : [ {"a":"]}\"{","b":[{},[1]]} , {} ] ,"metadata":{"items":[{}]}})",
      GetParam());
  EXPECT_THAT(taken.items, ElementsAre(R"({"a":"]}\"{","b":[{},[1]]})", "{}"));
  EXPECT_EQ(taken.envelope, R"({"kind":"List", "items" : [] ,"metadata":{"items":[{}]}})");
}

TEST_P(ItemSplitterTest, KnowsTheItemsByNameAndPlace) {
  for (const std::string text :
       {R"({"other":[{}],"items":null})", R"({"items":{"a":[{}]}})", R"([{"items":[{}]}])",
        R"({"items":1,"more":[{}]})", R"({"other":"items","x":[{}]})", R"({"itemsitems":[{}]})",
        R"("items":[{}])", R"(}]}{"items")"}) {
    SCOPED_TRACE(text);
    const Taken taken = take(text, GetParam());
    EXPECT_THAT(taken.items, IsEmpty());
    EXPECT_EQ(taken.envelope, text);
  }
}

TEST_P(ItemSplitterTest, WhatIsNoObjectStays) {
  const Taken taken = take(R"({"items":[1, "{", [{}], {"a":1}]})", GetParam());
  EXPECT_THAT(taken.items, ElementsAre(R"({"a":1})"));
  EXPECT_EQ(taken.envelope, R"({"items":[1"{"[{}]]})");
}

TEST_P(ItemSplitterTest, AnItemOrAnEnvelopeThatIsTooLongEndsIt) {
  EXPECT_TRUE(take(R"({"items":[{"a":12}]})", GetParam(), 12).whole);
  EXPECT_FALSE(take(R"({"items":[{"a":1234567}]})", GetParam(), 12).whole);
  EXPECT_FALSE(take(R"({"items":[],"metadata":{}})", GetParam(), 12).whole);
}

INSTANTIATE_TEST_SUITE_P(Pieces, ItemSplitterTest, ::testing::Values(1, 2, 3, 7, 1000));

TEST(ItemSplitter, EndsWhenNoMoreIsWanted) {
  ItemSplitter splitter(100);
  int items = 0;
  EXPECT_FALSE(splitter.feed(R"({"items":[{},{}]})", [&](auto) { return ++items < 1; }));
  EXPECT_EQ(items, 1);
  EXPECT_FALSE(splitter.overflowed());
}

}  // namespace
}  // namespace quay_rotator::kube
