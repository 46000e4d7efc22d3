#include "http/line_splitter.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

using testing::ElementsAre;

struct Lines {
  std::vector<std::string> seen;
  bool operator()(std::string_view line) {
    seen.emplace_back(line);
    return line != "stop";
  }
};

TEST(LineSplitter, CutsWhereverThePiecesEnd) {
  const std::string text = "one\ntwo\r\n\nfour\nrest";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    LineSplitter splitter(10);
    Lines lines;
    for (std::size_t at = 0; at < text.size(); at += size) {
      ASSERT_TRUE(splitter.feed(std::string_view(text).substr(at, size), std::ref(lines)));
    }
    EXPECT_THAT(lines.seen, ElementsAre("one", "two", "", "four")) << "pieces of " << size;
    EXPECT_EQ(splitter.rest(), "rest");
  }
}

TEST(LineSplitter, TheLongestLineFitsAndOneMoreByteDoesNot) {
  for (const char* end : {"\n", "\r\n"}) {
    for (const std::size_t piece : {1U, 2U, 100U}) {
      for (const std::size_t length : {4U, 5U, 6U}) {
        LineSplitter splitter(5);
        Lines lines;
        const std::string text = std::string(length, 'x') + end;
        bool fits = true;
        for (std::size_t at = 0; fits && at < text.size(); at += piece) {
          fits = splitter.feed(std::string_view(text).substr(at, piece), std::ref(lines));
        }
        EXPECT_EQ(fits, length <= 5);
        EXPECT_EQ(splitter.overflowed(), length > 5);
        EXPECT_EQ(lines.seen.size(), length <= 5 ? 1U : 0U);
      }
    }
  }
}

TEST(LineSplitter, KeepsNoMoreThanALineOfAnEndlessOne) {
  LineSplitter splitter(8);
  Lines lines;
  int pieces = 0;
  while (pieces < 100 && splitter.feed("abc", std::ref(lines))) ++pieces;
  EXPECT_EQ(pieces, 3);
  EXPECT_LE(splitter.rest().size(), 9U);
  EXPECT_FALSE(splitter.feed("\n", std::ref(lines)));
  EXPECT_TRUE(lines.seen.empty());
}

TEST(LineSplitter, StopsWhenAskedTo) {
  LineSplitter splitter(10);
  Lines lines;
  EXPECT_FALSE(splitter.feed("go\nstop\nnever\n", std::ref(lines)));
  EXPECT_THAT(lines.seen, ElementsAre("go", "stop"));
  EXPECT_FALSE(splitter.overflowed());
}

}  // namespace
}  // namespace quay_rotator::http
