#include "http/url.h"

#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

TEST(Url, KeepsTheParts) {
  const auto url = parse_url("https://Quay.Example.com:8443/api/v1?x=%2F");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "quay.example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/api/v1?x=%2F");
  EXPECT_EQ(url->origin(), "https://quay.example.com:8443");
  EXPECT_EQ(url->authority(), "quay.example.com:8443");
}

TEST(Url, TwoSpellingsOfOneServerAreOneText) {
  const auto origin = [](std::string_view text) { return parse_url(text)->origin(); };
  EXPECT_EQ(origin("HTTPS://QUAY.io:443"), "https://quay.io");
  EXPECT_EQ(origin("https://quay.io/"), "https://quay.io");
  EXPECT_EQ(origin("http://quay.io:80"), "http://quay.io");
  EXPECT_EQ(origin("http://quay.io:443"), "http://quay.io:443");
  EXPECT_EQ(origin("https://[0:0:0:0:0:0:0:1]:6443"), "https://[::1]:6443");
  EXPECT_EQ(origin("https://[FD00::A]"), "https://[fd00::a]");
}

TEST(Url, TargetIsNeverEmpty) {
  EXPECT_EQ(parse_url("https://quay.io")->target, "/");
  EXPECT_EQ(parse_url("https://quay.io?a=b")->target, "/?a=b");
}

TEST(Url, KnowsIpLiterals) {
  EXPECT_EQ(parse_url("https://[::1]")->host, "::1");
}

struct Refusal {
  std::string text;
  std::string reason;
};

class UrlRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(UrlRefusal, SaysWhy) {
  const auto url = parse_url(GetParam().text);
  ASSERT_FALSE(url);
  EXPECT_NE(url.error().message.find(GetParam().reason), std::string::npos) << url.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Url, UrlRefusal,
    testing::Values(Refusal{"", "no scheme"}, Refusal{"quay.io", "no scheme"},
                    Refusal{"ftp://quay.io", "unknown scheme"}, Refusal{"https://", "no host"},
                    Refusal{"https:///path", "no host"}, Refusal{"https://:443", "no host"},
                    Refusal{"https://qu%61y.io", "malformed host"},
                    Refusal{"https://quay.io/#top", "fragment"},
                    Refusal{"https://quay.io/a b", "spaces"},
                    Refusal{"https://quay.io\r\nX: y", "control characters"},
                    Refusal{"https://qu\xc3\xa4y.io", "outside ASCII"},
                    Refusal{"https://quay.io:0", "port"}, Refusal{"https://quay.io:", "port"},
                    Refusal{"https://quay.io:65536", "port"},
                    Refusal{"https://quay.io:80x", "port"}, Refusal{"https://[::1", "IPv6"},
                    Refusal{"https://[::g]", "IPv6"}, Refusal{"https://[::1]x", "after the IPv6"}));

TEST(Url, APasswordIsRefusedAndNotQuoted) {
  for (const char* text : {"https://user:hunter2@quay.io/", "user:hunter2@quay.io"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url);
    EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos);
    EXPECT_NE(url.error().message.find("user or password"), std::string::npos);
  }
}

TEST(Url, NothingWithAnAtIsQuoted) {
  for (const char* text : {"https:/user:hunter2@quay.io/", "https:///user:hunter2@quay.io/",
                           "ftp://quay.io/user:hunter2@", "https://quay.io/#user:hunter2@"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos) << text;
  }
}

TEST(Url, WhatIsQuotedIsShort) {
  const std::string label(300, 'x');
  const auto url = parse_url("https://" + label);
  ASSERT_FALSE(url) << "no name of DNS is that long";
  EXPECT_EQ(url.error().message,
            "the URL \"https://" + label.substr(0, 248) + "…\" has a malformed host");
}

TEST(Url, PercentEncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("acme+puller/x y~-_.%"), "acme%2Bpuller%2Fx%20y~-_.%25");
  EXPECT_EQ(percent_encode("\xc3\xa4"), "%C3%A4");
}

}  // namespace
}  // namespace quay_rotator::http
