#include "api/managed_secret.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

constexpr std::string_view user = "acme+puller";
constexpr std::string_view token =
    "TOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKE";

std::string base64(std::string_view text) {
  return std::string(base::base64_encode(text).reveal());
}

std::string auth() {
  return base64(std::string(user) + ":" + std::string(token));
}

json entry() {
  return {{"username", user}, {"password", token}, {"auth", auth()}};
}

json secret_with(std::string_view config) {
  return {{"metadata", {{"name", "quay-pull"}, {"namespace", "team-a"}}},
          {"type", "kubernetes.io/dockerconfigjson"},
          {"data", {{".dockerconfigjson", base64(config)}}}};
}

std::uint64_t content(const json& config) {
  const auto secret = ManagedSecret::from_json(
      secret_with(config.is_string() ? config.get<std::string>() : config.dump()));
  EXPECT_TRUE(secret.has_value());
  return secret ? secret->content : 1;
}

std::uint64_t expected(std::vector<std::string> registries) {
  return credentials_digest(std::move(registries), user, base::Fingerprint::of(token));
}

TEST(CredentialsDigestTest, DependsOnEachPartAndNotOnTheOrder) {
  EXPECT_NE(expected({"a"}), 0U);
  EXPECT_EQ(expected({"a", "b"}), expected({"b", "a", "a"}));
  EXPECT_NE(expected({"a", "b"}), expected({"ab"}));
  EXPECT_NE(expected({"a"}), credentials_digest({"a"}, "acme+other", base::Fingerprint::of(token)));
  EXPECT_NE(expected({"a"}), credentials_digest({"a"}, user, base::Fingerprint::of("other")));
}

TEST(ManagedSecretTest, RecognizesWhatWeWrite) {
  EXPECT_EQ(content({{"auths", {{"quay:8443", entry()}}}}), expected({"quay:8443"}));
  EXPECT_EQ(content({{"auths", {{"b/x", entry()}, {"a", entry()}}}}), expected({"a", "b/x"}));
  json only_auth = entry();
  only_auth.erase("username");
  only_auth.erase("password");
  EXPECT_EQ(content({{"auths", {{"a", only_auth}}}}), expected({"a"}));
  json no_auth = entry();
  no_auth.erase("auth");
  EXPECT_EQ(content({{"auths", {{"a", no_auth}}}}), expected({"a"}));
  EXPECT_EQ(content({{"auths", {{"a", no_auth}, {"b", only_auth}}}}), expected({"a", "b"}));
}

TEST(ManagedSecretTest, AnythingElseIsNotWhatWeWrite) {
  EXPECT_NE(content({{"auths", {{"a", entry()}, {"extra", entry()}}}}), expected({"a"}));
  const auto changed = [](const char* key, const json& value) {
    json one = entry();
    one[key] = value;
    return content({{"auths", {{"a", one}}}});
  };
  EXPECT_EQ(changed("password", "other"), 0U);
  EXPECT_EQ(changed("username", "acme+other"), 0U);
  EXPECT_EQ(changed("auth", base64("acme+puller:other")), 0U);
  EXPECT_EQ(changed("auth", base64("no colon")), 0U);
  EXPECT_EQ(changed("auth", "not base64"), 0U);
  EXPECT_EQ(changed("password", 5), 0U);
  EXPECT_EQ(changed("password", json::array({token})), 0U);
  EXPECT_EQ(changed("identitytoken", "x"), 0U);
  EXPECT_EQ(changed("email", nullptr), 0U);
  json half = entry();
  half.erase("auth");
  half.erase("password");
  EXPECT_EQ(content({{"auths", {{"a", half}}}}), 0U);
  json other = {{"username", "acme+other"}, {"password", token}};
  EXPECT_EQ(content({{"auths", {{"a", entry()}, {"b", other}}}}), 0U);
  EXPECT_EQ(content({{"auths", {{"a", entry()}, {"b", json::object()}}}}), 0U);
  EXPECT_EQ(content({{"auths", {{"a", entry()}}}, {"credHelpers", {{"b", "x"}}}}), 0U);
  EXPECT_EQ(content({{"auths", json::object()}}), 0U);
  EXPECT_EQ(content({{"auths", "x"}}), 0U);
  EXPECT_EQ(content({{"auths", json::array({entry()})}}), 0U);
  EXPECT_EQ(content(json::array({entry()})), 0U);
  EXPECT_EQ(content(json("")), 0U);
  EXPECT_EQ(content(json("{\"auths\":{\"a\"")), 0U);
  const std::string twice = entry().dump();
  EXPECT_EQ(content(json("{\"auths\":{\"a\":" + twice + ",\"a\":" + twice + "}}")), 0U);
  EXPECT_EQ(content(json("{\"auths\":{\"a\":" + twice + "},\"auths\":{\"b\":" + twice + "}}")), 0U);
}

TEST(ManagedSecretTest, AZeroByteMakesNoTwoPartsOfOne) {
  const std::string two = std::string(user) + '\0' + "a";
  const json entry_of_two{{"username", two}, {"password", token}};
  EXPECT_EQ(content({{"auths", {{"b", entry_of_two}}}}), 0U);
  const json auth_of_two{{"auth", base64(two + ":" + std::string(token))}};
  EXPECT_EQ(content({{"auths", {{"b", auth_of_two}}}}), 0U);
  EXPECT_EQ(content({{"auths", {{std::string("a") + '\0' + "b", entry()}}}}), 0U);
}

