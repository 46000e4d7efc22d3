#include "rotation/connection_reconciler.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace quay_rotator::rotation {

namespace {

// Settled: a token is known, and no rotation of ours is moving it right now.
bool watched_for_drift(const api::RobotTokenRotation& rotation) {
  return !rotation.deleting && !rotation.invalid && !rotation.spec.suspend &&
         !rotation.status.conditions.is_true("Conflict");
}

api::QuayConnectionStatus status_with(const api::QuayConnection& connection, bool ready,
                                      std::string_view reason, std::string_view message,
                                      base::WallTime now) {
  api::QuayConnectionStatus status = connection.status;
  now = std::chrono::floor<std::chrono::seconds>(now);
  status.observed_generation = connection.generation;
  status.conditions.set("Ready", ready ? api::ConditionStatus::true_ : api::ConditionStatus::false_,
                        reason, message, connection.generation, now);
  if (connection.spec.url.starts_with("http://")) {
    status.conditions.set("Insecure", api::ConditionStatus::true_, "PlainHTTP",
                          "spec.allowInsecure: tokens travel unencrypted", connection.generation,
                          now);
  } else {
    status.conditions.remove("Insecure");
  }
  return status;
}

}  // namespace

ConnectionReconciler::ConnectionReconciler(ConnectionReconcilerParts parts)
    : parts_(std::move(parts)) {
  parts_.connections.add_listener([this](const auto& before, const auto& after, auto cause) {
    if (!after) {
      parts_.sessions.forget(before->meta.key);
      return parts_.queue.remove(before->meta.key);
    }
    const bool settled = after->status.observed_generation == after->generation &&
                         after->status.conditions.is_true("Ready");
    if (settled && cause == runtime::ChangeCause::initial) {
      parts_.queue.add_at(
          after->meta.key,
          parts_.executor.now() + parts_.executor.random_below(parts_.drift_interval),
          runtime::Urgency::initial);
    } else if (!before || before->meta.uid != after->meta.uid ||
               before->generation != after->generation) {
      parts_.queue.add(after->meta.key, runtime::Urgency::urgent);
    }
  });
}

void ConnectionReconciler::reconcile(const kube::ObjectKey& key, const std::stop_token& stop) {
  const auto connection = parts_.connections.find(key);
  if (!connection || connection->deleting) return;
  const Finding finding = examine(*connection, stop);
  if (stop.stop_requested()) return;
  const auto written = parts_.status.write(*connection,
                                           status_with(*connection, finding.ready, finding.reason,
                                                       finding.message, parts_.executor.wall_now()),
                                           stop);
  if (!written && written.error().kind != kube::Error::Kind::not_found) {
    parts_.log.warning("cannot write the status",
                       {{"connection", key.text()}, {"error", kube::explain(written.error())}});
    parts_.queue.add_after_failure(key, runtime::Urgency::normal);
    return;
  }
  if (!finding.ready) {
    parts_.log.warning(
        "connection not ready",
        {{"connection", key.text()}, {"reason", finding.reason}, {"error", finding.message}});
    parts_.queue.add_after_failure(key, runtime::Urgency::normal);
    return;
  }
  parts_.queue.forget(key);
  // A tenth more or less keeps the connections of a large installation apart.
  const base::Duration spread = parts_.drift_interval / 5;
  parts_.queue.add_at(key,
                      parts_.executor.now() + parts_.drift_interval - spread / 2 +
                          parts_.executor.random_below(spread),
                      runtime::Urgency::normal);
}

ConnectionReconciler::Finding ConnectionReconciler::examine(const api::QuayConnection& connection,
                                                            const std::stop_token& stop) {
  const kube::ObjectKey& key = connection.meta.key;
  const auto session = parts_.sessions.refresh(key, stop);
  if (!session) return {false, session.error().reason, session.error().message};

  std::map<std::string, std::vector<Robot>> organizations;
  const auto look = [&](const api::RobotTokenRotation& rotation) {
    if (rotation.spec.connection != key.name || !watched_for_drift(rotation)) return;
    auto& robots = organizations[rotation.spec.robot.organization];
    const auto& status = rotation.status;
    if (status.token_fingerprint && !status.rotation) {
      robots.push_back({rotation.meta.key, status.robot, *status.token_fingerprint});
    }
  };
  parts_.rotations.each(look, key.name_space);
  if (organizations.empty()) {
    if (const auto answer = (*session)->probe(stop); !answer) {
      return {false, std::string(quay::reason(answer.error().kind)), answer.error().message};
    }
  }
  Finding finding{true, "Connected", "Quay answers and accepts the API token."};
  for (const auto& [organization, robots] : organizations) {
    const auto answer = read_organization(**session, organization, robots, stop);
    if (answer) continue;
    if (finding.ready) {
      finding = {false, std::string(quay::reason(answer.error().kind)), answer.error().message};
    }
    // Other organizations fare no better when it is Quay or the token that fails.
    const auto kind = answer.error().kind;
    if (kind != quay::Error::Kind::insufficient_scope &&
        kind != quay::Error::Kind::organization_not_found) {
      break;
    }
  }
  return finding;
}

quay::Expected<void> ConnectionReconciler::read_organization(QuaySession& session,
                                                             const std::string& organization,
                                                             const std::vector<Robot>& robots,
                                                             const std::stop_token& stop) {
  // Only robots of ours are kept: a list may hold thousands of others.
  struct Seen {
    const Robot* robot = nullptr;
    bool listed = false;
    bool differs = false;
  };
  std::unordered_map<std::string_view, Seen> by_robot;
  for (const Robot& robot : robots) by_robot[robot.name].robot = &robot;
  auto answer =
      session.list(organization, stop, [&](const std::string& name, base::Fingerprint token) {
        const auto found = by_robot.find(name);
        if (found == by_robot.end()) return;
        found->second.listed = true;
        found->second.differs = token != found->second.robot->token;
      });
  if (!answer) return answer;
  for (const auto& [name, seen] : by_robot) {
    if (seen.listed && !seen.differs) continue;
    parts_.log.info(
        "drift",
        {{"resource", seen.robot->rotation.text()}, {"robot", name}, {"listed", seen.listed}});
    parts_.on_drift(seen.robot->rotation);
  }
  return {};
}

}  // namespace quay_rotator::rotation
