#include "connection/reconciler.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace quay_rotator::connection {

namespace {

// Settled: a token is known, and no rotation of ours is moving it right now.
bool watched_for_drift(const api::RobotTokenRotation& rotation) {
  // A list tells robots' own tokens, not what a federation's exchange gave.
  const bool federates = rotation.spec.strategy.type == api::StrategyType::federate;
  return !federates && !rotation.deleting && !rotation.invalid && !rotation.spec.suspend &&
         !rotation.status.conditions.is_true("Conflict");
}

// Nothing is wrong with the connection, but this organization cannot be read with it.
bool concerns_organization(quay::Error::Kind kind) {
  using Kind = quay::Error::Kind;
  return kind == Kind::insufficient_scope || kind == Kind::organization_not_found ||
         kind == Kind::illegal_name;
}

Trouble trouble_of(const quay::Error& error) {
  return {std::string(quay::reason(error.kind)), error.message, !quay::passes(error.kind)};
}

// As the process before this one left it.
runtime::Lane::Health health_of(const api::QuayConnection& connection) {
  using Kind = quay::Error::Kind;
  const api::Condition* ready = connection.status.conditions.find("Ready");
  if (!ready || connection.status.observed_generation != connection.generation) {
    return runtime::Lane::Health::unproven;
  }
  if (ready->status == api::ConditionStatus::true_) return runtime::Lane::Health::answering;
  const std::array silent{Kind::unreachable, Kind::tls, Kind::too_slow, Kind::starting_up};
  const bool is_silent = std::ranges::any_of(
      silent, [ready](Kind kind) { return ready->reason == quay::reason(kind); });
  return is_silent ? runtime::Lane::Health::failing : runtime::Lane::Health::unproven;
}

api::QuayConnectionStatus status_with(const api::QuayConnection& connection,
                                      const std::optional<Trouble>& trouble, base::WallTime now) {
  api::QuayConnectionStatus status = connection.status;
  now = std::chrono::floor<std::chrono::seconds>(now);
  status.observed_generation = connection.generation;
  if (trouble) {
    status.conditions.set("Ready", api::ConditionStatus::false_, trouble->reason, trouble->message,
                          connection.generation, now);
  } else {
    status.conditions.set("Ready", api::ConditionStatus::true_, "Connected",
                          "Quay answers and accepts the API token.", connection.generation, now);
  }
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

Reconciler::Reconciler(ReconcilerParts parts) : parts_(std::move(parts)) {
  parts_.connections.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_connection(before, after, cause);
  });
}

void Reconciler::on_connection(const runtime::Store<api::QuayConnection>::Pointer& before,
                               const runtime::Store<api::QuayConnection>::Pointer& after,
                               runtime::ChangeCause cause) {
  if (!after) {
    parts_.sessions.forget(before->meta.key);
    parts_.findings.forget(before->meta.key);
    return parts_.queue.remove(before->meta.key);
  }
  const kube::ObjectKey& key = after->meta.key;
  const auto lane = parts_.lanes.of(lane_name(key));
  const bool edited =
      !before || before->meta.uid != after->meta.uid || before->generation != after->generation;
  if (edited) {
    lane->set_rate_limit(after->spec.requests_per_second, after->spec.burst);
    lane->forget_health();
  }
  const bool settled = after->status.observed_generation == after->generation &&
                       after->status.conditions.is_true("Ready");
  if (cause == runtime::ChangeCause::initial) lane->presume(health_of(*after));
  if (settled && cause == runtime::ChangeCause::initial) {
    parts_.queue.add_at(key,
                        parts_.executor.now() + parts_.executor.random_below(parts_.drift_interval),
                        runtime::Urgency::initial, lane);
  } else if (edited) {
    parts_.queue.add(key, runtime::Urgency::urgent, lane);
  }
}

runtime::Next Reconciler::reconcile(const kube::ObjectKey& key, const std::stop_token& stop) {
  const auto connection = parts_.connections.find(key);
  if (!connection || connection->deleting) return {};
  // A call for each organization, or one to learn whether anybody answers.
  const std::map<std::string, Robots> organizations = robots_of(key);
  const int calls = std::max(1, static_cast<int>(organizations.size()));
  if (!parts_.queue.reserve(key, calls, runtime::Urgency::normal)) return {};
  const Finding trouble = examine(key, organizations, stop);
  if (stop.stop_requested()) return {};
  api::QuayConnection object = *connection;
  const auto written = parts_.status.write(
      object, status_with(*connection, trouble, parts_.executor.wall_now()), stop);
  if (!written && written.error().kind != kube::Error::Kind::not_found) {
    parts_.log.warning("cannot write the status",
                       {{"connection", key.text()}, {"error", kube::explain(written.error())}});
    return runtime::Next::failed();
  }
  if (trouble) {
    parts_.log.warning(
        "connection not ready",
        {{"connection", key.text()}, {"reason", trouble->reason}, {"error", trouble->message}});
    return runtime::Next::failed();
  }
  // A tenth more or less keeps the connections of a large installation apart.
  const base::Duration spread = parts_.drift_interval / 5;
  return runtime::Next::at(parts_.executor.now() + parts_.drift_interval - spread / 2 +
                               parts_.executor.random_below(spread),
                           runtime::Urgency::normal);
}

