#include "target/secret_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::target {
namespace {

using Kind = api::KeyReference::Kind;

TEST(SecretDocument, DecodesASecret) {
  const SecretDocument secret(nlohmann::json::parse(
      R"({"kind": "Secret", "data": {"a.b": "aGVsbG8=", "bad": "?", "odd": 1}})"));
  EXPECT_TRUE(secret.value(Kind::secret, "a.b")->reveal() == "hello");
  EXPECT_FALSE(secret.value(Kind::secret, "a"));
  EXPECT_FALSE(secret.value(Kind::secret, "bad"));
  EXPECT_FALSE(secret.value(Kind::secret, "odd"));
}

TEST(SecretDocument, ReadsAConfigMap) {
  const SecretDocument map(nlohmann::json::parse(
      R"({"data": {"text": "aGVsbG8="}, "binaryData": {"bytes": "aGVsbG8="}})"));
  EXPECT_TRUE(map.value(Kind::config_map, "text")->reveal() == "aGVsbG8=");
  EXPECT_TRUE(map.value(Kind::config_map, "bytes")->reveal() == "hello");
  EXPECT_FALSE(map.value(Kind::secret, "bytes"));
}

TEST(SecretDocument, MayHoldNothing) {
  const SecretDocument empty(nlohmann::json::parse(R"({"data": "x"})"));
  EXPECT_FALSE(empty.value(Kind::secret, "x"));
}

}  // namespace
}  // namespace quay_rotator::target
