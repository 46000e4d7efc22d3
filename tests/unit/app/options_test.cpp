#include "app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quay_rotator::app {
namespace {

using testing::HasSubstr;

std::variant<Options, Exit> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "quay-rotator");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

Options good(std::vector<const char*> arguments) {
  auto parsed = parse(std::move(arguments));
  if (const auto* exit = std::get_if<Exit>(&parsed)) ADD_FAILURE() << exit->text;
  return std::holds_alternative<Options>(parsed) ? std::get<Options>(parsed) : Options{};
}

TEST(Options, HaveTheDefaultsOfTheHelp) {
  const Options options = good({});
  EXPECT_TRUE(options.leader_elect);
  EXPECT_TRUE(options.namespaces.empty());
  EXPECT_FALSE(options.kubeconfig);
  EXPECT_EQ(options.leader_election_id, "quay-rotator");
  EXPECT_EQ(options.health_probe_bind_address, ":8081");
  EXPECT_EQ(options.metrics_bind_address, ":8080");
  EXPECT_EQ(options.drift_interval, std::chrono::minutes(10));
  EXPECT_EQ(options.quay_timeout, std::chrono::seconds(30));
  EXPECT_EQ(options.regenerate_hold, std::chrono::minutes(10));
}

TEST(Options, ALeaseHasALegalName) {
  EXPECT_EQ(good({"--leader-election-id=one.two-3"}).leader_election_id, "one.two-3");
  for (const char* name : {"--leader-election-id=", "--leader-election-id=Upper",
                           "--leader-election-id=-a", "--leader-election-id=a_b"}) {
    const auto parsed = parse({name});
    const auto* exit = std::get_if<Exit>(&parsed);
    ASSERT_NE(exit, nullptr) << name;
    EXPECT_EQ(exit->code, 2);
    EXPECT_THAT(exit->text, HasSubstr("--leader-election-id"));
  }
}

TEST(Options, TheHoldIsAtLeastTwiceTheTimeout) {
  EXPECT_EQ(good({"--regenerate-hold=60s"}).regenerate_hold, std::chrono::seconds(60));
  EXPECT_EQ(good({"--regenerate-hold=20s", "--quay-timeout=10s"}).quay_timeout,
            std::chrono::seconds(10));
  const auto parsed = parse({"--quay-timeout=6m"});
  const auto* exit = std::get_if<Exit>(&parsed);
  ASSERT_NE(exit, nullptr);
  EXPECT_EQ(exit->code, 2);
  EXPECT_THAT(exit->text,
              HasSubstr("--regenerate-hold: must be at least twice --quay-timeout, 12m, got 10m"));
}

TEST(Options, AreReadAsUsersOfControllerRuntimeWriteThem) {
  const Options options =
      good({"--namespace", "a", "--namespace=b", "--leader-elect=false", "--kubeconfig=/k",
            "--metrics-bind-address=0", "--health-probe-bind-address", "[::1]:0", "--workers=3",
            "--drift-interval=1h30m", "--allowed-quay-hosts=*.example.com", "--allowed-quay-hosts",
            "b:8443", "--allowed-target-metadata=example.com/*", "--log-level=debug",
            "--log-format=text"});
  EXPECT_EQ(options.namespaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(options.leader_elect);
  EXPECT_EQ(options.kubeconfig, "/k");
  EXPECT_EQ(options.metrics_bind_address, "0");
  EXPECT_EQ(options.workers, 3);
  EXPECT_EQ(options.drift_interval, std::chrono::minutes(90));
  EXPECT_TRUE(options.allowed_quay_hosts.reach(*http::parse_url("https://a.example.com")));
  EXPECT_TRUE(options.allowed_quay_hosts.reach(*http::parse_url("https://b:8443")));
  EXPECT_FALSE(options.allowed_quay_hosts.reach(*http::parse_url("https://b")));
  EXPECT_TRUE(options.allowed_target_metadata.allows("example.com/team"));
  EXPECT_FALSE(options.allowed_target_metadata.allows("a.example.com/team"));
  EXPECT_EQ(options.log_level, base::LogLevel::debug);
  EXPECT_EQ(options.log_format, base::LogFormat::text);
}

TEST(Options, AWrongFlagIsOneLineAndCodeTwo) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"--nonsense"},
                                             {"nonsense"},
                                             {"--workers=0"},
                                             {"--workers=many"},
                                             {"--drift-interval=10"},
                                             {"--quay-timeout=9s"},
                                             {"--regenerate-hold=59s"},
                                             {"--regenerate-hold=10"},
                                             {"--log-level=loud"},
                                             {"--allowed-quay-hosts=https://quay"},
                                             {"--allowed-target-metadata=team"},
                                             {"--log-format=xml"},
                                             {"--health-probe-bind-address=nonsense"},
                                             {"--health-probe-bind-address=0"},
                                             {"--metrics-bind-address=:99999"}}) {
    const auto parsed = parse(arguments);
    const auto* exit = std::get_if<Exit>(&parsed);
    ASSERT_NE(exit, nullptr) << arguments.front();
    EXPECT_EQ(exit->code, 2);
    EXPECT_THAT(exit->text, testing::StartsWith("quay-rotator: "));
    EXPECT_EQ(std::count(exit->text.begin(), exit->text.end(), '\n'), 1) << exit->text;
  }
}

TEST(Options, HelpAndVersionExitWithZero) {
  const auto help = parse({"--help"});
  EXPECT_EQ(std::get<Exit>(help).code, 0);
  EXPECT_THAT(std::get<Exit>(help).text, HasSubstr("--drift-interval"));
  const auto shown = parse({"--version"});
  EXPECT_EQ(std::get<Exit>(shown).code, 0);
  EXPECT_EQ(std::get<Exit>(shown).text, "quay-rotator " + version() + "\n");
}

}  // namespace
}  // namespace quay_rotator::app
