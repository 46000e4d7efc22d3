// Where a transport goes, whatever its host is called and whatever that resolves to.
#include <gmock/gmock.h>

#include "contract/contract.h"
#include "contract/resolver.h"

namespace quay_rotator::contract {
namespace {

using http::Error;
using http::Reach;
using std::chrono::seconds;
using testing::HasSubstr;

class ReachContract : public Contract {
 protected:
  tl::expected<http::Response, Error> call(const std::string& origin, Reach reach,
                                           const std::optional<std::string>& proxy = {}) {
    http::Endpoint endpoint;
    endpoint.origin = origin;
    endpoint.allow_insecure = true;
    endpoint.reach = reach;
    endpoint.proxy = proxy;
    return open(std::move(endpoint))->send(post("/", "{}"), within(seconds(10)));
  }
  // As the server, with and without TLS, and as the proxy.
  void expect_never_called(const std::string& authority, Reach reach) {
    SCOPED_TRACE(authority);
    std::vector<tl::expected<http::Response, Error>> results;
    results.push_back(call("http://" + authority, reach));
    results.push_back(call("https://" + authority, reach));
    results.push_back(call("http://quay.test", reach, "http://" + authority));
    results.push_back(call("https://quay.test", reach, "http://" + authority));
    for (const auto& result : results) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().kind, Error::Kind::not_allowed) << result.error().message;
      EXPECT_THAT(result.error().message, HasSubstr("never called"));
      EXPECT_FALSE(result.error().maybe_sent);
    }
  }
  static RawServer::Script hello() {
    return [](Connection& connection) {
      connection.read_request();
      connection.write(answer(200, "hello", "Connection: close\r\n"));
    };
  }
};
QUAY_ROTATOR_CONTRACT(ReachContract);

TEST_P(ReachContract, MetadataAndLinkLocalAddressesAreNeverCalled) {
  for (const char* host :
       {"169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "[fe80::1]", "[febf::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "0.0.0.0", "0.1.2.3", "[::]",
        "224.0.0.1", "239.255.255.250", "[ff02::1]", "255.255.255.255", "metadata.test"}) {
    expect_never_called(host, Reach::network);
    expect_never_called(host, Reach::network_and_loopback);
  }
}

TEST_P(ReachContract, OtherSpellingsOfAnAddressAreThatAddress) {
  for (const char* host :
       {"2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
        "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::169.254.169.254]",
        "[64:ff9b::169.254.169.254]", "[64:ff9b:1::169.254.169.254]", "[2002:a9fe:a9fe::1]",
        "[2001::a9fe:a9fe:0:0:f7f7:f7f7]", "[2001::808:808:0:0:5601:5601]",
        "[::ffff:0:169.254.169.254]", "[2001:db8::5efe:169.254.169.254]"}) {
    expect_never_called(host, Reach::network_and_loopback);
  }
}

TEST_P(ReachContract, TheOperatorsOwnMachineIsCalledOnlyWhereThatIsAllowed) {
  RawServer server(hello());
  const std::string port = ":" + std::to_string(server.port());
  for (const char* host :
       {"127.0.0.1", "127.1", "127.255.255.254", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]",
        "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "quay.test", "localhost"}) {
    expect_never_called(host + port, Reach::network);
  }
  EXPECT_EQ(server.accepted(), 0);
  for (const char* host : {"127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "quay.test"}) {
    const auto response = call("http://" + (host + port), Reach::network_and_loopback);
    EXPECT_TRUE(response) << response.error().message;
  }
}

TEST_P(ReachContract, ANameThatChangesItsMindReachesNothingElse) {
  const Rebinding rebinding;
  RawServer server(hello());
  const std::string origin = "http://rebinding.test:" + std::to_string(server.port());
  ASSERT_TRUE(call(origin, Reach::network_and_loopback));
  // Checked and connected to is one and the same answer.
  EXPECT_EQ(Rebinding::lookups(), 1);
  EXPECT_EQ(header_of(server.requests().at(0), "Host"), origin.substr(7));
  const auto second = call(origin, Reach::network_and_loopback);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, Error::Kind::not_allowed);
  EXPECT_THAT(second.error().message, HasSubstr("169.254.169.254"));
}

TEST_P(ReachContract, OfSeveralAddressesOnlyThePermittedOnesAreCalled) {
  RawServer server(hello());
  const std::string origin = "http://both.test:" + std::to_string(server.port());
  const auto response = call(origin, Reach::network_and_loopback);
  EXPECT_TRUE(response) << response.error().message;
  const auto refused = call(origin, Reach::network);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Error::Kind::not_allowed);
}

}  // namespace
}  // namespace quay_rotator::contract
