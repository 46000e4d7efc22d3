#include "quay/challenge.h"

#include <random>

#include <gtest/gtest.h>

namespace quay_rotator::quay {
namespace {

std::string parsed(std::string_view header) {
  const auto challenge = parse_bearer_challenge(header);
  return challenge ? challenge->realm + " " + challenge->service : "nothing";
}

TEST(ChallengeTest, ReadsBearer) {
  for (const char* header :
       {R"(Bearer realm="https://q/v2/auth",service="q")",
        R"(bearer  REALM = "https://q/v2/auth" , Service=q,scope="a,b \"c\"")",
        R"(, Bearer service="q",,realm="https:\/\/q/v2/auth")",
        R"(Basic realm="other", Bearer realm="https://q/v2/auth",service="q")",
        R"(Negotiate, Bearer realm="https://q/v2/auth",service="q", Basic realm="other")",
        R"(Bearer service="x", Bearer realm="https://q/v2/auth",service="q")"}) {
    EXPECT_EQ(parsed(header), "https://q/v2/auth q") << header;
  }
  EXPECT_EQ(parsed(R"(Bearer realm="https://q/v2/auth")"), "https://q/v2/auth ");
}

TEST(ChallengeTest, RefusesTheRest) {
  for (const char* header :
       {"", "Bearer", "Bearer service=q", R"(Basic realm="x")", R"(Bearer realm="unfinished)",
        R"(Bearer realm="ends with\)", "Bearer realm=", "Bearer realm=\"\"", "\"", "Bearer (x)",
        R"(Bearer realm="a",service="b)"}) {
    EXPECT_EQ(parsed(header), "nothing") << header;
  }
}

TEST(ChallengeTest, SurvivesNonsense) {
  std::mt19937 random(3);
  constexpr std::string_view letters = "Bearer realm=\"\\,= \t\x01\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string header = random() % 2 == 0 ? "Bearer " : "";
    for (std::size_t n = random() % 20; n > 0; --n) header += letters[random() % letters.size()];
    const auto challenge = parse_bearer_challenge(header);
    if (challenge) {
      EXPECT_FALSE(challenge->realm.empty());
    }
  }
}

}  // namespace
}  // namespace quay_rotator::quay
