// The custom resource definitions and the types must say the same.
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

YAML::Node definition(const std::string& plural) {
  return YAML::LoadFile(SOURCE_ROOT "/crds/quayrotator.dev_" + plural + ".yaml");
}

YAML::Node schema(const std::string& plural) {
  return definition(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
}

// "status.targets.failing[].since", …
void collect_schema(const YAML::Node& node, const std::string& path, std::set<std::string>& into) {
  if (node["properties"]) {
    for (const auto& property : node["properties"]) {
      collect_schema(property.second, path + "." + property.first.as<std::string>(), into);
    }
  } else if (node["items"]) {
    collect_schema(node["items"], path + "[]", into);
  } else {
    into.insert(path + ": " + node["type"].as<std::string>());
  }
}

// What the types read and write, and nothing else, is in the CRD.
void expect_same_fields(const std::string& plural, const std::set<std::string>& described) {
  std::set<std::string> in_schema;
  for (const char* part : {"spec", "status"}) {
    collect_schema(schema(plural)["properties"][part], part, in_schema);
  }
  EXPECT_EQ(described, in_schema);
}

TEST(SchemaTest, HasExactlyTheFieldsOfTheTypes) {
  expect_same_fields("robottokenrotations", RobotTokenRotation::described());
  expect_same_fields("quayconnections", QuayConnection::described());
}

json scalar(const YAML::Node& node) {
  if (node.IsMap()) return json::object();
  return json::accept(node.as<std::string>()) ? json::parse(node.as<std::string>())
                                              : json(node.as<std::string>());
}

// What the API server does before it stores an object.
void apply_defaults(const YAML::Node& node, json& value) {
  if (value.is_array()) {
    for (json& element : value) apply_defaults(node["items"], element);
  }
  if (!value.is_object() || !node["properties"]) return;
  for (const auto& property : node["properties"]) {
    const auto key = property.first.as<std::string>();
    if (!value.contains(key) && property.second["default"]) {
      value[key] = scalar(property.second["default"]);
    }
    if (value.contains(key)) apply_defaults(property.second, value[key]);
  }
}

TEST(SchemaTest, DefaultsAreThoseOfTheTypes) {
  const json rotation = json::parse(R"({"metadata": {"name": "a"}, "spec": {
      "connectionRef": {"name": "quay"}, "robot": {"name": "ci"}, "schedule": {"interval": "1h"},
      "targets": [{"secret": {"name": "a"}}]}})");
  json with_defaults = rotation;
  apply_defaults(schema("robottokenrotations"), with_defaults);
  EXPECT_EQ(with_defaults["spec"]["verify"]["level"], "Login");
  EXPECT_EQ(with_defaults["spec"]["suspend"], false);
  const auto plain = RobotTokenRotation::from_json(rotation);
  const auto defaulted = RobotTokenRotation::from_json(with_defaults);
  ASSERT_TRUE(plain.has_value() && defaulted.has_value());
  EXPECT_EQ(plain->invalid, std::nullopt);
  EXPECT_EQ(defaulted->invalid, std::nullopt);
  EXPECT_EQ(plain->spec.targets, defaulted->spec.targets);
  EXPECT_EQ(plain->spec.jitter, defaulted->spec.jitter);
  EXPECT_EQ(plain->spec.initial, defaulted->spec.initial);
  EXPECT_EQ(plain->spec.verify, defaulted->spec.verify);
  EXPECT_EQ(plain->spec.deletion_policy, defaulted->spec.deletion_policy);
  EXPECT_EQ(plain->spec.suspend, defaulted->spec.suspend);

  const json connection = json::parse(R"({"metadata": {"name": "a"}, "spec": {
      "url": "https://quay", "credentialsSecretRef": {"name": "a"}, "ca": {"secretRef": {"name":
      "b"}}, "rateLimit": {"requestsPerSecond": 1}}})");
  with_defaults = connection;
  apply_defaults(schema("quayconnections"), with_defaults);
  EXPECT_EQ(with_defaults["spec"]["ca"]["secretRef"]["key"], "ca.crt");
  const auto read = QuayConnection::from_json(connection);
  const auto read_defaulted = QuayConnection::from_json(with_defaults);
  ASSERT_TRUE(read.has_value() && read_defaulted.has_value());
  EXPECT_EQ(read->spec, read_defaulted->spec);
}

void expect_described(const YAML::Node& node, const std::string& path) {
  if (!path.ends_with(".metadata")) {
    EXPECT_TRUE(node["description"]) << path << " teaches nothing";
  }
  for (const auto& property : node["properties"]) {
    expect_described(property.second, path + "." + property.first.as<std::string>());
  }
  // Elements of a plain type are described by their array.
  if (node["items"] && node["items"]["properties"]) expect_described(node["items"], path + "[]");
}

void expect_rules_explained(const YAML::Node& node, const std::string& path) {
  for (const auto& rule : node["x-kubernetes-validations"]) {
    EXPECT_TRUE(rule["message"]) << path << ": " << rule["rule"].as<std::string>();
  }
  for (const auto& property : node["properties"]) {
    expect_rules_explained(property.second, path + "." + property.first.as<std::string>());
  }
  if (node["items"]) expect_rules_explained(node["items"], path + "[]");
}

TEST(SchemaTest, EveryFieldIsDescribedAndEveryRuleExplained) {
  for (const char* plural : {"robottokenrotations", "quayconnections"}) {
    expect_described(schema(plural), plural);
    expect_rules_explained(schema(plural), plural);
  }
}

}  // namespace
}  // namespace quay_rotator::api
