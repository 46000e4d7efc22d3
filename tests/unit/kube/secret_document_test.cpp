#include "kube/secret_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::kube {
namespace {

TEST(SecretDocument, DecodesASecret) {
  const SecretDocument secret(nlohmann::json::parse(
      R"({"kind": "Secret", "data": {"a.b": "aGVsbG8=", "bad": "?", "odd": 1}})"));
  EXPECT_TRUE(secret.secret_value("a.b")->reveal() == "hello");
  EXPECT_FALSE(secret.secret_value("a"));
  EXPECT_FALSE(secret.secret_value("bad"));
  EXPECT_FALSE(secret.secret_value("odd"));
}

TEST(SecretDocument, ReadsAConfigMap) {
  const SecretDocument map(nlohmann::json::parse(
      R"({"data": {"text": "aGVsbG8="}, "binaryData": {"bytes": "aGVsbG8="}})"));
  EXPECT_TRUE(map.config_map_value("text")->reveal() == "aGVsbG8=");
  EXPECT_TRUE(map.config_map_value("bytes")->reveal() == "hello");
  EXPECT_FALSE(map.secret_value("bytes"));
}

TEST(SecretDocument, MayHoldNothing) {
  const SecretDocument empty(nlohmann::json::parse(R"({"data": "x"})"));
  EXPECT_FALSE(empty.secret_value("x"));
}

}  // namespace
}  // namespace quay_rotator::kube
