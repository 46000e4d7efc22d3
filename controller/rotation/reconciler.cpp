#include "rotation/reconciler.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "api/group.h"
#include "base/backoff.h"
#include "http/url.h"
#include "schedule/schedule.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Somebody undoes what we write (a webhook, another controller): not a loop.
constexpr base::BackoffPolicy heal_backoff{seconds(2), minutes(5)};
// Another writer of the status is faster: at once, a few times.
constexpr base::BackoffPolicy start_over_backoff{milliseconds(100), minutes(5)};
constexpr int start_overs_untold = 3;
// Due times are wall times: looked at again this often, whatever the clock does meanwhile.
constexpr base::WallTime::duration longest_rest = minutes(30);
// The watch brings what we wrote a moment later.
constexpr base::Duration watch_delay = milliseconds(100);

std::string random_id(base::Executor& executor) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(executor.random()));
  return text.data();
}

runtime::Urgency urgency_of(const api::RobotTokenRotation& rotation) {
  return rotation.status.rotation ? runtime::Urgency::outage : runtime::Urgency::normal;
}

// Calls to Quay of a run in which nothing goes wrong.
int permits_of(const Work& work, const api::RobotTokenRotation& rotation) {
  const int logins = rotation.spec.verify == api::VerifyLevel::login ? 1 : 0;
  return work.goal == Goal::rotate ? 2 + 2 * logins : 1 + logins;
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
    case Report::End::stale_read:
      return "stale-read";
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

void Reconciler::look_after(const std::string& cluster) {
  {
    const std::lock_guard lock(mutex_);
    cluster_ = cluster;
  }
  // What was claimed before this was known.
  parts_.rotations.each([this](const api::RobotTokenRotation& rotation) {
    if (looked_after(rotation)) return;
    wake(claims_.release(rotation.meta.key));
    parts_.newcomers.forget(rotation.meta.key);
  });
}

bool Reconciler::looked_after(const api::RobotTokenRotation& rotation) const {
  const std::lock_guard lock(mutex_);
  return cluster_.empty() || tenancy::mark_of(rotation, cluster_) != tenancy::Mark::foreign;
}

void Reconciler::see(const std::string& name_space, Sight sight) {
  std::map<kube::ObjectKey, runtime::Urgency> postponed;
  bool complete = false;
  {
    const std::lock_guard lock(mutex_);
    const bool is_new = !seen_.contains(name_space);
    Seen& seen = seen_[name_space];
    complete = sight == Sight::everything && !seen.complete;
    if (!is_new && !complete) return;
    ++sights_;
    if (complete) {
      seen.complete = parts_.executor.wall_now();
      unreadable_.erase(name_space);
      parts_.metrics.unreadable_namespaces(unreadable_.size());
    }
    const auto known = std::ranges::count_if(
        seen_, [](const auto& each) { return each.second.complete.has_value(); });
    owners_known_ = static_cast<std::size_t>(known) >= parts_.namespaces;
    if (owners_known_) owners_.clear();
    postponed.swap(postponed_);
  }
  if (complete) parts_.queue.admit(runtime::Urgency::initial);
  for (const auto& [key, urgency] : postponed) parts_.queue.add(key, urgency);
}

void Reconciler::cannot_see(const std::string& name_space, const std::string& why) {
  std::map<kube::ObjectKey, runtime::Urgency> postponed;
  {
    const std::lock_guard lock(mutex_);
    unreadable_[name_space] = why;
    ++sights_;
    postponed.swap(postponed_);
    parts_.metrics.unreadable_namespaces(unreadable_.size());
  }
  parts_.queue.admit(runtime::Urgency::initial);
  for (const auto& [key, urgency] : postponed) parts_.queue.add(key, urgency);
}

void Reconciler::await_caches(const api::RobotTokenRotation& rotation, int sights,
                              const std::stop_token& stop) {
  std::optional<std::string> why;
  {
    const std::lock_guard lock(mutex_);
    auto found = unreadable_.find("");
    if (found == unreadable_.end()) found = unreadable_.find(rotation.meta.key.name_space);
    if (found != unreadable_.end()) why = found->second;
  }
  // What a ledger or another cluster has to say of it says more.
  if (why && !rotation.status.rotation && !rotation.deleting && looked_after(rotation)) {
    tell(rotation, namespace_unreadable(rotation, *why, parts_.executor.wall_now()), stop);
  }
  postpone(rotation.meta.key, urgency_of(rotation), sights);
}

const Reconciler::Seen* Reconciler::seen(const std::string& name_space) const {
  auto found = seen_.find("");
  if (found == seen_.end()) found = seen_.find(name_space);
  return found == seen_.end() ? nullptr : &found->second;
}

void Reconciler::postpone(const kube::ObjectKey& key, runtime::Urgency urgency, int sights) {
  {
    const std::lock_guard lock(mutex_);
    if (sights == sights_) {
      postponed_.insert_or_assign(key, urgency);
      return;
    }
  }
  parts_.queue.add(key, urgency);
}

void Reconciler::on_rotation(const runtime::Store<api::RobotTokenRotation>::Pointer& before,
                             const runtime::Store<api::RobotTokenRotation>::Pointer& after,
                             runtime::ChangeCause cause) {
  if (!after) {
    const bool open = departed_.add(*before, parts_.executor.now());
    forget(before->meta.key, open);
    parts_.newcomers.forget(before->meta.key);
    parts_.queue.add(before->meta.key, open ? runtime::Urgency::outage : runtime::Urgency::normal);
    return;
  }
  departed_.drop(after->meta.key);
  {
    const std::lock_guard lock(mutex_);
    const auto& ownership = after->status.ownership;
    if (cause == runtime::ChangeCause::initial && !owners_known_ && ownership && ownership->since) {
      owners_.insert(after->meta.key);
    }
  }
  claim(*after, cause);
  parts_.newcomers.note(*after,
                        looked_after(*after) && parts_.allowed_metadata.refused(*after).empty());
  const bool asked = after->rotate_request != after->status.last_handled_rotate_request &&
                     !after->rotate_request.empty();
  const bool edited =
      cause == runtime::ChangeCause::live && (!before || before->generation != after->generation);
  runtime::Urgency urgency =
      cause == runtime::ChangeCause::initial ? runtime::Urgency::initial : runtime::Urgency::normal;
  if (asked || edited) urgency = runtime::Urgency::urgent;
  if (after->status.rotation) urgency = runtime::Urgency::outage;
  // A key is of its connection's lane before it is looked at for the first time.
  parts_.queue.add(after->meta.key, urgency,
                   parts_.lanes.of(connection::lane_name(connection_of(*after))));
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
    claim(user, cause);
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

tenancy::Way Reconciler::way_of(const api::RobotTokenRotation& rotation) const {
  tenancy::Way way{rotation.spec.connection, "", false};
  const auto connection = parts_.connections.find(connection_of(rotation));
  if (!connection) return way;
  const api::QuayConnectionSpec& spec = connection->spec;
  const auto url = http::parse_url(spec.url);
  if (!url) return way;
  way.quay = tenancy::quay_key(url->host, url->port);
  way.forgeable = !spec.proxy_url.empty() && (spec.ca() != nullptr || url->scheme == "http");
  return way;
}

void Reconciler::claim(const api::RobotTokenRotation& rotation, runtime::ChangeCause cause) {
  if (rotation.deleting || rotation.invalid || !looked_after(rotation)) {
    return wake(claims_.release(rotation.meta.key));
  }
  wake(claims_.claim(
      {rotation.meta.key, rotation.created, rotation.spec.robot, rotation.status.robot,
       way_of(rotation), rotation.status.ownership,
       cause == runtime::ChangeCause::initial ? "" : rotation.meta.resource_version}));
}

void Reconciler::wake(const std::vector<kube::ObjectKey>& rotations) {
  for (const kube::ObjectKey& key : rotations) parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::forget(const kube::ObjectKey& key, bool ledger_open) {
  {
    const std::lock_guard lock(mutex_);
    if (!ledger_open) memories_.erase(key);
    owners_.erase(key);
    postponed_.erase(key);
  }
  wake(claims_.release(key));
}

void Reconciler::note_drift(const kube::ObjectKey& key, std::optional<base::Fingerprint> listed) {
  remember(key, [&](Memory& memory) { memory.note_drift(listed); });
  parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::note_news(const kube::ObjectKey& key) {
  remember(key, [](Memory& memory) { memory.note_news(); });
  parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::note_refusal(const kube::ObjectKey& key) {
  if (claims_.standing(key).contested) note_drift(key, std::nullopt);
}

Memory Reconciler::remember(const kube::ObjectKey& key,
                            const std::function<void(Memory&)>& change) {
  const std::lock_guard lock(mutex_);
  const auto found = memories_.try_emplace(key).first;
  change(found->second);
  Memory memory = found->second;
  if (memory.empty()) memories_.erase(found);
  return memory;
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

std::vector<target::DesiredSecret> Reconciler::desired(
    const api::RobotTokenRotation& rotation) const {
  const auto connection = parts_.connections.find(connection_of(rotation));
  if (!connection) return {};
  const auto url = http::parse_url(connection->spec.url);
  if (!url) return {};
  return target::desired_secrets(rotation, url->authority(), parts_.allowed_metadata);
}

bool Reconciler::targets_current(const api::RobotTokenRotation& rotation,
                                 const std::vector<target::DesiredSecret>& targets) const {
  if (!rotation.status.token_fingerprint) return false;
  return !targets.empty() && std::ranges::all_of(targets, [&](const target::DesiredSecret& target) {
    const auto cached = parts_.secrets.find(target.key);
    return target::is_current(target, rotation, cached.get(), rotation.status.robot,
                              *rotation.status.token_fingerprint);
  });
}

bool Reconciler::has_former_targets(const api::RobotTokenRotation& rotation,
                                    const std::vector<target::DesiredSecret>& targets) const {
  if (rotation.spec.deletion_policy == api::DeletionPolicy::retain) return false;
  const auto current = std::ranges::count_if(targets, [&](const target::DesiredSecret& target) {
    const auto cached = parts_.secrets.find(target.key);
    return cached && cached->owner == rotation.meta.key.name;
  });
  const std::lock_guard lock(mutex_);
  const auto found = owned_.find(std::hash<kube::ObjectKey>{}(rotation.meta.key));
  return found != owned_.end() && found->second > current;
}

PlanInput Reconciler::look_at(const api::RobotTokenRotation& rotation, base::WallTime now,
                              const std::vector<target::DesiredSecret>& targets,
                              bool drifted) const {
  const tenancy::Owners::Standing standing = claims_.standing(rotation.meta.key);
  PlanInput input{rotation, now, {}, standing.owner, targets_current(rotation, targets), drifted};
  input.proven = standing.proven;
  input.ownership_known =
      standing.since_version.empty() ||
      parts_.rotations.has_reached(rotation.meta.key.name_space, standing.since_version);
  const std::lock_guard lock(mutex_);
  const Seen* const so_far = seen(rotation.meta.key.name_space);
  input.caches_complete = so_far != nullptr && so_far->complete;
  input.leading_since = input.caches_complete ? *so_far->complete : now;
  input.owners_known = owners_known_ || owners_.contains(rotation.meta.key);
  input.mark = tenancy::mark_of(rotation, cluster_);
  return input;
}

void Reconciler::mark(const api::RobotTokenRotation& rotation, const std::stop_token& stop) {
  std::string cluster;
  {
    const std::lock_guard lock(mutex_);
    cluster = cluster_;
  }
  const auto written = parts_.status.patch(
      rotation.meta.key, tenancy::marking(rotation, cluster, parts_.executor.wall_now()), stop);
  parts_.driver.step("mark");
  if (written || written.error().kind == kube::Error::Kind::conflict ||
      written.error().kind == kube::Error::Kind::not_found) {
    return;  // the change brings the key back
  }
  parts_.log.warning("cannot mark the resource", {{"resource", rotation.meta.key.text()},
                                                  {"error", kube::explain(written.error())}});
  parts_.queue.add_after_failure(rotation.meta.key, runtime::Urgency::normal);
}

void Reconciler::halt(const api::RobotTokenRotation& rotation, Halt::Why why,
                      const std::optional<kube::ObjectKey>& owner, const std::stop_token& stop) {
  const base::WallTime now = parts_.executor.wall_now();
  switch (why) {
    case Halt::Why::another_cluster:
      return report(rotation, of_another_cluster(rotation, now), stop);
    case Halt::Why::invalid:
      return report(rotation, invalid(rotation, now), stop);
    case Halt::Why::conflict:
      return report(rotation, in_conflict(rotation, *owner, now), stop);
    case Halt::Why::suspended:
      return report(rotation, suspended(rotation, now), stop);
    case Halt::Why::metadata_refused:
      return report(rotation,
                    metadata_not_allowed(rotation, parts_.allowed_metadata.refused(rotation), now),
                    stop);
  }
}

void Reconciler::reconcile(const kube::ObjectKey& key, const std::stop_token& stop) {
  auto cached = parts_.rotations.find(key);
  if (!cached) cached = departed_.find(key, parts_.executor.now());
  if (!cached) {
    // It may have been deleted while it was worked on, or noted as drifted after that.
    remember(key, [](Memory& it) { it = Memory{}; });
    return parts_.queue.remove(key);
  }
  const base::MonotonicTime now = parts_.executor.now();
  const base::WallTime wall_now = parts_.executor.wall_now();
  const api::RobotTokenRotationStatus& status = cached->status;
  const std::string inputs = inputs_of(*cached);
  const Memory memory = remember(key, [&](Memory& it) {
    it.look(cached->meta.uid, status, now);
    if (status.retry_after && status.observed_generation == cached->generation) {
      it.resume_waiting(*status.retry_after, wall_now, now, inputs);
    }
  });
  if (memory.waits(inputs, now)) {
    return parts_.queue.add_at(key, memory.not_before(), urgency_of(*cached));
  }

  bool connections_known = false;
  int sights = 0;
  {
    const std::lock_guard lock(mutex_);
    connections_known = seen(key.name_space) != nullptr;
    sights = sights_;
  }
  if (!connections_known) return await_caches(*cached, sights, stop);
  const std::vector<target::DesiredSecret> targets = desired(*cached);
  const auto known = parts_.findings.of(connection_of(*cached), cached->spec.robot.organization);
  PlanInput input = look_at(*cached, wall_now, targets, memory.drifted());
  input.watched = memory.watches(now) && memory.next_watch() <= now;
  input.troubled = known && known->trouble && known->trouble->lasting;
  input.metadata_refused = !parts_.allowed_metadata.refused(*cached).empty();
  const Plan decision = plan(input);

  if (const auto* task = std::get_if<Work>(&decision)) {
    return work(*cached, *task, memory, stop);
  }
  if (std::holds_alternative<Postpone>(decision)) return await_caches(*cached, sights, stop);
  if (std::holds_alternative<Await>(decision)) {
    return parts_.queue.add_at(key, now + watch_delay, urgency_of(*cached));
  }
  if (std::holds_alternative<WriteMark>(decision)) return mark(*cached, stop);
  if (const auto* halted = std::get_if<Halt>(&decision)) {
    return halt(*cached, halted->why, input.owner, stop);
  }
  if (cached->deleting) return;
  if (has_former_targets(*cached, targets)) {
    const auto problems = parts_.publisher.prune(*cached, targets, stop);
    if (!problems.empty()) {
      parts_.log.warning("cannot delete a former target", {{"resource", key.text()},
                                                           {"secret", problems.front().secret},
                                                           {"error", problems.front().message}});
      return retry(*cached, memory.news(), ordinary_backoff.first);
    }
  }
  bool date_anew = false;
  remember(key, [&](Memory& it) {
    date_anew = it.sees_future(schedule::is_of_the_future(*cached, wall_now), now);
  });
  if (date_anew) {
    parts_.log.warning("the status was dated to times to come: the interval counts from now",
                       {{"resource", key.text()}});
    return report(*cached, dated_anew(*cached, wall_now), stop);
  }
  tell(*cached, at_rest(*cached, known, wall_now), stop);
  rest(*cached, std::get<Rest>(decision).until);
  if (memory.watches(now)) {
    parts_.queue.add_at(key, memory.next_watch(), runtime::Urgency::normal);
  }
}

void Reconciler::failed(const kube::ObjectKey& key, const std::string& exception) {
  parts_.metrics.internal_error();
  parts_.log.error("internal error", {{"resource", key.text()}, {"exception", exception}});
  const auto cached = parts_.rotations.find(key);
  if (!cached) return;
  const base::WallTime now = parts_.executor.wall_now();
  const api::Condition* ready = cached->status.conditions.find("Ready");
  // Each write brings the key back: one for each back-off.
  if (ready && ready->reason == api::internal_error_reason && cached->status.retry_after > now)
    return;
  const base::Duration delay =
      base::backoff_delay(cached->status.rotation ? ledger_backoff : ordinary_backoff,
                          cached->status.consecutive_failures + 1, parts_.executor.random());
  retry(*cached, remember(key, [](Memory&) {}).news(), delay);
  api::RobotTokenRotation rotation = *cached;
  const StatusUpdate update = internal_error(rotation, exception, now, delay);
  const auto written = parts_.status.write(rotation, update.status, {});
  if (!written) {
    parts_.log.warning("cannot write the status",
                       {{"resource", key.text()}, {"error", kube::explain(written.error())}});
  }
}

void Reconciler::work(const api::RobotTokenRotation& rotation, const Work& work,
                      const Memory& memory, const std::stop_token& stop) {
  const kube::ObjectKey key = rotation.meta.key;
  const bool asked = work.reason == api::RotationReason::requested && !rotation.status.rotation;
  if (!parts_.queue.reserve(key, permits_of(work, rotation),
                            asked ? runtime::Urgency::urgent : urgency_of(rotation))) {
    return;  // it comes back when they are there, and is looked at anew
  }
  const tenancy::Way way = way_of(rotation);
  const auto session = parts_.sessions.session(connection_of(rotation), stop);
  // Turned to another Quay just now: what this one answers is no proof for that one.
  if (way_of(rotation) != way) return parts_.queue.add(key, runtime::Urgency::normal);
  if (!session) {
    const bool open = rotation.status.rotation.has_value();
    const base::Duration delay =
        retry_delay(open ? ledger_backoff : ordinary_backoff,
                    1 + (open ? memory.ledger_failures() : rotation.status.consecutive_failures),
                    parts_.executor.random(), std::nullopt);
    remember(key, [](Memory& it) { it.count_ledger_failure(); });
    const base::WallTime now = parts_.executor.wall_now();
    StatusUpdate update = without_connection(rotation, way, session.error(), now, delay);
    report(rotation, update, stop);
    // It went with the resource: there is nobody to ask any more.
    if (rotation.deleting && session.error().reason == "ConnectionNotFound") {
      departed_.drop(key);
    }
    parts_.log.warning("the connection cannot be used", {{"resource", key.text()},
                                                         {"reason", session.error().reason},
                                                         {"error", session.error().message}});
    return retry(rotation, memory.news(), delay);
  }

  std::optional<quay::RobotCredential> listed;
  if (work.goal == Goal::synchronize && !look_in_list(rotation, *session, listed, stop)) return;
  const std::vector<target::DesiredSecret> targets =
      target::desired_secrets(rotation, (*session)->authority(), parts_.allowed_metadata);
  ProtocolInput input;
  input.goal = work.goal;
  input.reason = work.reason;
  input.may_regenerate = work.may_regenerate;
  input.rotation_id = random_id(parts_.executor);
  input.rotate_request = tenancy::open_request(rotation);
  input.ledger = rotation.status.rotation;
  input.ledger_seen_for = memory.ledger_age(parts_.executor.now());
  input.known = rotation.status.token_fingerprint;
  input.superseded = superseded(rotation.status);
  input.ledger_unreadable = rotation.status.has_unreadable_ledger();
  input.stale = memory.stale();
  input.stale_for = memory.stale_for(parts_.executor.now());
  input.verify = rotation.spec.verify == api::VerifyLevel::login;
  input.verified = rotation.status.conditions.is_true("Verified");

  const base::Log log =
      parts_.log.with({{"resource", key.text()},
                       {"rotation", input.ledger ? input.ledger->id : input.rotation_id},
                       {"goal", text(work.goal)}});
  DriverResult result = parts_.driver.run(rotation, **session, std::move(input), targets,
                                          std::move(listed), log, stop);
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
    if (report.stale) why = "Quay answered with the older token " + report.stale->text();
    log.warning("not done", {{"phase", "finish"}, {"result", result_of(report)}, {"error", why}});
  }
  RunResult run;
  run.targets_total = static_cast<int>(targets.size());
  run.way = way;
  if (!result.robot.empty()) run.alias = (*session)->alias(stop);
  finish(rotation, std::move(result), work, std::move(run), memory, stop);
}

bool Reconciler::look_in_list(const api::RobotTokenRotation& rotation,
                              const std::shared_ptr<connection::Session>& session,
                              std::optional<quay::RobotCredential>& listed,
                              const std::stop_token& stop) {
  const kube::ObjectKey& key = rotation.meta.key;
  connection::Newcomers::Way way = parts_.newcomers.way(key, session);
  if (auto* list = std::get_if<connection::Newcomers::ReadList>(&way)) {
    const auto answer = session->list(
        rotation.spec.robot.organization, stop, [](const std::string&, base::Fingerprint) {},
        list->get());
    if (answer) (*list)->complete();
    list->reset();
    way = parts_.newcomers.way(key, session);
  }
  if (auto* credential = std::get_if<quay::RobotCredential>(&way)) listed = std::move(*credential);
  const auto* wait = std::get_if<connection::Newcomers::Wait>(&way);
  if (wait != nullptr && wait->until) {
    parts_.queue.add_at(key, *wait->until, runtime::Urgency::normal);
  }
  return wait == nullptr;
}

base::Duration Reconciler::learn(const api::RobotTokenRotation& before,
                                 const DriverResult& result) {
  const Report& report = result.report;
  const base::MonotonicTime now = parts_.executor.now();
  const bool open = result.rotation.status.rotation && !report.clear_ledger;
  std::optional<base::Duration> asked_for;
  for (const auto* error : {&report.quay_error, &report.preflight_error, &report.verify_error}) {
    if (*error) asked_for = std::max(asked_for, (*error)->retry_after);
  }
  if (report.kube_error) asked_for = std::max(asked_for, report.kube_error->retry_after);

  base::BackoffPolicy policy = open ? ledger_backoff : ordinary_backoff;
  int failures = before.status.consecutive_failures;
  const Memory memory = remember(before.meta.key, [&](Memory& it) {
    if (open) failures = it.ledger_failures();
    if (open && report.end != Report::End::done) it.count_ledger_failure();
    // What is not told by a run that could not read, is as it was.
    if (report.stale || report.fingerprint) it.answered(report.stale, now);
    if (report.watch) it.watch(*report.watch, now);
    if (report.end == Report::End::start_over) {
      policy = start_over_backoff;
      if (open) policy.most = ledger_backoff.most;
      failures = it.count_start_over() - 1;
    } else {
      it.no_start_over();
    }
  });
  if (report.hold_left) policy = hold_backoff;
  const base::Duration delay =
      retry_delay(policy, failures + 1, parts_.executor.random(), asked_for);
  return report.hold_left ? std::min(delay, *report.hold_left) : delay;
}

void Reconciler::finish(const api::RobotTokenRotation& before, DriverResult result,
                        const Work& work, RunResult run, const Memory& memory,
                        const std::stop_token& stop) {
  const base::Duration delay = learn(before, result);
  const Report& report = result.report;
  api::RobotTokenRotation rotation = std::move(result.rotation);
  const kube::ObjectKey key = rotation.meta.key;
  const base::MonotonicTime now = parts_.executor.now();

  if (work.goal != Goal::synchronize || report.regenerated) {
    parts_.metrics.rotation(result_of(report),
                            text(report.ledger ? report.ledger->reason : work.reason));
  }
  if (result.outage) parts_.metrics.outage(*result.outage);
  const int start_overs = remember(key, [](Memory&) {}).start_overs();
  if (start_overs > 0 && start_overs <= start_overs_untold) {
    return retry(rotation, memory.news(), delay);
  }

  run.report = report;
  run.robot = result.robot;
  run.rotates = work.goal != Goal::synchronize;
  run.targets_current = targets_current(before, desired(before));
  run.outage = result.outage;
  run.start_overs = start_overs;
  run.watched = memory.watches(now);
  run.healed = work.heals;
  run.now = parts_.executor.wall_now();
  run.retry_delay = delay;

  std::vector<Notice> notices;
  const std::string ledger = ledger_name(rotation.status.rotation);
  const auto known = before.status.token_fingerprint;
  bool overtaken = false;
  const auto written = parts_.status.write(
      rotation,
      [&](const api::RobotTokenRotation& current) -> std::optional<api::RobotTokenRotationStatus> {
        // Another replica may have finished the rotation, or have sent another attempt of it that
        // this run knows nothing of: its ledger stays. Or it has seen a newer token.
        overtaken = ledger_name(current.status.rotation) != ledger ||
                    current.status.token_fingerprint != known;
        if (overtaken) return std::nullopt;
        StatusUpdate update = after_run(current, run);
        notices = std::move(update.notices);
        return std::move(update.status);
      },
      stop);
  parts_.driver.step("commit");
  if (!written && written.error().kind == kube::Error::Kind::not_found) {
    // The resource is gone: nobody can be told, but its Secrets are seen to.
    if (report.end != Report::End::done) return retry(rotation, memory.news(), delay);
    departed_.drop(key);
    remember(key, [](Memory& it) { it = Memory{}; });
    return;
  }
  if (!written) {
    parts_.log.warning("cannot write the status",
                       {{"resource", key.text()}, {"error", kube::explain(written.error())}});
    return retry(rotation, memory.news(), delay);
  }
  announce(rotation, notices, stop);
  parts_.driver.step("event");

  if (overtaken) {
    // The watch brings it; late, where the API server was put back to what is older than the cache.
    int times = 0;
    remember(key, [&](Memory& it) {
      it.count_ledger_failure();
      times = it.ledger_failures();
    });
    return retry(before, memory.news(),
                 retry_delay(ledger_backoff, times, parts_.executor.random(), {}));
  }
  if (needs_retry(report)) return retry(rotation, memory.news(), delay);
  int heals = 0;
  remember(key, [&](Memory& it) {
    it.settle_drift(memory.news());
    it.stop_waiting();
    if (work.watch) it.watched(now, parts_.executor.random());
    if (work.goal == Goal::synchronize && !work.watch) heals = it.count_heal(now);
  });
  if (heals > 0) {
    return retry(rotation, memory.news(),
                 base::backoff_delay(heal_backoff, heals, parts_.executor.random()));
  }
  parts_.queue.add(key, runtime::Urgency::normal);
}

void Reconciler::tell(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
                      const std::stop_token& stop) {
  if (update.status != rotation.status) {
    const base::MonotonicTime now = parts_.executor.now();
    base::MonotonicTime when{};
    remember(rotation.meta.key, [&](Memory& memory) { when = memory.tell(now); });
    if (when > now) return parts_.queue.add_at(rotation.meta.key, when, urgency_of(rotation));
  }
  report(rotation, update, stop);
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
    parts_.events.record(api::rotations, rotation.meta, notice.type, notice.reason, "Rotate",
                         notice.note, stop);
  }
}

void Reconciler::retry(const api::RobotTokenRotation& rotation, std::uint64_t news,
                       base::Duration delay) {
  const base::MonotonicTime until = parts_.executor.now() + delay;
  const std::string inputs = inputs_of(rotation);
  const Memory memory = remember(rotation.meta.key, [&](Memory& it) {
    it.wait(it.news() == news ? until : base::MonotonicTime{}, inputs);
  });
  parts_.queue.add_at(rotation.meta.key, memory.not_before(), urgency_of(rotation));
}

void Reconciler::rest(const api::RobotTokenRotation& rotation,
                      std::optional<base::WallTime> until) {
  if (!until) return;
  // As times: their difference may be too long for a Duration.
  const base::WallTime now = parts_.executor.wall_now();
  const base::Duration left = std::clamp(*until, now, now + longest_rest) - now;
  parts_.queue.add_at(rotation.meta.key, parts_.executor.now() + left, runtime::Urgency::normal);
}

}  // namespace quay_rotator::rotation