runtime::Next Reconciler::failed(const kube::ObjectKey& key, const std::string& exception) {
  parts_.metrics.internal_error();
  parts_.log.error("internal error", {{"connection", key.text()}, {"exception", exception}});
  const auto connection = parts_.connections.find(key);
  if (!connection || connection->deleting) return {};
  const Trouble trouble{std::string(api::internal_error_reason),
                        api::internal_error_message(exception)};
  api::QuayConnection object = *connection;
  const auto written = parts_.status.write(
      object, status_with(*connection, trouble, parts_.executor.wall_now()), {});
  if (!written) {
    parts_.log.warning("cannot write the status",
                       {{"connection", key.text()}, {"error", kube::explain(written.error())}});
  }
  return runtime::Next::failed();
}

std::map<std::string, Reconciler::Robots> Reconciler::robots_of(
    const kube::ObjectKey& connection) const {
  std::map<std::string, Robots> organizations;
  const auto look = [&](const api::RobotTokenRotation& rotation) {
    if (connection_of(rotation) != connection || !watched_for_drift(rotation) ||
        !parts_.looked_after(rotation)) {
      return;
    }
    auto& robots = organizations[rotation.spec.robot.organization];
    const auto& status = rotation.status;
    const api::RobotStatus* robot = status.active();
    if (robot != nullptr && robot->fingerprint && !robot->expires && !status.rotation) {
      robots.push_back({rotation.meta.key, robot->name, *robot->fingerprint});
    }
  };
  parts_.rotations.each(look, connection.name_space);
  return organizations;
}

Reconciler::Finding Reconciler::examine(const kube::ObjectKey& connection,
                                        const std::map<std::string, Robots>& organizations,
                                        const std::stop_token& stop) {
  Findings::Organizations found;
  Finding trouble;
  const auto session = parts_.sessions.refresh(connection, stop);
  if (session) {
    trouble = read_all(connection, *session, organizations, found, stop);
  } else {
    const Problem& problem = session.error();
    trouble = Trouble{problem.reason, problem.message, problem.reason != "ApiServerUnavailable"};
  }
  if (stop.stop_requested()) return trouble;
  if (trouble) {
    for (const auto& [organization, robots] : organizations)
      found.try_emplace(organization, trouble);
  }
  for (const auto& [organization, robots] : organizations) {
    const auto one = found.find(organization);
    if (one == found.end() || !one->second || !one->second->lasting) continue;
    for (const Robot& robot : robots) parts_.on_refusal(robot.rotation);
  }
  tell(connection, std::move(found));
  return trouble;
}

Reconciler::Finding Reconciler::read_all(const kube::ObjectKey& connection,
                                         const std::shared_ptr<Session>& session,
                                         const std::map<std::string, Robots>& organizations,
                                         Findings::Organizations& found,
                                         const std::stop_token& stop) {
  if (organizations.empty()) {
    const auto answer = session->probe(stop);
    return answer ? Finding() : trouble_of(answer.error());
  }
  for (const auto& [organization, robots] : organizations) {
    const auto listing = parts_.newcomers.listen(connection, organization, session);
    const auto answer = read_organization(*session, organization, robots, listing.get(), stop);
    if (answer && listing) listing->complete();
    if (!answer && !concerns_organization(answer.error().kind)) {
      return trouble_of(answer.error());  // other organizations would fare no better
    }
    found[organization] = answer ? Finding() : trouble_of(answer.error());
  }
  return {};
}

void Reconciler::tell(const kube::ObjectKey& connection, Findings::Organizations found) {
  const std::set<std::string> news = parts_.findings.note(connection, std::move(found));
  if (news.empty()) return;
  std::vector<kube::ObjectKey> concerned;
  const auto look = [&](const api::RobotTokenRotation& rotation) {
    if (connection_of(rotation) == connection && news.contains(rotation.spec.robot.organization)) {
      concerned.push_back(rotation.meta.key);
    }
  };
  parts_.rotations.each(look, connection.name_space);
  for (const kube::ObjectKey& rotation : concerned) parts_.on_news(rotation);
}

quay::Expected<void> Reconciler::read_organization(Session& session,
                                                   const std::string& organization,
                                                   const Robots& robots, quay::TokenSeeker* seeker,
                                                   const std::stop_token& stop) {
  // Only robots of ours are kept: a list may hold thousands of others.
  struct Seen {
    const Robot* robot = nullptr;
    std::optional<base::Fingerprint> listed;
  };
  std::unordered_map<std::string_view, Seen> by_robot;
  for (const Robot& robot : robots) by_robot[robot.name].robot = &robot;
  auto answer = session.list(
      organization, stop,
      [&](const std::string& name, base::Fingerprint token) {
        const auto found = by_robot.find(name);
        if (found == by_robot.end()) return;
        found->second.listed = token;
      },
      seeker);
  if (!answer) return answer;
  for (const auto& [name, seen] : by_robot) {
    if (seen.listed == seen.robot->token) continue;
    parts_.log.info("drift", {{"resource", seen.robot->rotation.text()},
                              {"robot", name},
                              {"listed", seen.listed.has_value()}});
    parts_.on_drift(seen.robot->rotation, seen.listed);
  }
  return {};
}

}  // namespace quay_rotator::connection
