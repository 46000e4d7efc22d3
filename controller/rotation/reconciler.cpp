#include "rotation/reconciler.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/backoff.h"
#include "http/url.h"

namespace quay_rotator::rotation {

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Nothing is broken but a rotation cannot be done: no hurry. With a ledger pods may be failing.
constexpr base::BackoffPolicy ordinary_backoff{seconds(5), minutes(5)};
constexpr base::BackoffPolicy ledger_backoff{milliseconds(250), seconds(15)};
// Somebody undoes what we write (a webhook, another controller): not a loop.
constexpr base::BackoffPolicy heal_backoff{seconds(2), minutes(5)};
constexpr base::Duration heals_forgotten = minutes(10);
// Due times are wall times: looked at again this often, whatever the clock does meanwhile.
constexpr base::Duration longest_rest = minutes(30);
constexpr base::Duration start_over_delay = milliseconds(100);

std::string random_id(base::Executor& executor) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(executor.random()));
  return text.data();
}

std::string ledger_name(const api::Ledger& ledger) {
  return ledger.id + "/" + std::to_string(ledger.attempt);
}

runtime::Urgency urgency_of(const api::RobotTokenRotation& rotation) {
  return rotation.status.rotation ? runtime::Urgency::outage : runtime::Urgency::normal;
}

kube::ObjectKey connection_of(const api::RobotTokenRotation& rotation) {
  return {rotation.meta.key.name_space, rotation.spec.connection};
}

std::string_view result_of(const Report& report) {
  switch (report.end) {
    case Report::End::done:
      return "succeeded";
    case Report::End::preflight_refused:
      return "preflight-refused";
    case Report::End::quay_failed:
      return "quay-failed";
    case Report::End::unclear:
      return "unclear";
    case Report::End::unpublished:
      return "unpublished";
    case Report::End::start_over:
      return "started-over";
    case Report::End::api_server:
      return "api-server";
  }
  return "";
}

std::string_view text(Goal goal) {
  switch (goal) {
    case Goal::synchronize:
      return "synchronize";
    case Goal::rotate:
      return "rotate";
    case Goal::resume:
      return "resume";
  }
  return "";
}

}  // namespace

Reconciler::Reconciler(ReconcilerParts parts) : parts_(std::move(parts)) {
  parts_.rotations.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_rotation(before, after, cause);
  });
  parts_.connections.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_connection(before, after, cause);
  });
  parts_.secrets.add_listener([this](const auto& before, const auto& after, auto cause) {
    on_secret(before, after, cause);
  });
  parts_.queue.admit(runtime::Urgency::outage);
}

void Reconciler::start_leading() {
  {
    const std::lock_guard lock(mutex_);
    leading_since_ = parts_.executor.wall_now();
  }
  parts_.queue.admit(runtime::Urgency::initial);
}

void Reconciler::on_rotation(const runtime::Store<api::RobotTokenRotation>::Pointer& before,
                             const runtime::Store<api::RobotTokenRotation>::Pointer& after,
                             runtime::ChangeCause cause) {
  if (!after) {
    const bool open = departed_.add(*before, parts_.executor.now());
    forget(before->meta.key, open);
    parts_.queue.add(before->meta.key, open ? runtime::Urgency::outage : runtime::Urgency::normal);
    return;
  }
  departed_.drop(after->meta.key);
  const bool users = after->spec.robot.organization.empty();
  {
    const std::lock_guard lock(mutex_);
    if (users && after->status.robot.empty()) {
      nameless_.insert(after->meta.key);
    } else {
      nameless_.erase(after->meta.key);
    }
  }
  claim(*after);
  if (users && !after->status.robot.empty() &&
      (!before || before->status.robot != after->status.robot)) {
    claim_user_robot(*after);
  }
  const bool asked = after->rotate_request != after->status.last_handled_rotate_request &&
                     !after->rotate_request.empty();
  const bool edited =
      cause == runtime::ChangeCause::live && (!before || before->generation != after->generation);
  runtime::Urgency urgency =
      cause == runtime::ChangeCause::initial ? runtime::Urgency::initial : runtime::Urgency::normal;
  if (asked || edited) urgency = runtime::Urgency::urgent;
  if (after->status.rotation) urgency = runtime::Urgency::outage;
  parts_.queue.add(after->meta.key, urgency);
}

