#include "rotation/status.h"

#include <algorithm>
#include <chrono>

#include "schedule/schedule.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

namespace {

using api::ConditionStatus;
using credential::Outcome;
using End = Outcome::End;
using Verified = Outcome::Verified;

constexpr std::string_view stale_read = "StaleRead";
constexpr std::string_view unreadable_namespace = "NamespaceUnreadable";

base::WallTime whole_seconds(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

std::string secrets(int count) {
  return count == 1 ? "1 Secret" : std::to_string(count) + " Secrets";
}

std::string held_by(int count) {
  return secrets(count) + (count == 1 ? " holds" : " hold");
}

// Collects what changes about one resource.
class Writer {
 public:
  Writer(const api::RobotTokenRotation& rotation, base::WallTime now)
      : rotation_(rotation), now_(whole_seconds(now)) {
    update_.status = rotation.status;
    update_.status.observed_generation = rotation.generation;
    // A user's robot is known in full to Quay alone.
    const api::RobotName& robot = rotation.spec.robot;
    if (status().active() == nullptr && !robot.organization.empty() && !rotation.invalid) {
      active().name = robot.organization + "+" + robot.name;
    }
  }

  api::RobotTokenRotationStatus& status() { return update_.status; }
  // The active robot; without a name where there was none.
  api::RobotStatus& active() {
    api::RobotStatus* robot = status().active();
    return robot != nullptr ? *robot : status().robots.emplace_back();
  }
  [[nodiscard]] base::WallTime now() const { return now_; }

  void set(std::string_view type, ConditionStatus status, std::string_view reason,
           std::string_view message) {
    update_.status.conditions.set(type, status, reason, message, rotation_.generation, now_);
  }
  void ready(std::string_view message) {
    set("Ready", ConditionStatus::true_, "Current", message);
    update_.status.conditions.remove("Reconciling");
    update_.status.conditions.remove("Stalled");
    succeed();
  }
  // Not ready, and only a person can change that.
  void stalled(std::string_view reason, std::string_view message) {
    set("Ready", ConditionStatus::false_, reason, message);
    set("Stalled", ConditionStatus::true_, reason, message);
    update_.status.conditions.remove("Reconciling");
  }
  // Not ready, and tried again by itself.
  void retrying(std::string_view reason, std::string_view message) {
    set("Ready", ConditionStatus::false_, reason, message);
    set("Reconciling", ConditionStatus::true_, "Retrying", message);
    update_.status.conditions.remove("Stalled");
  }
  // What it says was so; nobody knows whether it still is.
  void unknown(std::string_view type, std::string_view reason, std::string_view message) {
    if (update_.status.conditions.find(type)) set(type, ConditionStatus::unknown, reason, message);
  }
  void unknown(std::string_view reason, std::string_view message) {
    for (const std::string_view type : {"Published", "Verified"}) unknown(type, reason, message);
  }
  void published() {
    set("Published", ConditionStatus::true_, "AllTargetsCurrent",
        held_by(update_.status.targets.total) + " the token that Quay holds.");
  }
  void ready() { ready(held_by(update_.status.targets.total) + " the robot's current token."); }
  // The status is not what it should be, and what would mend it has just failed.
  void unreadable() {
    const api::Condition* ready = update_.status.conditions.find("Ready");
    const std::string failure = ready != nullptr ? "; " + ready->message : std::string();
    stalled("StatusUnreadable",
            update_.status.unreadable->why +
                ": the status cannot be read; it is mended as soon as Quay tells the token, and "
                "nothing is regenerated until then" +
                failure);
  }
  void succeed() {
    update_.status.consecutive_failures = 0;
    update_.status.retry_after.reset();
  }
  void fail(base::Duration delay) {
    ++update_.status.consecutive_failures;
    update_.status.retry_after =
        whole_seconds(now_ + std::chrono::ceil<std::chrono::seconds>(delay));
  }
  // What this look says of the claim to the robot; see tenancy/ownership.h.
  enum class Claim { read, refused, unknown };
  void claim(Claim look, const tenancy::Way& way, const std::optional<std::string>& alias) {
    auto& ownership = update_.status.ownership;
    if (look == Claim::read) ownership = tenancy::proven(ownership, way, alias, now_);
    if (ownership && !tenancy::made_on(*ownership, way)) ownership = tenancy::unproven(ownership);
    if (look == Claim::refused) ownership = tenancy::refused(ownership, now_);
  }
  void failing(const std::vector<target::Problem>& problems) {
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
  void remember(std::string_view reason, std::string_view result,
                std::optional<base::Duration> outage, std::optional<base::Fingerprint> fingerprint,
                std::optional<base::Fingerprint> previous = {}) {
    auto& history = update_.status.history;
    const bool told = !history.empty() && history.front().fingerprint == previous;
    if (told || previous == fingerprint) previous.reset();
    history.insert(history.begin(), {now_, status().active_name(), std::string(reason),
                                     std::string(result), outage, fingerprint, previous});
    if (history.size() > api::most_history) history.resize(api::most_history);
  }
  void notice(kube::EventType type, std::string reason, std::string note) {
    update_.notices.push_back({type, std::move(reason), std::move(note)});
  }
  void warn(std::string reason, std::string note) {
    notice(kube::EventType::warning, std::move(reason), std::move(note));
  }

  StatusUpdate take() {
    if (rotation_.invalid) return take_halted();
    api::RobotTokenRotation rotation = rotation_;
    rotation.status = update_.status;
    const bool wanted = rotation.status.rotation || rotation.status.has_unreadable_ledger() ||
                        tenancy::initial_rotation_pending(rotation) ||
                        !tenancy::open_request(rotation).empty();
    update_.status.next = schedule::next(rotation, wanted);
    return std::move(update_);
  }
  // As long as it stays so nothing is rotated.
  StatusUpdate take_halted() {
    update_.status.next.reset();
    return std::move(update_);
  }

 private:
  const api::RobotTokenRotation& rotation_;
  base::WallTime now_;
  StatusUpdate update_;
};

// Nothing was looked after, for a reason that is over when anything else is told.
bool is_halt(std::string_view reason) {
  return reason == "Conflict" || reason == "InvalidSpec" || reason == "OwnedByAnotherCluster" ||
         reason == unreadable_namespace;
}

// In whole seconds, at least one.
std::string in_words(base::Duration time) {
  return base::format_duration(std::max<base::Duration>(
      std::chrono::ceil<std::chrono::seconds>(time), std::chrono::seconds(1)));
}

std::string asking_again(base::Duration delay) {
  return "; asking again in " + in_words(delay);
}

std::string stale_message(base::Fingerprint stale, std::optional<base::Fingerprint> newest) {
  return "Quay answered with token " + stale.text() + ", which is older than " +
         (newest ? newest->text() : "the one that a regeneration has made") +
         " (a replica or a cache that lags; or a backup of Quay that was put back, which is "
         "believed when it stays and the registry accepts it)";
}

// The first problem in words, and how many more there are.
std::string summary(const std::vector<target::Problem>& problems) {
  const target::Problem& first = problems.front();
  std::string text = first.message;
  // Our own words name it as namespace/name, the API server's as "name".
  const std::string& name = first.object.name;
  if (text.find("/" + name) == std::string::npos &&
      text.find('"' + name + '"') == std::string::npos) {
    text.insert(0, first.kind + " " + name + ": ");
  }
  if (problems.size() > 1) {
    text += " (and " + std::to_string(problems.size() - 1) + " more, see status.targets.failing";
    if (problems.size() > api::most_failing) {
      text += " for the first " + std::to_string(api::most_failing);
    }
    text += ")";
  }
  return text;
}

// At the last look there was no such robot.
bool was_gone(const api::RobotTokenRotationStatus& status) {
  const api::Condition* published = status.conditions.find("Published");
  return published && published->reason == quay::reason(quay::Error::Kind::robot_not_found);
}

void done(Writer& writer, const api::RobotTokenRotation& rotation, const Outcome& outcome,
          const Circumstances& run) {
  api::RobotTokenRotationStatus& status = writer.status();
  api::RobotStatus& robot = writer.active();
  const auto known = rotation.status.fingerprint();
  const bool first = !known;
  const bool changed = !first && known != outcome.fingerprint;
  const std::string token = outcome.fingerprint->text();
  const bool anew = was_gone(rotation.status) && changed && !outcome.regenerated;
  const char* foreign = anew ? "RobotRecreated" : "ForeignRotation";

  if (outcome.regenerated) {
    status.last_rotation_time = writer.now();
    robot.known_since = writer.now();
    if (!outcome.ledger->rotate_request.empty()) {
      status.last_handled_rotate_request = outcome.ledger->rotate_request;
    }
    writer.remember(text(outcome.ledger->reason), "Succeeded", outcome.outage, outcome.made,
                    outcome.ledger->previous);
    if (outcome.fingerprint != outcome.made) {
      writer.remember("ForeignRotation", "Succeeded", std::nullopt, outcome.fingerprint);
    }
    std::string note = "token " + outcome.ledger->previous.text() + " replaced by " + token +
                       " in " + secrets(run.targets_total);
    if (outcome.outage) note += ", outage " + base::format_duration(*outcome.outage);
    writer.notice(kube::EventType::normal, "Rotated", std::move(note));
    writer.set("Preflight", ConditionStatus::true_, "Accepted",
               "Every target accepted the dry run of the last rotation.");
  } else {
    status.conditions.remove("Preflight");
    if (tenancy::restored_without_status(rotation)) {
      status.last_handled_rotate_request = rotation.rotate_request;
    }
    if (first || changed) {
      robot.known_since = writer.now();
      writer.remember(first ? "Adopted" : foreign, "Succeeded", std::nullopt, outcome.fingerprint,
                      known);
    }
  }
  if (first && !outcome.regenerated) {
    writer.notice(
        kube::EventType::normal, "Adopted",
        "token " + token + " of robot " + robot.name + " is in " + secrets(run.targets_total));
  }
  if (outcome.foreign) {
    const std::vector<base::Fingerprint> older = superseded(rotation.status);
    std::string what = "the token was regenerated by ";
    if (std::ranges::find(older, *outcome.fingerprint) != older.end()) {
      what = "Quay has gone back to an older token, as a backup does that was put back";
    } else {
      if (run.watched) what += "an earlier request that Quay carried out late, or by ";
      what += "somebody else";
    }
    if (anew) {
      what = "robot " + robot.name +
             " was made anew: grant it again what it may pull, a new robot has no rights";
    }
    writer.warn(foreign, what + "; " + token + " is in " + secrets(run.targets_total));
  } else if (!run.healed.empty() && !outcome.regenerated && !first) {
    writer.notice(kube::EventType::normal, "Healed", run.healed + ": healed with token " + token);
  }
  // A ledger that cannot be read stays until nothing can be in flight for it.
  const bool held = outcome.hold_left && status.has_unreadable_ledger();
  if (held) {
    status.unreadable->members = {"rotation"};
  } else if (status.unreadable) {
    writer.warn("StatusUnreadable", status.unreadable->why +
                                        ": the status could not be read; it is mended by what Quay "
                                        "holds, and nothing was regenerated for it");
    status.unreadable.reset();
    if (!robot.known_since) robot.known_since = writer.now();
  }
  robot.fingerprint = outcome.fingerprint;
  status.targets.current = run.targets_total;
  status.targets.failing.clear();
  writer.published();

  if (rotation.spec.verify == api::VerifyLevel::none) status.conditions.remove("Verified");
  const int failures = status.consecutive_failures;
  std::string reason(outcome.verify_error ? quay::reason(outcome.verify_error->kind) : "");
  std::string message = outcome.verify_error ? outcome.verify_error->message : "";
  if (outcome.stale) {
    reason = stale_read;
    message += (message.empty() ? "" : "; ") + stale_message(*outcome.stale, outcome.fingerprint);
  }
  switch (outcome.verified) {
    case Verified::good:
      writer.set("Verified", ConditionStatus::true_, "LoggedIn",
                 "The registry accepted the token.");
      break;
    case Verified::refused:
      writer.set("Verified", ConditionStatus::false_, reason, message);
      writer.retrying(reason, message);
      writer.fail(run.retry_delay);
      return;
    case Verified::unknown:
      writer.set("Verified", ConditionStatus::unknown, reason,
                 message + asking_again(run.retry_delay));
      break;
    case Verified::not_done:
      break;
  }
  if (held) {
    writer.retrying("RotationUnclear",
                    status.unreadable->why +
                        ": the ledger of a rotation cannot be read, so Quay may still be "
                        "regenerating the token; nothing is sent for another " +
                        in_words(*outcome.hold_left) + asking_again(run.retry_delay));
    return writer.fail(run.retry_delay);
  }
  writer.ready();
  if (outcome.verified != Verified::unknown) return;
  // Not verified is no reason to be not ready, but each time is one more.
  status.consecutive_failures = failures;
  writer.fail(run.retry_delay);
}

void stale(Writer& writer, const Outcome& outcome, const Circumstances& run) {
  const bool open = writer.status().rotation.has_value();
  const std::string message =
      stale_message(*outcome.stale, open ? std::nullopt : outcome.fingerprint) +
      "; nothing was written" + asking_again(run.retry_delay);
  if (writer.status().consecutive_failures == 0) writer.warn(std::string(stale_read), message);
  api::Conditions& conditions = writer.status().conditions;
  conditions.remove("Preflight");
  // While every target holds the newest token, pulls work.
  const bool good = !open && run.targets_current;
  if (!good || !conditions.is_true("Published")) {
    writer.unknown("Published", stale_read, "Nothing was written; see Verified.");
  }
  writer.set("Verified", ConditionStatus::unknown, stale_read, message);
  if (!good) return writer.retrying(stale_read, message);
  const int failures = writer.status().consecutive_failures;
  writer.ready();
  writer.status().consecutive_failures = failures;
}

void preflight_refused(Writer& writer, const Outcome& outcome) {
  std::string reason;
  std::string message;
  if (outcome.preflight_error) {
    reason = quay::reason(outcome.preflight_error->kind);
    message =
        "the login with the robot's current token failed: " + outcome.preflight_error->message;
    writer.set("Verified",
               quay::passes(outcome.preflight_error->kind) ? ConditionStatus::unknown
                                                           : ConditionStatus::false_,
               reason, outcome.preflight_error->message);
  } else {
    reason = outcome.problems.front().reason;
    message = summary(outcome.problems);
    writer.failing(outcome.problems);
  }
  message += "; nothing was regenerated";
  writer.set("Preflight", ConditionStatus::false_, reason, message);
  writer.retrying(reason, message);
  writer.warn("PreflightFailed", message);
}

// Quay was asked and did not tell the robot's token: what the Secrets hold is as it was, what it is
// worth is not known.
void robot_not_read(Writer& writer, const quay::Error& error) {
  const std::string_view reason = quay::reason(error.kind);
  writer.status().conditions.remove("Preflight");
  if (error.kind == quay::Error::Kind::robot_not_found) {
    writer.set("Published", ConditionStatus::false_, reason,
               "The robot is gone, and with it every token that the Secrets may hold.");
    return writer.unknown("Verified", reason, "There is no robot to log in.");
  }
  writer.unknown(reason, "Quay does not tell the robot's token; see Ready.");
}

void quay_failed(Writer& writer, const Outcome& outcome, const Circumstances& run) {
  const quay::Error& error = *outcome.quay_error;
  std::string message = error.message;
  if (!outcome.fingerprint) robot_not_read(writer, error);
  if (outcome.clear_ledger) {
    message += "; nothing was regenerated";
    if (writer.status().consecutive_failures == 0) {
      writer.remember(text(outcome.ledger->reason), "Failed", std::nullopt, outcome.fingerprint);
    }
  }
  const std::string reason(quay::reason(error.kind));
  writer.retrying(reason, message);
  writer.warn(run.rotates ? "RotationFailed" : reason, message);
}

void unclear(Writer& writer, const Outcome& outcome, const Circumstances& run) {
  std::string message = "it is not known yet whether Quay has regenerated the token";
  if (outcome.quay_error) message += " (" + outcome.quay_error->message + ")";
  message += "; the Secrets hold the token that was valid before";
  writer.unknown("RotationUnclear", "A regeneration may have happened; see Ready.");
  writer.warn("RotationFailed", message);
  if (outcome.hold_left) {
    message +=
        ", which Quay still has: nothing is sent again for another " + in_words(*outcome.hold_left);
  }
  message += asking_again(run.retry_delay);
  writer.retrying("RotationUnclear", message);
}

void started_over(Writer& writer, const Circumstances& run) {
  const std::string message =
      "a rotation could not begin " + std::to_string(run.start_overs) +
      " times in a row: the resource was changed by somebody else each time, or the API server "
      "took too long; nothing was regenerated" +
      asking_again(run.retry_delay);
  writer.status().conditions.remove("Preflight");
  writer.unknown("CannotBegin", "A rotation cannot begin; see Ready.");
  writer.retrying("CannotBegin", message);
}

void unpublished(Writer& writer, const Outcome& outcome, const Circumstances& run) {
  const auto& problems = outcome.problems;
  const int failed = static_cast<int>(problems.size());
  writer.failing(problems);
  writer.status().targets.current = std::max(0, run.targets_total - failed);
  const std::string message = secrets(failed) + " of " + std::to_string(run.targets_total) +
                              " could not be written; " + summary(problems);
  const api::Condition* before = writer.status().conditions.find("Published");
  const bool news = before == nullptr || before->status != ConditionStatus::false_ ||
                    before->reason != problems.front().reason;
  writer.set("Published", ConditionStatus::false_, problems.front().reason, message);
  writer.unknown("Verified", "PublishFailed", "The new token is tried when every Secret holds it.");
  writer.retrying("PublishFailed", message);
  if (outcome.regenerated) {
    writer.warn("RotationFailed", message);
  } else if (news) {
    writer.warn("PublishFailed", message);
  }
}

// Quay says that this resource may not read the robot (any more).
bool refuses_to_read(const Outcome& outcome) {
  return outcome.end == End::quay_failed && !outcome.clear_ledger &&
         quay::refuses_access(outcome.quay_error->kind);
}

}  // namespace

std::vector<base::Fingerprint> superseded(const api::RobotTokenRotationStatus& status) {
  std::vector<base::Fingerprint> all;
  // Where the status does not tell it (any more), the history does.
  std::optional<base::Fingerprint> newest = status.fingerprint();
  for (const api::HistoryEntry& entry : status.history) {
    if (!newest) newest = entry.fingerprint;
  }
  const auto add = [&](const std::optional<base::Fingerprint>& token) {
    if (token && token != newest) all.push_back(*token);
  };
  for (const api::HistoryEntry& entry : status.history) {
    add(entry.fingerprint);
    add(entry.previous);
  }
  return all;
}

bool needs_retry(const Outcome& outcome) {
  return outcome.end != End::done || outcome.verified == Verified::refused ||
         outcome.verified == Verified::unknown || outcome.hold_left;
}

StatusUpdate after_run(const api::RobotTokenRotation& rotation, const Outcome& outcome,
                       const Circumstances& run) {
  Writer writer(rotation, run.now);
  if (!outcome.robot.empty()) writer.active().name = outcome.robot;
  writer.status().targets.total = run.targets_total;
  writer.status().conditions.remove("Conflict");
  const bool read = !outcome.robot.empty();
  const bool refused = !read && refuses_to_read(outcome);
  writer.claim(read      ? Writer::Claim::read
               : refused ? Writer::Claim::refused
                         : Writer::Claim::unknown,
               run.way, run.alias);
  if (outcome.clear_ledger) writer.status().rotation.reset();
  switch (outcome.end) {
    case End::done:
      done(writer, rotation, outcome, run);
      return writer.take();
    case End::preflight_refused:
      preflight_refused(writer, outcome);
      break;
    case End::quay_failed:
      quay_failed(writer, outcome, run);
      break;
    case End::unclear:
      unclear(writer, outcome, run);
      break;
    case End::unpublished:
      unpublished(writer, outcome, run);
      break;
    case End::stale_read:
      stale(writer, outcome, run);
      break;
    case End::start_over:
      started_over(writer, run);
      break;
    case End::api_server:
      break;  // nothing is known that the status does not say
  }
  if (writer.status().unreadable) writer.unreadable();
  writer.fail(run.retry_delay);
  return writer.take();
}

api::RobotTokenRotationStatus with_ledger(const api::RobotTokenRotation& rotation,
                                          const api::Ledger& ledger, base::WallTime now) {
  Writer writer(rotation, now);
  api::Ledger& written = writer.status().rotation.emplace(ledger);
  written.started_at = writer.now();
  if (written.robot.empty()) written.robot = writer.status().active_name();
  writer.set("Reconciling", ConditionStatus::true_, "Rotating",
             "The robot's token is being regenerated.");
  return writer.take().status;
}

StatusUpdate in_conflict(const api::RobotTokenRotation& rotation, const kube::ObjectKey& owner,
                         base::WallTime now) {
  Writer writer(rotation, now);
  // Names of other namespaces are nobody's business here.
  const bool near = owner.name_space == rotation.meta.key.name_space;
  const std::string message =
      near
          ? "RobotTokenRotation " + owner.text() +
                ", which Quay let read this robot first, owns it; delete one of the two"
          : "a RobotTokenRotation in another namespace, which Quay let read this robot first, owns "
            "it; delete this one, or agree with whoever else uses the robot";
  writer.status().ownership = tenancy::unproven(writer.status().ownership);
  writer.set("Conflict", ConditionStatus::true_, "RobotOwnedByAnother", message);
  writer.status().conditions.remove("Preflight");
  writer.unknown("Conflict", "Another resource looks after this robot; see Conflict.");
  writer.stalled("Conflict", message);
  if (!rotation.status.conditions.is_true("Conflict")) writer.warn("Conflict", message);
  return writer.take_halted();
}

StatusUpdate of_another_cluster(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Writer writer(rotation, now);
  const std::string reason = "OwnedByAnotherCluster";
  const std::string& name = rotation.meta.key.name;
  const std::string message =
      "the quay-rotator of another cluster looks after this resource: nothing is read, rotated or "
      "written here. To have this cluster do it, make sure that the other one no longer rotates "
      "the robot, then run: kubectl -n " +
      rotation.meta.key.name_space + " annotate rtr " + name + " " +
      std::string(api::cluster_annotation) + "-";
  const api::Condition* stalled = rotation.status.conditions.find("Stalled");
  if (stalled == nullptr || stalled->reason != reason) writer.warn(reason, message);
  writer.status().conditions.remove("Preflight");
  writer.status().conditions.remove("Conflict");
  writer.unknown(reason, "Another cluster looks after this resource; see Ready.");
  writer.stalled(reason, message);
  return writer.take_halted();
}

StatusUpdate suspended(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Writer writer(rotation, now);
  // Ready goes on saying what was true of the Secrets when the resource was suspended.
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!ready) writer.set("Ready", ConditionStatus::unknown, "Suspended", "spec.suspend is true.");
  writer.set("Reconciling", ConditionStatus::false_, "Suspended",
             "spec.suspend is true: nothing is rotated, healed or adopted.");
  writer.status().conditions.remove("Conflict");
  writer.succeed();
  return writer.take_halted();
}

StatusUpdate invalid(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Writer writer(rotation, now);
  writer.status().conditions.remove("Preflight");
  writer.status().conditions.remove("Conflict");
  writer.unknown("InvalidSpec", "Nothing is looked after until the spec can be used; see Ready.");
  writer.stalled("InvalidSpec", *rotation.invalid);
  return writer.take_halted();
}

StatusUpdate metadata_not_allowed(const api::RobotTokenRotation& rotation,
                                  const std::vector<std::string>& keys, base::WallTime now) {
  constexpr std::size_t most = 5;
  std::string list;
  for (std::size_t at = 0; at < std::min(keys.size(), most); ++at) {
    list += (at == 0 ? "\"" : ", \"") + keys[at] + "\"";
  }
  if (keys.size() > most) list += " and " + std::to_string(keys.size() - most) + " more";
  Writer writer(rotation, now);
  const std::string message = "targets may not have the label or annotation " + list +
                              ": take it out of spec.targets, or have the administrator allow it "
                              "with --allowed-target-metadata; nothing is rotated or written";
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!ready || ready->reason != "MetadataNotAllowed") writer.warn("MetadataNotAllowed", message);
  writer.stalled("MetadataNotAllowed", message);
  return writer.take_halted();
}

