#include "http/proxy.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::http {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

std::optional<std::string> proxy(std::string_view url, const Variables& variables) {
  return proxy_for(*parse_url(url), [&](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

TEST(Proxy, ComesFromTheVariableOfTheScheme) {
  const Variables both{{"HTTPS_PROXY", "http://s:1"}, {"http_proxy", "http://p:2"}};
  EXPECT_EQ(proxy("https://quay.io", both), "http://s:1");
  EXPECT_EQ(proxy("http://quay.io", both), "http://p:2");
  EXPECT_EQ(proxy("https://quay.io", {{"http_proxy", "http://p:2"}}), std::nullopt);
  EXPECT_EQ(proxy("https://quay.io", {}), std::nullopt);
}

TEST(Proxy, UpperCaseWinsUnlessEmpty) {
  EXPECT_EQ(
      proxy("https://quay.io", {{"HTTPS_PROXY", "http://a:1"}, {"https_proxy", "http://b:1"}}),
      "http://a:1");
  EXPECT_EQ(proxy("https://quay.io", {{"HTTPS_PROXY", ""}, {"https_proxy", "http://b:1"}}),
            "http://b:1");
}

TEST(Proxy, WithoutASchemeIsHttp) {
  EXPECT_EQ(proxy("https://quay.io", {{"HTTPS_PROXY", "proxy:3128"}}), "http://proxy:3128");
}

TEST(Proxy, LoopbackIsAlwaysDirect) {
  const Variables variables{{"HTTPS_PROXY", "http://p:1"}};
  EXPECT_EQ(proxy("https://localhost:8443", variables), std::nullopt);
  EXPECT_EQ(proxy("https://127.1.2.3", variables), std::nullopt);
  EXPECT_EQ(proxy("https://[::1]:6443", variables), std::nullopt);
  EXPECT_NE(proxy("https://128.0.0.1", variables), std::nullopt);
}

struct Exception {
  std::string no_proxy;
  std::string url;
  bool direct;
};

class NoProxy : public testing::TestWithParam<Exception> {};

TEST_P(NoProxy, DecidesLikeGo) {
  for (const char* name : {"NO_PROXY", "no_proxy"}) {
    const auto chosen =
        proxy(GetParam().url, {{"HTTPS_PROXY", "http://p:1"}, {name, GetParam().no_proxy}});
    EXPECT_EQ(!chosen.has_value(), GetParam().direct)
        << name << "=" << GetParam().no_proxy << " for " << GetParam().url;
  }
}

INSTANTIATE_TEST_SUITE_P(Proxy, NoProxy,
                         testing::Values(Exception{"*", "https://quay.io", true},
                                         Exception{"quay.io", "https://quay.io", true},
                                         Exception{" a.b , QUAY.io ", "https://quay.io", true},
                                         Exception{"quay.io", "https://cdn.quay.io", true},
                                         Exception{"quay.io", "https://notquay.io", false},
                                         Exception{".quay.io", "https://cdn.quay.io", true},
                                         Exception{".quay.io", "https://quay.io", false},
                                         Exception{"*.quay.io", "https://cdn.quay.io", true},
                                         Exception{"*.quay.io", "https://quay.io", false},
                                         Exception{"quay.io:443", "https://quay.io", true},
                                         Exception{"quay.io:8443", "https://quay.io", false},
                                         Exception{"quay.io:8443", "https://quay.io:8443", true},
                                         Exception{"10.0.0.1", "https://10.0.0.1", true},
                                         Exception{"10.0.0.1", "https://10.0.0.2", false},
                                         Exception{"10.0.0.1:443", "https://10.0.0.1", true},
                                         Exception{"10.0.0.0/8", "https://10.200.3.4", true},
                                         Exception{"10.0.0.0/8", "https://11.0.0.1", false},
                                         Exception{"10.0.0.0/33", "https://10.0.0.1", false},
                                         Exception{"10.0.0.0/8", "https://ten.example.com", false},
                                         Exception{"fd00::/8", "https://[fd12::1]", true},
                                         Exception{"fd00::/8", "https://[fe12::1]", false},
                                         Exception{"[fd12::1]:443", "https://[fd12::1]", true},
                                         Exception{"fd12::1", "https://[fd12::1]", true},
                                         Exception{":443,,[", "https://quay.io", false}));

TEST(Proxy, IsReadWithUserAndPassword) {
  const auto with = read_proxy("http://me:p%40ss%3aword@proxy.test:3128");
  ASSERT_TRUE(with);
  EXPECT_EQ(with->url, "http://proxy.test:3128");
  EXPECT_EQ(with->authorization.reveal(), "Basic bWU6cEBzczp3b3Jk");  // me:p@ss:word
  const auto without = read_proxy("http://proxy.test:3128");
  ASSERT_TRUE(without);
  EXPECT_EQ(without->url, "http://proxy.test:3128");
  EXPECT_TRUE(without->authorization.empty());
  EXPECT_EQ(read_proxy("http://me@proxy.test")->authorization.reveal(), "Basic bWU6");
  const auto bad = read_proxy("http://me:hunter2%@proxy.test");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace quay_rotator::http