void Reconciler::on_connection(const runtime::Store<api::QuayConnection>::Pointer& before,
                               const runtime::Store<api::QuayConnection>::Pointer& after,
                               runtime::ChangeCause cause) {
  const kube::ObjectKey& key = (after ? after : before)->meta.key;
  const bool ready = after && after->status.conditions.is_true("Ready");
  const bool was_ready = before && before->status.conditions.is_true("Ready");
  if (before && after && before->generation == after->generation && ready == was_ready) return;

  const auto look = [&](const api::RobotTokenRotation& user) {
    if (connection_of(user) != key) return;
    claim(user);
    parts_.queue.add(user.meta.key, cause == runtime::ChangeCause::initial
                                        ? runtime::Urgency::initial
                                        : runtime::Urgency::normal);
  };
  parts_.rotations.each(look, key.name_space);
}

void Reconciler::on_secret(const runtime::Store<api::ManagedSecret>::Pointer& before,
                           const runtime::Store<api::ManagedSecret>::Pointer& after,
                           runtime::ChangeCause cause) {
  const std::lock_guard lock(mutex_);
  for (const auto& [secret, present] : {std::pair{before, false}, std::pair{after, true}}) {
    if (!secret || secret->owner.empty()) continue;
    const kube::ObjectKey owner{secret->meta.key.name_space, secret->owner};
    const std::size_t hash = std::hash<kube::ObjectKey>{}(owner);
    int& count = owned_[hash];
    count += present ? 1 : -1;
    if (count == 0) owned_.erase(hash);
    if (cause == runtime::ChangeCause::live) parts_.queue.add(owner, runtime::Urgency::normal);
  }
}

void Reconciler::claim(const api::RobotTokenRotation& rotation) {
  std::vector<kube::ObjectKey> affected;
  if (rotation.deleting || rotation.invalid) {
    affected = conflicts_.release(rotation.meta.key);
  } else {
    const kube::ObjectKey connection = connection_of(rotation);
    std::string quay = connection.text();
    if (const auto known = parts_.connections.find(connection)) {
      if (const auto url = http::parse_url(known->spec.url)) quay = url->origin();
    }
    const api::RobotName& robot = rotation.spec.robot;
    std::string full_name = robot.organization + "+" + robot.name;
    if (robot.organization.empty()) {
      full_name = user_robot(rotation);
      if (full_name.empty()) full_name = connection.text() + " user+" + robot.name;
    }
    affected = conflicts_.claim({quay + " " + full_name, rotation.created, rotation.meta.key});
  }
  for (const kube::ObjectKey& key : affected) {
    if (key != rotation.meta.key) parts_.queue.add(key, runtime::Urgency::normal);
  }
}

std::string Reconciler::user_robot(const api::RobotTokenRotation& rotation) const {
  std::string name = rotation.status.robot;
  if (!name.empty()) return name;
  const auto look = [&](const api::RobotTokenRotation& other) {
    if (name.empty() && other.spec.robot == rotation.spec.robot &&
        other.spec.connection == rotation.spec.connection) {
      name = other.status.robot;
    }
  };
  parts_.rotations.each(look, rotation.meta.key.name_space);
  return name;
}

void Reconciler::claim_user_robot(const api::RobotTokenRotation& known) {
  std::set<kube::ObjectKey> nameless;
  {
    const std::lock_guard lock(mutex_);
    nameless = nameless_;
  }
  for (const kube::ObjectKey& key : nameless) {
    const auto other = parts_.rotations.find(key);
    if (other && connection_of(*other) == connection_of(known) &&
        other->spec.robot == known.spec.robot) {
      claim(*other);
    }
  }
}

