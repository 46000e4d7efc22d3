#include "target/render.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace quay_rotator::target {
namespace {

std::string text_of(std::vector<std::string> registries, std::string_view user,
                    std::string_view token) {
  return std::string(
      docker_config(std::move(registries), user, base::SecretString::copy_of(token)).reveal());
}

TEST(DockerConfig, IsTheseBytes) {
  EXPECT_EQ(text_of({"quay.example.com"}, "acme+puller", "TOKEN"),
            R"({"auths":{"quay.example.com":{"username":"acme+puller","password":"TOKEN",)"
            R"("auth":"YWNtZStwdWxsZXI6VE9LRU4="}}})");
}

TEST(DockerConfig, OrdersTheRegistriesAndNamesEachOnce) {
  EXPECT_EQ(text_of({"b:5000", "a", "b:5000"}, "u", "t"),
            R"({"auths":{"a":{"username":"u","password":"t","auth":"dTp0"},)"
            R"("b:5000":{"username":"u","password":"t","auth":"dTp0"}}})");
  EXPECT_EQ(text_of({"a", "b:5000"}, "u", "t"), text_of({"b:5000", "a"}, "u", "t"));
}

TEST(DockerConfig, EscapesWhatJsonDemands) {
  const std::string odd = "q\"b\\n\nt\tz\x01é/";
  const auto parsed = nlohmann::json::parse(text_of({odd}, odd, odd));
  const auto& entry = parsed.at("auths").at(odd);
  EXPECT_TRUE(entry.at("username") == odd && entry.at("password") == odd);
  EXPECT_TRUE(base::base64_decode(entry.at("auth").get<std::string>())->reveal() ==
              odd + ":" + odd);
  EXPECT_NE(text_of({"a"}, "u", "\n").find("\\u000a"), std::string::npos);
}

}  // namespace
}  // namespace quay_rotator::target
