// Quay's answers as docs/quay.md describes them, and a Quay that gives one of them.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "quay/registry_login.h"
#include "quay/robots_api.h"
#include "support/fake_transport.h"
#include "support/token_search.h"
#include "support/virtual_executor.h"

namespace quay_rotator::quay {

inline constexpr std::string_view origin = "https://quay.example.com";
// Marked, so that a leak is found wherever it is.
inline constexpr std::string_view api_token = "MARKEDAPITOKENMARKEDAPITOKENMARKEDAPITOK";
inline constexpr std::string_view robot_token =
    "MARKEDROBOTTOKENMARKEDROBOTTOKENMARKEDROBOTTOKENMARKEDROBOTTOKEN";

inline constexpr std::string_view html =
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title> MARKED token";
inline constexpr std::string_view csrf = R"({"error": "CSRF token was invalid or missing."})";
inline constexpr std::string_view foreign_issuer =
    R"({"error": "Issuer https://MARKED.example.com not configured"})";
inline constexpr std::string_view invalid_token =
    R"({"detail": "Requires authentication", "error_message": "Requires authentication",
        "error_type": "invalid_token", "title": "invalid_token",
        "type": "https://quay.example.com/api/v1/error/invalid_token", "status": 401})";
inline constexpr std::string_view insufficient_scope =
    R"({"detail": "Unauthorized", "error_message": "Unauthorized",
        "error_type": "insufficient_scope", "title": "insufficient_scope", "status": 403})";
inline constexpr std::string_view no_organization =
    R"({"message": "Organization does not exist: MARKED"})";
inline constexpr std::string_view no_robot =
    R"({"message": "Could not find robot with specified username"})";
inline constexpr std::string_view read_only =
    R"({"is_readonly": true, "message": "System is currently read-only. Pulls will succeed."})";

inline std::string robot_body(std::string_view name, std::string_view token) {
  return R"({"name": ")" + std::string(name) +
         R"(", "created": "Fri, 10 May 2024 17:46:02 -0000", "last_accessed": null,
           "description": "", "token": ")" +
         std::string(token) + R"(", "unstructured_metadata": {"name": "x", "token": "y"}})";
}

inline base::SecretString secret(std::string_view text) {
  return base::SecretString::copy_of(text);
}

// One Quay that always answers `answer`.
class QuayTest : public ::testing::Test {
 protected:
  RobotsApi robots() {
    return {transport,
            std::string(origin),
            {std::chrono::seconds(20), [this](std::string_view call, std::string_view outcome) {
               observed.push_back(std::string(call) + " " + std::string(outcome));
             }}};
  }
  static void expect_no_secret(const Error& error) {
    testing::TokenSearch tokens;
    tokens.add(api_token);
    tokens.add(robot_token);
    EXPECT_FALSE(tokens.betrayed_by(error.message)) << "the message holds a token";
    EXPECT_EQ(error.message.find("MARKED"), std::string::npos) << "the message holds a secret";
    EXPECT_EQ(error.message.find("<html"), std::string::npos);
    EXPECT_FALSE(error.message.empty());
  }

  testing::FakeResult answer = testing::Answer{};
  testing::VirtualExecutor executor{1};
  testing::FakeTransport transport{executor,
                                   [this](const testing::SentRequest&) { return answer; }};
  std::vector<std::string> observed;
  std::stop_source stop;
};

}  // namespace quay_rotator::quay