void Reconciler::forget(const kube::ObjectKey& key, bool ledger_open) {
  {
    const std::lock_guard lock(mutex_);
    if (!ledger_open) memories_.erase(key);
    nameless_.erase(key);
  }
  for (const kube::ObjectKey& affected : conflicts_.release(key)) {
    if (affected != key) parts_.queue.add(affected, runtime::Urgency::normal);
  }
}

void Reconciler::note_drift(const kube::ObjectKey& key) {
  {
    const std::lock_guard lock(mutex_);
    memories_[key].drifted = true;
  }
  parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::note_news(const kube::ObjectKey& key) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = memories_.find(key);
    if (found != memories_.end()) found->second.not_before = {};  // news ends a wait
  }
  parts_.queue.add(key, runtime::Urgency::normal);
}

Reconciler::Memory Reconciler::recall(const kube::ObjectKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = memories_.find(key);
  return found == memories_.end() ? Memory{} : found->second;
}

void Reconciler::remember(const kube::ObjectKey& key, const Memory& memory) {
  const std::lock_guard lock(mutex_);
  if (memory == Memory{}) {
    memories_.erase(key);
  } else {
    memories_[key] = memory;
  }
}

void Reconciler::tidy(Memory& memory, const api::RobotTokenRotationStatus& status,
                      base::MonotonicTime now) {
  if (!status.rotation) {
    memory.ledger.clear();
    memory.ledger_seen = {};
  }
  if (!status.retry_after && memory.not_before <= now) {
    memory.not_before = {};
    memory.inputs.clear();
  }
  if (memory.healed && now - *memory.healed >= heals_forgotten) {
    memory.heals = 0;
    memory.healed.reset();
  }
}

std::string Reconciler::inputs_of(const api::RobotTokenRotation& rotation) const {
  std::string inputs =
      rotation.meta.uid + " " + std::to_string(rotation.generation) + " " + rotation.rotate_request;
  if (const auto connection = parts_.connections.find(connection_of(rotation))) {
    inputs += " " + connection->meta.uid + " " + std::to_string(connection->generation) +
              (connection->status.conditions.is_true("Ready") ? " ready" : "");
  }
  return inputs;
}

std::vector<DesiredSecret> Reconciler::desired(const api::RobotTokenRotation& rotation) const {
  const auto connection = parts_.connections.find(connection_of(rotation));
  if (!connection) return {};
  const auto url = http::parse_url(connection->spec.url);
  if (!url) return {};
  return desired_secrets(rotation, url->authority(), parts_.allowed_metadata);
}

bool Reconciler::targets_current(const api::RobotTokenRotation& rotation,
                                 const std::vector<DesiredSecret>& targets) const {
  if (!rotation.status.token_fingerprint) return false;
  return !targets.empty() && std::ranges::all_of(targets, [&](const DesiredSecret& target) {
    const auto cached = parts_.secrets.find(target.key);
    return is_current(target, rotation, cached.get(), rotation.status.robot,
                      *rotation.status.token_fingerprint);
  });
}

bool Reconciler::has_former_targets(const api::RobotTokenRotation& rotation,
                                    const std::vector<DesiredSecret>& targets) const {
  if (rotation.spec.deletion_policy == api::DeletionPolicy::retain) return false;
  const auto current = std::ranges::count_if(targets, [&](const DesiredSecret& target) {
    const auto cached = parts_.secrets.find(target.key);
    return cached && cached->owner == rotation.meta.key.name;
  });
  const std::lock_guard lock(mutex_);
  const auto found = owned_.find(std::hash<kube::ObjectKey>{}(rotation.meta.key));
  return found != owned_.end() && found->second > current;
}

