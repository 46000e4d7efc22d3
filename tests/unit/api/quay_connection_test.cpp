#include "api/quay_connection.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace quay_rotator::api {
namespace {

using nlohmann::json;

json minimal() {
  return json::parse(R"({
    "metadata": {"name": "quay", "namespace": "team-a", "uid": "u", "resourceVersion": "5",
                 "generation": 3},
    "spec": {"url": "https://quay.example.com", "credentialsSecretRef": {"name": "quay-api"}}})");
}

QuayConnection packed_and_unpacked(const QuayConnection& connection) {
  kube::TextPool pool;
  kube::Packer packer(pool);
  connection.pack(packer);
  const kube::Packed packed = packer.take();
  kube::Unpacker unpacker(packed.get(), pool);
  QuayConnection result;
  result.unpack(unpacker);
  return result;
}

TEST(QuayConnectionTest, HasDefaults) {
  const auto connection = QuayConnection::from_json(minimal());
  ASSERT_TRUE(connection.has_value());
  EXPECT_EQ(connection->meta.key, (kube::ObjectKey{"team-a", "quay"}));
  EXPECT_EQ(connection->meta.uid, "u");
  EXPECT_EQ(connection->meta.resource_version, "5");
  EXPECT_EQ(connection->generation, 3);
  EXPECT_FALSE(connection->deleting);
  QuayConnectionSpec expected;
  expected.url = "https://quay.example.com";
  expected.credentials = {KeyReference::Kind::secret, "quay-api", "token"};
  EXPECT_EQ(connection->spec, expected);
  EXPECT_EQ(connection->status, QuayConnectionStatus{});
}

TEST(QuayConnectionTest, ReadsEveryField) {
  json object = minimal();
  object["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z";
  object["spec"] = json::parse(R"({
    "url": "http://quay:8080", "allowInsecure": true, "proxyURL": "http://proxy:3128",
    "credentialsSecretRef": {"name": "api", "key": "oauth"}, "fieldOfTheFuture": {"a": 1},
    "ca": {"configMapRef": {"name": "ca"}}, "rateLimit": {"requestsPerSecond": 2.5, "burst": 4}})");
  const auto connection = QuayConnection::from_json(object);
  ASSERT_TRUE(connection.has_value());
  EXPECT_TRUE(connection->deleting);
  EXPECT_EQ(packed_and_unpacked(*connection), *connection);
  const QuayConnectionSpec& spec = connection->spec;
  EXPECT_TRUE(spec.allow_insecure);
  EXPECT_EQ(spec.proxy_url, "http://proxy:3128");
  EXPECT_EQ(spec.credentials, (KeyReference{KeyReference::Kind::secret, "api", "oauth"}));
  ASSERT_NE(spec.ca(), nullptr);
  EXPECT_EQ(*spec.ca(), (KeyReference{KeyReference::Kind::config_map, "ca", "ca.crt"}));
  EXPECT_EQ(spec.requests_per_second, 2.5);
  EXPECT_EQ(spec.burst, 4);
}

TEST(QuayConnectionTest, StatusRoundTrips) {
  QuayConnectionStatus status;
  EXPECT_EQ(to_json(status), json::object());
  status.observed_generation = 3;
  status.conditions.set("Ready", ConditionStatus::false_, "Tls", "unknown CA", 3,
                        *base::parse_time("2026-03-01T12:00:00Z"));
  json object = minimal();
  object["status"] = to_json(status);
  const auto connection = QuayConnection::from_json(object);
  ASSERT_TRUE(connection.has_value());
  EXPECT_EQ(connection->status, status);
}

TEST(QuayConnectionTest, SaysWhichFieldIsWrong) {
  const auto error = [](const char* pointer, const json& value) {
    json object = minimal();
    object[json::json_pointer(pointer)] = value;
    const auto connection = QuayConnection::from_json(object);
    return connection ? std::string("none") : connection.error().message;
  };
  EXPECT_EQ(error("/spec/url", 5), "spec.url: expected a string, got a number");
  EXPECT_EQ(error("/spec/url", ""), "spec.url: expected a string, it is empty");
  EXPECT_EQ(error("/spec", nullptr), "spec: expected an object, it is missing");
  EXPECT_EQ(error("/metadata", nullptr), "metadata: expected an object, it is missing");
  EXPECT_EQ(error("/spec/credentialsSecretRef", json::object()),
            "spec.credentialsSecretRef.name: expected a string, it is missing");
  EXPECT_EQ(error("/spec/ca", json::object()),
            "spec.ca: expected exactly one of secretRef and configMapRef");
  EXPECT_EQ(
      error("/spec/ca", json::parse(R"({"secretRef":{"name":"a"},"configMapRef":{"name":"b"}})")),
      "spec.ca: expected exactly one of secretRef and configMapRef");
  EXPECT_EQ(error("/spec/rateLimit", json::object()),
            "spec.rateLimit.requestsPerSecond: expected a number above 0");
  EXPECT_EQ(error("/spec/rateLimit", json::parse(R"({"requestsPerSecond":1,"burst":0})")),
            "spec.rateLimit.burst: expected an integer from 1 on");
  EXPECT_EQ(error("/status/conditions", 1), "none") << "a status is found out anew";
  EXPECT_EQ(error("/status/observedGeneration", "x"), "none");
  EXPECT_EQ(error("/spec/ca", nullptr), "none");
}

}  // namespace
}  // namespace quay_rotator::api
