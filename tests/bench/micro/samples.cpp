#include "bench/micro/samples.h"

#include <stdexcept>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "api/managed_secret.h"
#include "base/base64.h"
#include "base/secret_string.h"
#include "target/render.h"

namespace quay_rotator::bench {

namespace {

using nlohmann::json;

constexpr const char* time_text = "2026-03-01T12:00:00Z";

json managed_by(const std::string& manager, const char* subresource, const json& fields) {
  json entry{{"manager", manager}, {"operation", "Update"},    {"apiVersion", "v1"},
             {"time", time_text},  {"fieldsType", "FieldsV1"}, {"fieldsV1", fields}};
  if (*subresource != '\0') entry["subresource"] = subresource;
  return entry;
}

// Every member, as FieldsV1 spells it.
json fields_of(const json& value) {
  json fields = json::object();
  if (!value.is_object()) return fields;
  for (const auto& [key, member] : value.items()) fields["f:" + key] = fields_of(member);
  return fields;
}

json metadata(const std::string& name, std::size_t number) {
  return {{"name", name},
          {"namespace", "team-" + std::to_string(number % 100)},
          {"uid", "6f9b4a52-7c1e-4d0a-9b53-" + std::to_string(100'000'000'000 + number)},
          {"resourceVersion", std::to_string(1'000'000 + number)},
          {"creationTimestamp", time_text},
          {"generation", 1}};
}

json condition(const char* type, const char* status, const char* reason) {
  return {{"type", type},
          {"status", status},
          {"reason", reason},
          {"message", "All targets hold the robot's token."},
          {"lastTransitionTime", time_text},
          {"observedGeneration", 1}};
}

json status(const std::string& robot) {
  json history = json::array();
  for (int i = 0; i < 10; ++i) {
    history.push_back({{"time", time_text},
                       {"robot", "acme+" + robot},
                       {"reason", "Interval"},
                       {"result", "Succeeded"},
                       {"outage", "12ms"},
                       {"fingerprint", "sha256:3f9a1c0b2d4e5f60"}});
  }
  return {{"observedGeneration", 1},
          {"conditions",
           {condition("Ready", "True", "Rotated"), condition("Reconciling", "False", "Done"),
            condition("Preflight", "True", "Passed"), condition("Published", "True", "Written"),
            condition("Verified", "True", "LoggedIn")}},
          {"robots",
           {{{"name", "acme+" + robot},
             {"role", "Active"},
             {"fingerprint", "sha256:3f9a1c0b2d4e5f60"},
             {"knownSince", time_text}}}},
          {"lastRotationTime", time_text},
          {"next", {{"time", "2026-03-31T12:00:00Z"}, {"reason", "Interval"}}},
          {"targets", {{"total", 1}, {"current", 1}}},
          {"history", history}};
}

}  // namespace

std::string rotation_text(std::size_t number) {
  const std::string name = "robot-" + std::to_string(number);
  json object{{"apiVersion", api::rotations.api_version()},
              {"kind", api::rotations.kind},
              {"metadata", metadata(name, number)},
              {"spec",
               {{"connectionRef", {{"name", "quay"}}},
                {"robot", {{"organization", "acme"}, {"name", name}}},
                {"schedule", {{"interval", "720h"}, {"jitter", "10m"}}},
                {"targets", {{{"secret", {{"name", "pull-" + std::to_string(number)}}}}}}}},
              {"status", status(name)}};
  object["metadata"]["managedFields"] = {
      managed_by("kubectl-client-side-apply", "", {{"f:spec", fields_of(object["spec"])}}),
      managed_by("quay-rotator", "status", {{"f:status", fields_of(object["status"])}})};
  return object.dump();
}

std::string secret_text(std::size_t number) {
  const std::string robot = "robot-" + std::to_string(number);
  const auto config = target::docker_config({"quay.example.com"}, "acme+" + robot,
                                            base::SecretString(std::string(64, 'T')));
  json object{{"apiVersion", "v1"},
              {"kind", "Secret"},
              {"metadata", metadata("pull-" + std::to_string(number), number)},
              {"type", api::type_of(api::SecretShape::docker_config)},
              {"data", {{api::docker_config_key, base::base64_encode(config.reveal()).reveal()}}}};
  json& meta = object["metadata"];
  meta["labels"] = {{api::managed_by_label, api::managed_by_value}};
  const std::string owner = meta["namespace"].get<std::string>() + "/" + robot;
  meta["annotations"] = {{api::owner_annotation, owner},
                         {api::owner_uid_annotation, metadata(robot, number)["uid"]}};
  meta["ownerReferences"] = {{{"apiVersion", api::rotations.api_version()},
                              {"kind", api::rotations.kind},
                              {"name", robot},
                              {"uid", metadata(robot, number)["uid"]}}};
  meta["managedFields"] = {managed_by("quay-rotator/" + owner, "",
                                      {{"f:metadata", fields_of(meta)},
                                       {"f:data", fields_of(object["data"])},
                                       {"f:type", json::object()}})};
  return object.dump();
}

std::string event_text(const std::string& object) {
  return R"({"type":"MODIFIED","object":)" + object + "}";
}

std::string list_text(std::string (*object)(std::size_t), std::size_t count) {
  std::string items;
  for (std::size_t i = 0; i < count; ++i) items += (i == 0 ? "" : ",") + object(i);
  return R"({"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"2000000"},"items":[)" +
         items + "]}";
}

api::RobotTokenRotation rotation(std::size_t number) {
  const auto object = kube::parse_object(rotation_text(number));
  auto decoded = object ? api::RobotTokenRotation::from_json(*object)
                        : base::Expected<api::RobotTokenRotation>(tl::unexpected(object.error()));
  if (!decoded) throw std::runtime_error(decoded.error().message);
  if (decoded->invalid) throw std::runtime_error(*decoded->invalid);
  return std::move(*decoded);
}

}  // namespace quay_rotator::bench