StatusUpdate namespace_unreadable(const api::RobotTokenRotation& rotation, const std::string& why,
                                  base::WallTime now) {
  Writer writer(rotation, now);
  const std::string message =
      "quay-rotator cannot read what it needs to look after this resource (" + why +
      "); nothing is rotated or healed until it can, which an administrator must allow";
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!ready || ready->reason != unreadable_namespace) {
    writer.warn(std::string(unreadable_namespace), message);
  }
  writer.status().conditions.remove("Preflight");
  writer.status().conditions.remove("Conflict");
  writer.unknown(unreadable_namespace, "Nothing can be looked after here; see Ready.");
  writer.retrying(unreadable_namespace, message);
  return writer.take_halted();
}

StatusUpdate owners_unknown(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Writer writer(rotation, now);
  writer.set("Reconciling", ConditionStatus::true_, "OwnersUnknown",
             "a rotation waits: quay-rotator cannot read every namespace that it was told to look "
             "after, and another resource there may own this robot; an administrator finds in the "
             "log which namespace it is");
  return writer.take_halted();
}

StatusUpdate without_connection(const api::RobotTokenRotation& rotation, const tenancy::Way& way,
                                const connection::Problem& problem, base::WallTime now,
                                base::Duration retry_delay) {
  Writer writer(rotation, now);
  writer.status().conditions.remove("Preflight");
  writer.status().conditions.remove("Conflict");
  writer.unknown(problem.reason, "Quay cannot be asked; see Ready.");
  writer.retrying(problem.reason, problem.message);
  const bool refused = problem.reason != "ApiServerUnavailable";
  writer.claim(refused ? Writer::Claim::refused : Writer::Claim::unknown, way, std::nullopt);
  writer.fail(retry_delay);
  return writer.take();
}

