// A resource at rest, what may come of a run with it, and how a test reads what is told of that.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "connection/findings.h"
#include "rotation/status/after_run.h"

namespace quay_rotator::rotation::samples {

inline const base::WallTime now =
    base::WallTime(std::chrono::sys_days(std::chrono::year(2026) / 3 / 1));

inline api::RobotTokenRotation settled() {
  api::RobotTokenRotation rotation;
  rotation.meta = {{"team", "puller"}, "uid", "7"};
  rotation.generation = 3;
  rotation.spec.robot = {"acme", "puller"};
  rotation.spec.interval = std::chrono::hours(1);
  rotation.spec.targets = {{"pull", {}, {}, {}}};
  rotation.status.robots = {{"acme+puller", api::RobotRole::active, base::Fingerprint::of("old"),
                             now - std::chrono::hours(1)}};
  return rotation;
}

using End = credential::Outcome::End;
using Verified = credential::Outcome::Verified;

// What came of a run, and what the look knew beside it.
struct RunResult : credential::Outcome, Circumstances {};
inline StatusUpdate after_run(const api::RobotTokenRotation& rotation, const RunResult& result) {
  return rotation::after_run(rotation, result, result);
}

inline RunResult ended(End end) {
  RunResult result;
  result.end = end;
  result.robot = "acme+puller";
  result.targets_total = 1;
  result.now = now;
  result.retry_delay = std::chrono::seconds(5);
  return result;
}

inline RunResult done(std::string_view token) {
  RunResult result = ended(End::done);
  result.fingerprint = base::Fingerprint::of(token);
  result.verified = Verified::good;
  return result;
}

inline RunResult rotated() {
  RunResult result = done("new");
  result.regenerated = true;
  result.made = result.fingerprint;
  result.clear_ledger = true;
  result.ledger = api::Ledger{
      "id", "acme+puller", api::RotationReason::requested, now, base::Fingerprint::of("old"),
      1,    "today"};
  result.outage = std::chrono::milliseconds(12);
  return result;
}

inline quay::Error quay_error(quay::Error::Kind kind) {
  quay::Error error;
  error.kind = kind;
  error.message = "Quay is read-only";
  return error;
}

inline RunResult stale_read() {
  RunResult result = done("new");
  result.end = End::stale_read;
  result.verified = Verified::not_done;
  result.stale = base::Fingerprint::of("old");
  return result;
}

inline const tenancy::Way way{"quay", "quay.example.com", false};

inline RunResult refused(quay::Error::Kind kind) {
  RunResult result = done("old");
  result.end = End::quay_failed;
  result.quay_error = quay_error(kind);
  result.robot.clear();
  result.way = way;
  return result;
}

inline const api::Condition& condition(const StatusUpdate& update, std::string_view type) {
  const api::Condition* found = update.status.conditions.find(type);
  EXPECT_NE(found, nullptr) << type;
  static const api::Condition none;
  return found ? *found : none;
}

inline const std::optional<connection::Findings::Known> readable = connection::Findings::Known{};

inline std::optional<connection::Findings::Known> known(std::string reason, bool lasting) {
  return connection::Findings::Known{
      connection::Trouble{std::move(reason), "what it is, and what to do", lasting}};
}

}  // namespace quay_rotator::rotation::samples
