#include "target/foreign_entries.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::target {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ForeignEntries entries(std::string_view config) {
  return ForeignEntries::of(config, {"quay.example.com", "mirror.example.com:5000/acme"});
}

TEST(ForeignEntries, OurRegistriesAreNoLossHoweverTheyAreSpelled) {
  for (const auto* config : {
           "{}",
           R"({"auths":{}})",
           R"({"auths":null})",
           R"({"auths":{"quay.example.com":{"auth":"eA==","email":"x"}}})",
           R"({"auths":{"https://quay.example.com":{}, "http://quay.example.com/":{}}})",
           R"({"auths":{"https://quay.example.com/v1/":{}, "quay.example.com/v2/":{}}})",
           R"({"auths":{"mirror.example.com:5000/acme":{"username":"u","password":"p"}}})",
           R"({"auths":{"mirror.example.com:5000/v2/acme":{}}, "credHelpers":{}})",
       }) {
    EXPECT_TRUE(entries(config).empty()) << config;
  }
}

TEST(ForeignEntries, NamesWhatWouldBeLost) {
  const auto found = entries(
      R"({"auths":{"https://index.docker.io/v1/":{"auth":"eA=="}, "ghcr.io":{},
          "quay.example.com":{}, "quay.example.com:443":{}, "quay.example.com/team-a":{},
          "mirror.example.com:5000":"text"},
          "credHelpers":{"x.ecr.example.com":"ecr-login"}, "credsStore":"desktop",
          "HttpHeaders":{"A":1}})");
  EXPECT_FALSE(found.unreadable);
  EXPECT_THAT(found.names, ElementsAre("HttpHeaders", "credHelpers", "credsStore", "ghcr.io",
                                       "index.docker.io", "mirror.example.com:5000",
                                       "quay.example.com/team-a", "quay.example.com:443"));
  EXPECT_EQ(found.unnamed, 0U);
}

TEST(ForeignEntries, AreNotHiddenByASecondListOfLogins) {
  EXPECT_THAT(entries(R"({"auths":{"ghcr.io":{}},"auths":{"quay.example.com":{}}})").names,
              ElementsAre("ghcr.io"));
  EXPECT_THAT(entries(R"({"auths":{"quay.example.com":{}},"auths":{"ghcr.io":{}}})").names,
              ElementsAre("ghcr.io"));
}

// Somebody may have written a credential where a name belongs.
TEST(ForeignEntries, ShowNothingThatCouldBeACredential) {
  const auto found = entries(R"({"auths":{
      "https://robot:SECRETTOKEN@registry.example.com/x":{}, "registry.example.com?t=SECRETTOKEN":{},
      "SECRETTOKEN":{}, "a b":{}, "":{}}, "auth:SECRETTOKEN":{"a":1}, "[]":1})");
  EXPECT_THAT(found.names, ElementsAre("registry.example.com/x"));
  EXPECT_EQ(found.unnamed, 6U);
  EXPECT_EQ(found.text(), "registry.example.com/x and 6 more");
  EXPECT_EQ(entries(R"({"auths":{"A":{}}})").text(), "1 entry");
  EXPECT_EQ(entries(R"({"auths":{"A":{}, "B":{}}})").text(), "2 entries");
}

TEST(ForeignEntries, AreToldInAFewWords) {
  std::string config;
  for (int number = 0; number < 500; ++number) {
    config +=
        (config.empty() ? "{\"auths\":{\"" : ",\"") + std::to_string(number) + ".example.com\":{}";
  }
  config += ",\"" + std::string(5000, 'a') + "\":{}}}";
  const auto found = entries(config);
  EXPECT_EQ(found.unnamed, 1U);
  EXPECT_EQ(found.text().substr(0, 31), "0.example.com, 1.example.com, 1");
  EXPECT_TRUE(found.text().ends_with(" and 493 more")) << found.text();
}

TEST(ForeignEntries, WhatIsNoConfigurationIsUnreadable) {
  for (const auto* config : {"", "x", "5", "null", "\"text\"", R"({"auths":"text"})",
                             R"({"auths":{"a":{})", R"({"auths":{}} {})"}) {
    EXPECT_TRUE(entries(config).unreadable) << config;
  }
  EXPECT_FALSE(entries("[1]").empty());
  EXPECT_FALSE(entries(R"({"auths":[{"auth":"eA=="}]})").empty());
}

}  // namespace
}  // namespace quay_rotator::target
