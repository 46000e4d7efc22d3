#include "http/address.h"

#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

bool permitted(Reach reach, std::string_view text) {
  const auto address = parse_numeric_host(text);
  EXPECT_TRUE(address) << text;
  return address && permits(reach, *address);
}

TEST(Address, IsReadInEveryFormThatTheResolverTakes) {
  for (const char* form : {"10.1.2.3", "10.66051", "167838211", "0xa010203", "012.1.2.3",
                           "::ffff:10.1.2.3", "::ffff:a01:203"}) {
    const auto address = parse_numeric_host(form);
    ASSERT_TRUE(address) << form;
    EXPECT_EQ(address_text(*address), "10.1.2.3") << form;
  }
  EXPECT_EQ(address_text(*parse_address("2001:DB8::1")), "2001:db8::1");
  for (const char* form : {"", "quay", "10.1.2.3.4", "256.1.1.1", "1.2.3.4 x", "fe80::1%eth0"}) {
    EXPECT_FALSE(parse_address(form)) << form;
  }
  EXPECT_FALSE(parse_address("167838211"));
}

TEST(Address, AnyNetworkButTheSpecialOnesMayBeCalled) {
  for (const char* host : {"10.0.0.1",
                           "172.16.0.1",
                           "192.168.0.1",
                           "100.64.0.1",
                           "100.100.100.201",
                           "8.8.8.8",
                           "169.253.255.255",
                           "169.255.0.0",
                           "223.255.255.255",
                           "fd00::1",
                           "fd00:ec3::1",
                           "2001:db8::1",
                           "fe7f::1",
                           "64:ff9b::8.8.8.8",
                           "2002:808:808::1",
                           "64:ff9b:1::8.8.8.8",
                           "64:ff9b:1:808:8:800::",
                           "2001::808:808:0:0:f7f7:f7f7",
                           "::ffff:0:8.8.8.8",
                           "2001:db8::5efe:8.8.8.8",
                           "2001:1::1"}) {
    EXPECT_TRUE(permitted(Reach::network, host)) << host;
  }
}

// 127.0.0.1 and 169.254.169.254 as the network makes them of IPv6 addresses.
TEST(Address, AnIpv4AddressInsideAnIpv6OneCountsAsWhatItIs) {
  for (const char* host :
       {"::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1:7f:0:1::",
        "64:ff9b:1:0:7f:0:100::", "64:ff9b:1:abcd::127.0.0.1",
        "2002:7f00:1::", "2001::808:808:0:0:80ff:fffe", "2001::7f00:1:0:0:f7f7:f7f7",
        "2001:db8::5efe:127.0.0.1", "2001:db8::200:5efe:7f00:1"}) {
    EXPECT_FALSE(permitted(Reach::network, host)) << host;
    EXPECT_TRUE(permitted(Reach::everywhere, host)) << host;
  }
  for (const char* host :
       {"::ffff:0:169.254.169.254", "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0",
        "2001::808:808:0:0:5601:5601", "fd00::5efe:169.254.169.254"}) {
    EXPECT_FALSE(permitted(Reach::network_and_loopback, host)) << host;
  }
}

TEST(Address, TheApiServerMayBeAnywhere) {
  for (const char* host : {"127.0.0.1", "169.254.1.1", "::1", "fe80::1"}) {
    EXPECT_TRUE(permitted(Reach::everywhere, host)) << host;
    EXPECT_FALSE(permitted(Reach::network, host)) << host;
  }
  EXPECT_TRUE(permitted(Reach::network_and_loopback, "127.0.0.1"));
  EXPECT_TRUE(permitted(Reach::network_and_loopback, "::1"));
  EXPECT_FALSE(permitted(Reach::network_and_loopback, "169.254.1.1"));
  EXPECT_FALSE(permitted(Reach::network_and_loopback, "0.0.0.0"));
}

}  // namespace
}  // namespace quay_rotator::http