void Reconciler::reconcile(const kube::ObjectKey& key, const std::stop_token& stop) {
  auto cached = parts_.rotations.find(key);
  if (!cached) cached = departed_.find(key, parts_.executor.now());
  if (!cached) return parts_.queue.remove(key);

  Memory memory = recall(key);
  const base::MonotonicTime now = parts_.executor.now();
  const base::WallTime wall_now = parts_.executor.wall_now();
  const api::RobotTokenRotationStatus& status = cached->status;
  tidy(memory, status, now);
  if (status.rotation && memory.ledger != ledger_name(*status.rotation)) {
    memory.ledger = ledger_name(*status.rotation);
    memory.ledger_seen = now;
  }
  const std::string inputs = inputs_of(*cached);
  if (memory.inputs.empty() && status.retry_after && !status.rotation &&
      status.observed_generation == cached->generation) {
    // A restart does not end a back-off; a clock that jumped does not make it longer.
    const base::Duration left = *status.retry_after - wall_now;
    memory.not_before = now + std::clamp<base::Duration>(left, {}, ordinary_backoff.most);
    memory.inputs = inputs;
  }
  remember(key, memory);
  if (memory.not_before > now && memory.inputs == inputs) {
    return parts_.queue.add_at(key, memory.not_before, urgency_of(*cached));
  }

  PlanInput input{*cached, wall_now, {}, conflicts_.owner_other_than(key), false, memory.drifted};
  {
    const std::lock_guard lock(mutex_);
    input.caches_complete = leading_since_.has_value();
    input.leading_since = leading_since_.value_or(wall_now);
  }
  const std::vector<DesiredSecret> targets = desired(*cached);
  input.targets_current = targets_current(*cached, targets);
  const auto known = parts_.findings.of(connection_of(*cached), cached->spec.robot.organization);
  input.troubled = known && known->trouble && known->trouble->lasting;
  const std::vector<std::string> refused = parts_.allowed_metadata.refused(*cached);
  input.metadata_refused = !refused.empty();
  const Plan decision = plan(input);

  if (const auto* task = std::get_if<Work>(&decision)) {
    return work(*cached, *task, std::move(memory), stop);
  }
  if (std::holds_alternative<Postpone>(decision)) {
    return parts_.queue.add(key, runtime::Urgency::initial);
  }
  if (const auto* halt = std::get_if<Halt>(&decision)) {
    switch (halt->why) {
      case Halt::Why::invalid:
        return report(*cached, invalid(*cached, wall_now), stop);
      case Halt::Why::conflict:
        return report(*cached, in_conflict(*cached, *input.owner, wall_now), stop);
      case Halt::Why::suspended:
        return report(*cached, suspended(*cached, wall_now), stop);
      case Halt::Why::metadata_refused:
        return report(*cached, metadata_not_allowed(*cached, refused, wall_now), stop);
    }
  }
  if (cached->deleting) return;
  if (has_former_targets(*cached, targets)) {
    const auto problems = parts_.publisher.prune(*cached, targets, stop);
    if (!problems.empty()) {
      parts_.log.warning("cannot delete a former target", {{"resource", key.text()},
                                                           {"secret", problems.front().secret},
                                                           {"error", problems.front().message}});
      return retry(*cached, std::move(memory), ordinary_backoff.first);
    }
  }
  report(*cached, at_rest(*cached, known, wall_now), stop);
  rest(*cached, std::get<Rest>(decision).until);
}