StatusUpdate internal_error(const api::RobotTokenRotation& rotation, const std::string& exception,
                            base::WallTime now, base::Duration retry_delay) {
  Writer writer(rotation, now);
  writer.retrying(api::internal_error_reason, api::internal_error_message(exception));
  writer.fail(retry_delay);
  return writer.take();
}

StatusUpdate dated_anew(const api::RobotTokenRotation& rotation, base::WallTime now) {
  Writer writer(rotation, now);
  const base::WallTime last = std::max(rotation.status.last_rotation_time.value_or(now),
                                       rotation.status.known_since().value_or(now));
  schedule::clamp_to_now(writer.status(), writer.now());
  writer.warn("ClockWasWrong", "the status spoke of a rotation at " + base::format_time(last) +
                                   ", which is yet to come: a clock was wrong then; the interval "
                                   "counts from now");
  return writer.take();
}

StatusUpdate troubled(const api::RobotTokenRotation& rotation, const connection::Trouble& trouble,
                      base::WallTime now) {
  Writer writer(rotation, now);
  const api::Condition* published = rotation.status.conditions.find("Published");
  const bool news = !published || published->reason != trouble.reason;
  writer.status().conditions.remove("Conflict");
  const api::Condition* ready = rotation.status.conditions.find("Ready");
  if (!trouble.lasting && ready && is_halt(ready->reason)) writer.ready();
  if (trouble.lasting) {
    writer.status().conditions.remove("Preflight");
    writer.unknown("Verified", trouble.reason, "Quay does not tell; see Ready.");
    writer.retrying(trouble.reason, trouble.message);
  }
  writer.set("Published", ConditionStatus::unknown, trouble.reason, trouble.message);
  if (news) writer.warn(trouble.reason, trouble.message);
  return writer.take();
}

