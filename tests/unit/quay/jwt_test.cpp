#include "quay/jwt.h"

#include <gtest/gtest.h>

#include "base/base64.h"

namespace quay_rotator::quay {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// As issuers write it: without padding, in the alphabet of URLs.
std::string jwt(const std::string& claims) {
  std::string middle(base::base64_encode(claims).reveal());
  while (middle.ends_with('=')) middle.pop_back();
  for (char& c : middle) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return "eyJhbGciOiJSUzI1NiJ9." + middle + ".c2ln";
}
base::WallTime at(std::int64_t time) {
  return base::WallTime(seconds(time));
}

TEST(JwtTest, ReadsWhatATokenSaysOfItself) {
  const auto claims = read_claims(jwt(R"({"iss": "https://api", "sub": "system:serviceaccount:a:b",
      "aud": ["x"], "iat": 100, "exp": 3700.5, "access": {}, "x": "???>>>"})"));
  ASSERT_TRUE(claims);
  EXPECT_EQ(claims->issuer, "https://api");
  EXPECT_EQ(claims->subject, "system:serviceaccount:a:b");
  EXPECT_EQ(claims->issued, at(100));
  EXPECT_EQ(claims->expires, at(3700));
}

TEST(JwtTest, WhatIsNoneIsNone) {
  for (const std::string& text : {std::string(), std::string("."), std::string(".."),
                                  std::string("a.b"), std::string("a.b.c"), jwt("{}") + ".d",
                                  jwt("[]"), jwt("{"), "a." + std::string(30'000, 'A') + ".c"}) {
    EXPECT_FALSE(read_claims(text)) << text.substr(0, 50);
  }
}

TEST(JwtTest, AClaimOfAnotherTypeIsAbsent) {
  for (const char* exp : {R"("3700")", "null", "-1", "1e99", "{}"}) {
    const auto claims = read_claims(jwt(R"({"iss": 1, "exp": )" + std::string(exp) + "}"));
    ASSERT_TRUE(claims) << exp;
    EXPECT_EQ(claims->issuer, "");
    EXPECT_FALSE(claims->expires) << exp;
  }
}

TEST(JwtTest, ItsEndIsByOurClock) {
  EXPECT_EQ(end_of({"", "", std::nullopt, at(3700)}, at(100)), at(3700));
  // Its issuer's clock is an hour ahead, or behind: the life counts.
  EXPECT_EQ(end_of({"", "", at(3700), at(7300)}, at(100)), at(3700));
  EXPECT_EQ(end_of({"", "", at(100), at(3700)}, at(5000)), at(8600));
}

TEST(JwtTest, WhatHasEndedOrDoesNotEndIsNoCredential) {
  EXPECT_FALSE(end_of({}, at(0)));
  EXPECT_FALSE(end_of({"", "", std::nullopt, at(100)}, at(100)));
  EXPECT_FALSE(end_of({"", "", at(200), at(100)}, at(0)));
  EXPECT_EQ(end_of({"", "", std::nullopt, at(200'000'000'000)}, at(0)), base::WallTime(hours(24)));
}

}  // namespace
}  // namespace quay_rotator::quay