void Reconciler::work(const api::RobotTokenRotation& rotation, const Work& work, Memory memory,
                      const std::stop_token& stop) {
  const kube::ObjectKey key = rotation.meta.key;
  const auto session = parts_.sessions.session(connection_of(rotation), stop);
  if (!session) {
    const base::Duration delay =
        base::backoff_delay(rotation.status.rotation ? ledger_backoff : ordinary_backoff,
                            rotation.status.consecutive_failures + 1, parts_.executor.random());
    const base::WallTime now = parts_.executor.wall_now();
    StatusUpdate update = without_connection(rotation, session.error(), now, delay);
    report(rotation, update, stop);
    // It went with the resource: there is nobody to ask any more.
    if (rotation.deleting && session.error().reason == "ConnectionNotFound") {
      departed_.drop(key);
    }
    parts_.log.warning("the connection cannot be used", {{"resource", key.text()},
                                                         {"reason", session.error().reason},
                                                         {"error", session.error().message}});
    return retry(rotation, std::move(memory), delay);
  }

  const std::vector<DesiredSecret> targets =
      desired_secrets(rotation, (*session)->authority(), parts_.allowed_metadata);
  ProtocolInput input;
  input.goal = work.goal;
  input.reason = work.reason;
  input.may_regenerate = work.may_regenerate;
  input.rotation_id = random_id(parts_.executor);
  input.rotate_request = rotation.rotate_request == rotation.status.last_handled_rotate_request
                             ? ""
                             : rotation.rotate_request;
  input.ledger = rotation.status.rotation;
  input.ledger_seen_for = parts_.executor.now() - memory.ledger_seen;
  input.known = rotation.status.token_fingerprint;
  input.verify = rotation.spec.verify == api::VerifyLevel::login;
  input.verified = rotation.status.conditions.is_true("Verified");

  const base::Log log =
      parts_.log.with({{"resource", key.text()},
                       {"rotation", input.ledger ? input.ledger->id : input.rotation_id},
                       {"goal", text(work.goal)}});
  DriverResult result =
      parts_.driver.run(rotation, **session, std::move(input), targets, log, stop);
  const Report& report = result.report;
  if (report.end == Report::End::done) {
    const base::Log settled = log.with({{"phase", "finish"},
                                        {"fingerprint", report.fingerprint->text()},
                                        {"targets", static_cast<std::int64_t>(targets.size())}});
    if (result.outage) {
      settled.info("rotated", {{"outage", base::format_duration(*result.outage)}});
    } else {
      settled.info(report.regenerated ? "rotated" : "synchronized");
    }
  } else {
    std::string why;
    if (report.quay_error) why = report.quay_error->message;
    if (report.preflight_error) why = report.preflight_error->message;
    if (report.kube_error) why = kube::explain(*report.kube_error);
    if (!report.problems.empty()) why = report.problems.front().message;
    log.warning("not done", {{"phase", "finish"}, {"result", result_of(report)}, {"error", why}});
  }
  finish(rotation, std::move(result), work, static_cast<int>(targets.size()), std::move(memory),
         stop);
}

