#include "base/base64.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

TEST(Base64, KnowsTheVectorsOfRfc4648) {
  for (const auto& [bytes, text] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", ""},
           {"f", "Zg=="},
           {"fo", "Zm8="},
           {"foo", "Zm9v"},
           {"foob", "Zm9vYg=="},
           {"fooba", "Zm9vYmE="},
           {"foobar", "Zm9vYmFy"},
           {std::string("\0\xff\xfe", 3), "AP/+"},
           {std::string(100, '\0'), std::string(134, 'A') + "=="}}) {
    EXPECT_EQ(base64_encode(bytes).reveal(), text);
    const auto decoded = base64_decode(text);
    ASSERT_TRUE(decoded.has_value()) << text;
    EXPECT_EQ(decoded->reveal(), bytes);
  }
}

TEST(Base64, RefusesEverythingElse) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "====", "=", "Zm9v\n", " Zm9v", "Zm9v    ",
                           "Zm9_", "Z=9v", "Zg==Zg==", "Zm9vZ"}) {
    EXPECT_FALSE(base64_decode(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace quay_rotator::base
