#include "rotation/status/draft.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "rotation/status/words.h"
#include "schedule/schedule.h"

namespace quay_rotator::rotation {

using api::ConditionStatus;

namespace {

base::WallTime whole_seconds(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

}  // namespace

Draft::Draft(const api::RobotTokenRotation& rotation, base::WallTime now)
    : rotation_(rotation), now_(whole_seconds(now)) {
  update_.status = rotation.status;
  update_.status.observed_generation = rotation.generation;
  if (!rotation.invalid) drop_former_robots(api::standby_robot(rotation));
  // A user's robot is known in full to Quay alone.
  const api::RobotName& robot = rotation.spec.robot;
  if (status().active() == nullptr && !robot.organization.empty() && !rotation.invalid) {
    active().name = robot.organization + "+" + robot.name;
  }
}

api::RobotStatus& Draft::active() {
  api::RobotStatus* robot = status().active();
  return robot != nullptr ? *robot : status().robots.emplace_back();
}

void Draft::name_active(const std::string& full_name) {
  std::string& name = active().name;
  if (name.empty() || api::short_name(name) == api::short_name(full_name)) name = full_name;
}

void Draft::activate(const std::string& full_name, std::optional<base::WallTime> when) {
  std::vector<api::RobotStatus>& robots = status().robots;
  if (active().name == full_name || active().name.empty()) {
    active().name = full_name;
    return;
  }
  active().role = api::RobotRole::standby;
  for (api::RobotStatus& robot : robots) {
    if (robot.name == full_name) continue;
    robot.replaced_at = whole_seconds(when.value_or(now_));
    robot.retired_at.reset();
  }
  const auto next = std::ranges::find(robots, full_name, &api::RobotStatus::name);
  if (next != robots.end()) {
    next->role = api::RobotRole::active;
    next->replaced_at.reset();
    next->retired_at.reset();
    next->last_accessed.reset();
  } else {
    robots.insert(robots.begin(), {full_name, api::RobotRole::active});
  }
  api::RobotTokenRotation after = rotation_;
  after.status = status();
  drop_former_robots(api::standby_robot(after));
}

void Draft::compared(const credential::Comparison& comparison) {
  const std::string_view standby = api::standby_robot(rotation_);
  const std::string owner = active().name.substr(0, active().name.find('+') + 1);
  if (owner.empty() || standby.empty()) return;
  const std::string name = owner + std::string(standby);
  std::vector<api::RobotStatus>& robots = status().robots;
  auto entry = std::ranges::find(robots, name, &api::RobotStatus::name);
  if (entry == robots.end()) {
    if (robots.size() == api::most_robots) return;
    entry = robots.insert(entry, {name, api::RobotRole::standby});
  }
  // Of what was never in a target this is when its being used became our business.
  if (!entry->replaced_at) entry->replaced_at = now_;
  entry->last_accessed = comparison.standby_used;
  if (!comparison.differences.empty() || !status().ownership) return;
  status().ownership =
      tenancy::proven_standby(*status().ownership, rotation_.spec.strategy.alternate.standby, now_);
}

void Draft::drop_former_robots(std::string_view standby) {
  const auto& ledger = status().rotation;
  std::erase_if(status().robots, [&](const api::RobotStatus& robot) {
    return robot.role == api::RobotRole::standby && !(ledger && ledger->robot == robot.name) &&
           api::short_name(robot.name) != standby;
  });
}

void Draft::set(std::string_view type, ConditionStatus status, std::string_view reason,
                std::string_view message) {
  update_.status.conditions.set(type, status, reason, message, rotation_.generation, now_);
}

void Draft::ready() {
  set("Ready", ConditionStatus::true_, "Current",
      held_by(update_.status.targets.total) + " the robot's current token.");
  update_.status.conditions.remove("Reconciling");
  update_.status.conditions.remove("Stalled");
  succeed();
}

void Draft::stalled(std::string_view reason, std::string_view message) {
  set("Ready", ConditionStatus::false_, reason, message);
  set("Stalled", ConditionStatus::true_, reason, message);
  update_.status.conditions.remove("Reconciling");
}

void Draft::retrying(std::string_view reason, std::string_view message) {
  set("Ready", ConditionStatus::false_, reason, message);
  set("Reconciling", ConditionStatus::true_, "Retrying", message);
  update_.status.conditions.remove("Stalled");
}

void Draft::cannot_turn(std::string_view reason, const std::string& message) {
  warn_once("Preflight", reason, message);
  set("Preflight", ConditionStatus::false_, reason, message);
  retrying(reason, message);
}

void Draft::unknown(std::string_view type, std::string_view reason, std::string_view message) {
  if (update_.status.conditions.find(type)) set(type, ConditionStatus::unknown, reason, message);
}

void Draft::unknown(std::string_view reason, std::string_view message) {
  for (const std::string_view type : {"Published", "Verified"}) unknown(type, reason, message);
}

void Draft::unseen(std::string_view reason, std::string_view message) {
  update_.status.conditions.remove("Preflight");
  update_.status.conditions.remove("Conflict");
  unknown(reason, message);
}

void Draft::published() {
  set("Published", ConditionStatus::true_, "AllTargetsCurrent",
      held_by(update_.status.targets.total) + " the token that Quay holds.");
}

void Draft::unreadable() {
  const api::Condition* ready = update_.status.conditions.find("Ready");
  const std::string failure = ready != nullptr ? "; " + ready->message : std::string();
  stalled("StatusUnreadable",
          update_.status.unreadable->why +
              ": the status cannot be read; it is mended as soon as Quay tells the token, and "
              "nothing is regenerated until then" +
              failure);
}

void Draft::succeed() {
  update_.status.consecutive_failures = 0;
  update_.status.retry_after.reset();
}

void Draft::fail(base::Duration delay) {
  ++update_.status.consecutive_failures;
  update_.status.retry_after = whole_seconds(now_ + std::chrono::ceil<std::chrono::seconds>(delay));
}

void Draft::claim(Claim look, const tenancy::Way& way, const std::optional<std::string>& alias) {
  auto& ownership = update_.status.ownership;
  if (look == Claim::read) ownership = tenancy::proven(ownership, way, alias, now_);
  if (ownership && !tenancy::made_on(*ownership, way)) ownership = tenancy::unproven(ownership);
  if (look == Claim::refused) ownership = tenancy::refused(ownership, now_);
}

void Draft::failing(const std::vector<target::Problem>& problems) {
  const std::vector<api::FailingTarget>& before = rotation_.status.targets.failing;
  std::vector<api::FailingTarget> list;
  for (const target::Problem& problem : problems) {
    if (list.size() == api::most_failing) break;
    api::FailingTarget failed{.name_space = problem.object.name_space,
                              .name = problem.object.name,
                              .kind = problem.kind,
                              .reason = problem.reason,
                              .message = problem.message,
                              .since = now_};
    const auto same = std::ranges::find_if(before, [&](const api::FailingTarget& old) {
      return old.kind == failed.kind && old.name_space == failed.name_space &&
             old.name == failed.name && old.reason == failed.reason;
    });
    if (same != before.end()) failed.since = same->since;
    list.push_back(std::move(failed));
  }
  update_.status.targets.failing = std::move(list);
}

void Draft::remember(std::string_view reason, std::string_view result,
                     std::optional<base::Duration> outage,
                     std::optional<base::Fingerprint> fingerprint,
                     std::optional<base::Fingerprint> previous) {
  remember(status().active_name(), reason, result, outage, fingerprint, previous);
}

void Draft::remember(std::string robot, std::string_view reason, std::string_view result,
                     std::optional<base::Duration> outage,
                     std::optional<base::Fingerprint> fingerprint,
                     std::optional<base::Fingerprint> previous) {
  auto& history = update_.status.history;
  const auto last = std::ranges::find(history, robot, &api::HistoryEntry::robot);
  const bool told = last != history.end() && last->fingerprint == previous;
  if (told || previous == fingerprint) previous.reset();
  history.insert(history.begin(), {now_, std::move(robot), std::string(reason), std::string(result),
                                   outage, fingerprint, previous});
  if (history.size() > api::most_history) history.resize(api::most_history);
}

void Draft::notice(kube::EventType type, std::string reason, std::string note) {
  update_.notices.push_back({type, std::move(reason), std::move(note)});
}

void Draft::warn(std::string reason, std::string note) {
  notice(kube::EventType::warning, std::move(reason), std::move(note));
}

void Draft::warn_once(std::string_view type, std::string_view reason, std::string note) {
  const api::Condition* before = rotation_.status.conditions.find(type);
  if (!before || before->reason != reason) warn(std::string(reason), std::move(note));
}

StatusUpdate Draft::take() {
  if (rotation_.invalid) return take_halted();
  api::RobotTokenRotation rotation = rotation_;
  rotation.status = update_.status;
  update_.status.next = schedule::next(rotation);
  return std::move(update_);
}

StatusUpdate Draft::take_halted() {
  update_.status.next.reset();
  return std::move(update_);
}

}  // namespace quay_rotator::rotation