TEST(ManagedSecretTest, ReadsTheRest) {
  json object = secret_with("{}");
  object["metadata"]["uid"] = "u";
  object["metadata"]["resourceVersion"] = "9";
  object["metadata"]["labels"] = {{"app.kubernetes.io/managed-by", "quay-rotator"}, {"x", "1"}};
  object["metadata"]["annotations"] = {{"quayrotator.dev/rotation", "team-b/puller"},
                                       {"quayrotator.dev/rotation-uid", "u-1"},
                                       {"note", "x"}};
  object["metadata"]["ownerReferences"] = json::parse(R"([{"uid": "o", "name": "puller"}])");
  object["immutable"] = true;
  object["data"]["more"] = "eA==";
  const auto secret = ManagedSecret::from_json(object);
  ASSERT_TRUE(secret.has_value());
  EXPECT_EQ(secret->meta.key, (kube::ObjectKey{"team-a", "quay-pull"}));
  EXPECT_EQ(secret->meta.uid, "u");
  EXPECT_EQ(secret->meta.resource_version, "9");
  EXPECT_EQ(secret->owner, (kube::ObjectKey{"team-b", "puller"}));
  EXPECT_EQ(secret->owner_uid, owner_mark("u-1"));
  EXPECT_EQ(secret->shape, SecretShape::docker_config);
  EXPECT_TRUE(secret->immutable);
  std::vector<std::uint64_t> marks = {label_mark("app.kubernetes.io/managed-by", "quay-rotator"),
                                      label_mark("x", "1"), annotation_mark("note", "x"),
                                      owner_mark("o")};
  std::sort(marks.begin(), marks.end());
  EXPECT_EQ(secret->marks, marks);
  EXPECT_FALSE(secret->controlled);
  EXPECT_EQ(secret->rotations, 0);
  EXPECT_NE(label_mark("a", "bc"), label_mark("ab", "c"));
  EXPECT_NE(label_mark("a", "b"), annotation_mark("a", "b"));
}

TEST(ManagedSecretTest, KnowsWhoseItIs) {
  json object = secret_with("{}");
  object["metadata"]["ownerReferences"] = json::parse(R"([
    {"apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation", "controller": true},
    {"apiVersion": "quayrotator.dev/v2", "kind": "RobotTokenRotation"},
    {"apiVersion": "apps/v1", "kind": "Deployment", "controller": false}])");
  auto secret = ManagedSecret::from_json(object);
  ASSERT_TRUE(secret.has_value());
  EXPECT_EQ(secret->rotations, 2);
  EXPECT_FALSE(secret->controlled);
  object["metadata"]["ownerReferences"][2]["controller"] = true;
  secret = ManagedSecret::from_json(object);
  EXPECT_TRUE(secret.has_value() && secret->controlled);
}

TEST(ManagedSecretTest, NamesItsOwnerByNamespaceAndName) {
  const auto named = [](std::string_view value) { return owner_named(value, "team-a").text(); };
  EXPECT_EQ(named("team-b/puller"), "team-b/puller");
  EXPECT_EQ(named("puller"), "team-a/puller");
  EXPECT_EQ(named(std::string(63, 'n') + "/" + std::string(253, 'a')).size(), 317U);
  for (const std::string& none :
       {std::string(), std::string("/"), std::string("/a"), std::string("a/"), std::string("a/b/c"),
        std::string(64, 'n') + "/a", std::string(254, 'a')}) {
    EXPECT_EQ(owner_named(none, "team-a"), kube::ObjectKey{}) << none;
  }
}

TEST(ManagedSecretTest, ToleratesForeignSecrets) {
  const auto secret = ManagedSecret::from_json(
      {{"metadata", {{"name", "x"}}}, {"type", "kubernetes.io/tls"}, {"data", {{"a", "eA=="}}}});
  ASSERT_TRUE(secret.has_value());
  EXPECT_FALSE(secret->shape);
  EXPECT_FALSE(secret->immutable);
  EXPECT_EQ(secret->content, 0U);
  EXPECT_EQ(secret->owner, kube::ObjectKey{});
  EXPECT_EQ(secret->owner_uid, 0U);
  EXPECT_FALSE(ManagedSecret::from_json(json::object()).has_value());
  EXPECT_FALSE(ManagedSecret::from_json(json::array()).has_value());
}

TEST(ManagedSecretTest, ComesBackFromTheCacheAsItWas) {
  json object = secret_with(json{{"auths", {{"quay.example.com", entry()}}}}.dump());
  object["immutable"] = true;
  object["metadata"]["resourceVersion"] = "7";
  object["metadata"]["labels"] = {{"a", "b"}};
  object["metadata"]["annotations"] = {{owner_annotation, "team-a/puller"},
                                       {owner_uid_annotation, "u"}};
  object["metadata"]["ownerReferences"] = {{{"uid", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"},
                                            {"apiVersion", "quayrotator.dev/v1alpha1"},
                                            {"kind", "RobotTokenRotation"}},
                                           {{"uid", "x"}, {"controller", true}}};
  const auto secret = ManagedSecret::from_json(object);
  ASSERT_TRUE(secret.has_value());
  ASSERT_NE(secret->content, 0U);
  kube::TextPool pool;
  kube::Packer packer(pool);
  secret->pack(packer);
  const kube::Packed packed = packer.take();
  kube::Unpacker unpacker(packed.get(), pool);
  ManagedSecret result;
  result.unpack(unpacker);
  EXPECT_EQ(result, *secret);
}

TEST(ManagedSecretTest, KeepsLittleOfManyLabels) {
  json object{{"metadata", {{"name", "a"}, {"uid", "u"}, {"resourceVersion", "1"}}}};
  for (int i = 0; i < 50'000; ++i) object["metadata"]["labels"]["l" + std::to_string(i)] = "";
  const auto secret = ManagedSecret::from_json(object);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_LE(secret->marks.size(), 1024U);
}

}  // namespace
}  // namespace quay_rotator::api
