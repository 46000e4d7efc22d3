// A RobotTokenRotation or QuayConnection as the API server hands it over: what was read can be
// written, what is written can be read, and what follows from it stays in range.
#include <nlohmann/json.hpp>

#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "api/status_patch.h"
#include "base/json.h"
#include "connection/material.h"
#include "fuzz/target.h"
#include "kube/object.h"
#include "rotation/status/at_rest.h"
#include "rotation/status/delayed.h"
#include "rotation/status/halted.h"
#include "rotation/status/record.h"
#include "schedule/schedule.h"

namespace quay_rotator::fuzz {
namespace {

using api::RobotTokenRotation;
using api::RobotTokenRotationStatus;
using nlohmann::json;

constexpr base::WallTime now{std::chrono::seconds{1'772'366'400}};  // 2026-03-01

void check_time(const std::optional<base::WallTime>& time) {
  if (!time) return;
  const auto again = base::parse_time(base::format_time(*time));
  expect(again && *again == std::chrono::floor<std::chrono::seconds>(*time),
         "a time that is computed can be written");
}

// Writes a status as a status, and reads it again.
RobotTokenRotationStatus stored(const RobotTokenRotationStatus& status) {
  const auto read = RobotTokenRotation::from_json(
      {{"metadata", {{"name", "puller"}}}, {"status", api::to_json(status)}});
  expect(read.has_value(), "what is written to a status can be read");
  return read->status;
}

void check_status(const RobotTokenRotationStatus& status, const json& before) {
  const RobotTokenRotationStatus once = stored(status);
  expect(stored(once) == once, "a status comes back as it was written");
  const json after = api::to_json(status);
  json patched = before;
  patched.merge_patch(api::status_patch(before, after));
  expect(patched == after, "a patch makes the status that was wanted");
}

void check_rotation(const json& object) {
  const auto read = RobotTokenRotation::from_json(object);
  if (!read) return expect(!read.error().message.empty(), "an error has a message");
  const RobotTokenRotation& rotation = *read;
  const json* status = base::find(object, "status");
  const json before = status != nullptr && status->is_object() ? *status : json::object();
  check_status(rotation.status, before);
  check_status(rotation::without_connection(rotation, {}, {"InvalidURL", "why"}, now,
                                            std::chrono::seconds(30))
                   .status,
               before);
  if (rotation.invalid) {
    check_status(rotation::invalid(rotation, now).status, before);
    return;
  }
  const bool federates = rotation.spec.strategy.type == api::StrategyType::federate;
  expect(federates || rotation.spec.interval > rotation.spec.jitter,
         "jitter is less than the interval");
  expect(rotation.spec.robot.name != rotation.spec.strategy.alternate.standby,
         "two robots are two");
  expect(!rotation.spec.targets.empty() && !rotation.spec.robot.name.empty(),
         "a valid spec says what and where");
  check_time(schedule::next_rotation(rotation));
  check_time(schedule::due_time(rotation, now));
  check_time(schedule::retirement(rotation));
  check_status(rotation::at_rest(rotation, std::nullopt, now).status, before);
  check_status(rotation::suspended(rotation, now).status, before);
  check_status(rotation::in_conflict(rotation, {"team-a", "other"}, now).status, before);
  api::Ledger ledger;
  ledger.id = "1";
  ledger.robot = "acme+puller";
  check_status(rotation::with_ledger(rotation, ledger, ledger.robot, now), before);
}

void check_connection(const json& object) {
  const auto connection = api::QuayConnection::from_json(object);
  if (!connection) return expect(!connection.error().message.empty(), "an error has a message");
  const auto again = api::QuayConnection::from_json({{"metadata", {{"name", "quay"}}},
                                                     {"spec", object.at("spec")},
                                                     {"status", api::to_json(connection->status)}});
  expect(again && again->spec == connection->spec, "a connection comes back");
  const auto url = connection::url_of(connection->spec);
  if (!url) {
    expect(!url.error().reason.empty() && url.error().message.size() < 1024,
           "what is said of a URL is short");
    return;
  }
  expect(url->target == "/" && (url->scheme == "https" || connection->spec.allow_insecure),
         "a connection's URL is an origin that may be used");
  const auto proxy =
      connection::proxy_of(connection->spec, *url, [](auto) { return std::nullopt; });
  expect(!proxy || proxy->has_value() == !connection->spec.proxy_url.empty(),
         "a connection has the proxy that it names");
}

}  // namespace

void run(std::string_view text) {
  const auto object = kube::parse_object(text);
  if (!object) return;
  check_rotation(*object);
  check_connection(*object);
}

}  // namespace quay_rotator::fuzz
