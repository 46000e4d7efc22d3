#include "quay/error.h"

#include <algorithm>
#include <cctype>
#include <set>
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

}  // namespace
}  // namespace quay_rotator::quay
