#include "quay/error.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::quay {
namespace {

TEST(ErrorTest, EveryKindHasAReasonOfItsOwnThatAConditionTakes) {
  std::set<std::string> seen;
  for (int kind = 0; kind <= static_cast<int>(Error::Kind::registry_unavailable); ++kind) {
    const std::string text(reason(static_cast<Error::Kind>(kind)));
    EXPECT_TRUE(seen.insert(text).second) << text;
    EXPECT_TRUE(std::isupper(static_cast<unsigned char>(text[0])));
    EXPECT_TRUE(std::ranges::all_of(text, [](unsigned char c) { return std::isalpha(c); }));
  }
}

TEST(ErrorTest, EveryReasonIsExplained) {
  std::ifstream file(SOURCE_ROOT "/docs/quay.md");
  std::stringstream page;
  page << file.rdbuf();
  ASSERT_FALSE(page.str().empty());
  for (int kind = 0; kind <= static_cast<int>(Error::Kind::registry_unavailable); ++kind) {
    const std::string row = "\n| `" + std::string(reason(static_cast<Error::Kind>(kind))) + "` |";
    EXPECT_NE(page.str().find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace quay_rotator::quay