void Reconciler::finish(const api::RobotTokenRotation& before, DriverResult result,
                        const Work& work, int targets, Memory memory, const std::stop_token& stop) {
  const Report& report = result.report;
  api::RobotTokenRotation rotation = std::move(result.rotation);
  const kube::ObjectKey key = rotation.meta.key;
  const base::MonotonicTime now = parts_.executor.now();

  if (work.goal != Goal::synchronize || report.regenerated) {
    parts_.metrics.rotation(result_of(report),
                            text(report.ledger ? report.ledger->reason : work.reason));
  }
  if (result.outage) parts_.metrics.outage(*result.outage);
  if (report.end == Report::End::start_over) {
    return retry(rotation, std::move(memory), start_over_delay);
  }

  const bool open_ledger = rotation.status.rotation && !report.clear_ledger;
  base::Duration delay = base::backoff_delay(open_ledger ? ledger_backoff : ordinary_backoff,
                                             std::max(1, before.status.consecutive_failures + 1),
                                             parts_.executor.random());
  if (report.quay_error && report.quay_error->retry_after) {
    delay = std::max(delay, *report.quay_error->retry_after);
  }
  if (report.again) delay = *report.again;

  RunResult run;
  run.report = report;
  run.robot = result.robot;
  run.targets_total = targets;
  run.outage = result.outage;
  run.healed = work.goal == Goal::synchronize && !memory.drifted &&
               before.status.conditions.is_true("Published") && before.status.failing.empty() &&
               before.status.observed_generation == before.generation;
  run.now = parts_.executor.wall_now();
  run.retry_delay = delay;

  std::vector<Notice> notices;
  const auto name_of = [](const std::optional<api::Ledger>& ledger) {
    return ledger ? ledger_name(*ledger) : std::string();
  };
  const std::string ledger = name_of(rotation.status.rotation);
  const auto written = parts_.status.write(
      rotation,
      [&](const api::RobotTokenRotation& current) -> std::optional<api::RobotTokenRotationStatus> {
        // Another replica may have finished the rotation, or have sent another attempt of it that
        // this run knows nothing of: its ledger stays.
        if (name_of(current.status.rotation) != ledger) return std::nullopt;
        StatusUpdate update = after_run(current, run);
        notices = std::move(update.notices);
        return std::move(update.status);
      },
      stop);
  parts_.driver.step("commit");
  if (!written && written.error().kind == kube::Error::Kind::not_found) {
    // The resource is gone: nobody can be told, but its Secrets are seen to.
    if (report.end != Report::End::done) return retry(rotation, std::move(memory), delay);
    departed_.drop(key);
    return remember(key, {});
  }
  if (!written) {
    parts_.log.warning("cannot write the status",
                       {{"resource", key.text()}, {"error", kube::explain(written.error())}});
    return retry(rotation, std::move(memory), delay);
  }
  announce(rotation, notices, stop);
  parts_.driver.step("event");

  if (needs_retry(report)) return retry(rotation, std::move(memory), delay);
  memory.drifted = false;
  memory.not_before = {};
  if (work.goal == Goal::synchronize) {
    memory.heals = memory.healed && now - *memory.healed < heals_forgotten ? memory.heals + 1 : 0;
    memory.healed = now;
    if (memory.heals > 0) {
      return retry(rotation, memory,
                   base::backoff_delay(heal_backoff, memory.heals, parts_.executor.random()));
    }
  }
  remember(key, memory);
  parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::report(api::RobotTokenRotation rotation, const StatusUpdate& update,
                        const std::stop_token& stop) {
  const auto written = parts_.status.write(rotation, update.status, stop);
  if (written) return announce(rotation, update.notices, stop);
  if (written.error().kind == kube::Error::Kind::conflict ||
      written.error().kind == kube::Error::Kind::not_found) {
    return;  // the change that was faster brings the key back
  }
  parts_.log.warning("cannot write the status", {{"resource", rotation.meta.key.text()},
                                                 {"error", kube::explain(written.error())}});
  parts_.queue.add_after_failure(rotation.meta.key, runtime::Urgency::normal);
}

void Reconciler::announce(const api::RobotTokenRotation& rotation,
                          const std::vector<Notice>& notices, const std::stop_token& stop) {
  for (const Notice& notice : notices) {
    parts_.events.record(kube::rotations, rotation.meta, notice.type, notice.reason, "Rotate",
                         notice.note, stop);
  }
}

void Reconciler::retry(const api::RobotTokenRotation& rotation, Memory memory,
                       base::Duration delay) {
  memory.not_before = parts_.executor.now() + delay;
  memory.inputs = inputs_of(rotation);
  parts_.queue.add_at(rotation.meta.key, memory.not_before, urgency_of(rotation));
  remember(rotation.meta.key, memory);
}

void Reconciler::rest(const api::RobotTokenRotation& rotation,
                      std::optional<base::WallTime> until) {
  if (!until) return;
  const base::Duration left = *until - parts_.executor.wall_now();
  parts_.queue.add_at(rotation.meta.key,
                      parts_.executor.now() + std::clamp<base::Duration>(left, {}, longest_rest),
                      runtime::Urgency::normal);
}

}  // namespace quay_rotator::rotation
