#include "support/token_search.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/base64.h"

namespace quay_rotator::testing {
namespace {

const std::string token = "K7Q2ZR9X0M5TPLW3VYB8HD6FJC1NGSEA4UOI7K2QRZ9X5M0TWLP3BYV8DH6JFCN1";

std::string base64(const std::string& text) {
  return std::string(base::base64_encode(text).reveal());
}

TEST(TokenSearch, FindsATokenWholeAndInPart) {
  TokenSearch search;
  search.add(token);
  EXPECT_EQ(search.find("log: " + token + " …"), 5U);
  for (std::size_t size = 8; size < token.size(); ++size) {
    EXPECT_TRUE(search.betrayed_by("\"" + token.substr(0, size) + "\"")) << size;
    EXPECT_TRUE(search.betrayed_by(token.substr(token.size() - size))) << size;
  }
  EXPECT_TRUE(search.betrayed_by(token.substr(20, 8)));
}

TEST(TokenSearch, FindsItsBase64WhereverItBegins) {
  TokenSearch search;
  search.add(token);
  for (const std::string before : {"", "a", "ab", "abc", "acme+puller:", R"({"auths":{"x":")"}) {
    EXPECT_TRUE(search.betrayed_by(base64(before + token))) << before;
    EXPECT_TRUE(search.betrayed_by(base64(before + token + "\"}}"))) << before;
    EXPECT_TRUE(search.betrayed_by(base64(before + token.substr(0, 12)))) << before;
  }
}

TEST(TokenSearch, FindsItInTheCaseOfAHostsName) {
  std::string small = token;
  std::ranges::transform(small, small.begin(), [](unsigned char c) { return std::tolower(c); });
  TokenSearch search;
  search.add(token);
  EXPECT_TRUE(search.betrayed_by("https://" + small.substr(3, 20) + ".example.com"));
  EXPECT_TRUE(search.betrayed_by(base64("a" + small)));
  TokenSearch of_small;
  of_small.add(small);
  EXPECT_TRUE(of_small.betrayed_by(token));
}

TEST(TokenSearch, FindsBytesInBothAlphabets) {
  TokenSearch search;
  search.add("\xfb\xef\xbe\xff\xff\xff\xfb\xef\xbe\xff\xff\xff");
  EXPECT_TRUE(search.betrayed_by("++++////++++"));
  EXPECT_TRUE(search.betrayed_by("----____----"));
}

TEST(TokenSearch, FindsNothingElse) {
  TokenSearch search;
  EXPECT_FALSE(search.betrayed_by(token));
  search.add(token);
  EXPECT_FALSE(search.betrayed_by(""));
  EXPECT_FALSE(search.betrayed_by(token.substr(0, 7)));
  EXPECT_FALSE(search.betrayed_by(token.substr(0, 7) + " " + token.substr(7, 7)));
  EXPECT_FALSE(search.betrayed_by(base64("a text that has nothing to do with it, of some length")));
  EXPECT_THROW(search.add("short"), std::invalid_argument);
}

}  // namespace
}  // namespace quay_rotator::testing
