#include "http/allowed_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

using testing::HasSubstr;

AllowedHosts hosts(const std::vector<std::string>& patterns) {
  auto parsed = AllowedHosts::parse(patterns);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? *parsed : AllowedHosts();
}

bool allows(const AllowedHosts& allowed, const std::string& url) {
  const auto parsed = parse_url(url);
  EXPECT_TRUE(parsed) << url;
  return parsed && allowed.reach(*parsed).has_value();
}

TEST(AllowedHosts, WithoutPatternsEveryHostButTheOperatorsOwnMachine) {
  const AllowedHosts all;
  for (const char* url :
       {"https://quay.example.com", "http://10.0.0.1:3128", "https://[fd00::1]"}) {
    EXPECT_TRUE(allows(all, url)) << url;
    EXPECT_EQ(*all.reach(*parse_url(url)), Reach::network);
  }
  // What a name leads to is seen when it is resolved; an address is refused at once.
  EXPECT_EQ(*all.reach(*parse_url("https://localhost")), Reach::network);
  for (const char* url : {"https://127.0.0.1:8443", "https://2130706433", "https://[::1]",
                          "https://169.254.169.254", "https://[::ffff:169.254.169.254]"}) {
    EXPECT_FALSE(allows(all, url)) << url;
  }
}

TEST(AllowedHosts, PatternsNarrow) {
  const AllowedHosts some =
      hosts({"quay.example.com", "*.Corp.example", "mirror.example:8443", "[2001:db8::1]:443"});
  for (const char* url :
       {"https://quay.example.com", "https://QUAY.example.com:8443", "http://a.corp.example",
        "https://a.b.corp.example:1", "https://mirror.example:8443", "https://[2001:db8:0::1]"}) {
    EXPECT_TRUE(allows(some, url)) << url;
    EXPECT_TRUE(some.names(*parse_url(url))) << url;
  }
  for (const char* url :
       {"https://example.com", "https://xquay.example.com", "https://quay.example.com.evil.example",
        "https://corp.example", "https://evilcorp.example", "https://mirror.example",
        "https://[2001:db8::1]:8443", "https://[2001:db8::2]", "https://10.0.0.1"}) {
    const auto refused = some.reach(*parse_url(url));
    ASSERT_FALSE(refused) << url;
    EXPECT_THAT(refused.error().message, HasSubstr("--allowed-quay-hosts"));
  }
}

TEST(AllowedHosts, LoopbackIsAllowedByItsName) {
  const AllowedHosts local = hosts({"localhost", "127.0.0.1:8443", "*"});
  EXPECT_EQ(*local.reach(*parse_url("https://localhost:1")), Reach::network_and_loopback);
  EXPECT_EQ(*local.reach(*parse_url("https://127.0.0.1:8443")), Reach::network_and_loopback);
  EXPECT_FALSE(allows(local, "https://127.0.0.1"));
  EXPECT_FALSE(allows(local, "https://127.0.0.2:8443"));
  // A tenant's own name is no loopback name, wherever it leads.
  EXPECT_EQ(*local.reach(*parse_url("https://quay.example.com")), Reach::network);
  EXPECT_FALSE(local.names(*parse_url("https://quay.example.com")));
  EXPECT_EQ(*hosts({"quay.example.com"}).reach(*parse_url("https://quay.example.com")),
            Reach::network);
}

TEST(AllowedHosts, NoPatternAllowsMetadata) {
  EXPECT_FALSE(allows(hosts({"169.254.169.254"}), "http://169.254.169.254"));
  EXPECT_FALSE(allows(hosts({"*"}), "http://169.254.169.254"));
}

TEST(AllowedHosts, WhatIsNoPatternIsRefused) {
  for (const char* text : {"", "https://quay.example.com", "quay.example.com/", "*example.com",
                           "a.*.example.com", "quay.example.com:", "quay.example.com:0", "*.", "**",
                           "a b", "user@host", "*..example.com"}) {
    const auto parsed = AllowedHosts::parse({text});
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr("no pattern of hosts"));
  }
}

}  // namespace
}  // namespace quay_rotator::http