StatusUpdate at_rest(const api::RobotTokenRotation& rotation,
                     const std::optional<connection::Findings::Known>& known, base::WallTime now) {
  if (known && known->trouble) return troubled(rotation, *known->trouble, now);
  Writer writer(rotation, now);
  api::Conditions& conditions = writer.status().conditions;
  const api::Condition* published = conditions.find("Published");
  const bool was_troubled =
      published && published->status == ConditionStatus::unknown && !is_halt(published->reason);
  conditions.remove("Conflict");
  // What was told of the connection stands until somebody has looked again.
  if (was_troubled && !known) return writer.take();
  if (rotation.spec.verify == api::VerifyLevel::none) conditions.remove("Verified");
  const api::Condition* verified = conditions.find("Verified");
  if (verified && verified->status == ConditionStatus::false_) return writer.take();
  // A suspension that has ended, or a trouble that went away without a run of the protocol.
  if (rotation.status.fingerprint()) {
    const api::Condition* preflight = conditions.find("Preflight");
    if (preflight && preflight->status != ConditionStatus::true_) conditions.remove("Preflight");
    if (was_troubled) writer.notice(kube::EventType::normal, "Recovered", "Quay tells its robots");
    writer.published();
    writer.ready();
  }
  return writer.take();
}

}  // namespace quay_rotator::rotation
