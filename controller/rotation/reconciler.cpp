#include "rotation/reconciler.h"

#include <algorithm>
#include <variant>

#include "rotation/status/at_rest.h"
#include "rotation/status/delayed.h"
#include "rotation/status/halted.h"
#include "schedule/schedule.h"

namespace quay_rotator::rotation {

namespace {

using runtime::Next;
using runtime::Urgency;

// Due times are wall times: looked at again this often, whatever the clock does meanwhile.
constexpr base::WallTime::duration longest_rest = std::chrono::minutes(30);
// The watch brings what we wrote a moment later.
constexpr base::Duration watch_delay = std::chrono::milliseconds(100);

}  // namespace

Next Reconciler::reconcile(const kube::ObjectKey& key, const std::stop_token& stop) {
  const base::MonotonicTime now = parts_.executor.now();
  const base::WallTime wall_now = parts_.executor.wall_now();
  auto rotation = parts_.caches.rotations.find(key);
  if (!rotation) rotation = parts_.knowledge.departed.find(key, now);
  if (!rotation) {
    // It may have been deleted while it was worked on, or noted as drifted after that.
    parts_.knowledge.memories.forget(key);
    return Next::gone();
  }
  const api::RobotTokenRotationStatus& status = rotation->status;
  const std::string inputs = inputs_of(parts_.caches, *rotation);
  const Memory memory = parts_.knowledge.memories.change(key, [&](Memory& it) {
    it.look(rotation->meta.uid, status, now);
    if (status.retry_after && status.observed_generation == rotation->generation) {
      it.resume_waiting(*status.retry_after, wall_now, now, inputs);
    }
  });
  if (memory.waits(inputs, now)) return Next::at(memory.not_before(), urgency_of(*rotation));

  const Sight::View sight = parts_.knowledge.sight.of(key);
  if (!sight.connections) return await_caches(*rotation, sight, Why::caches_incomplete, stop);
  const View view = look(parts_.caches, parts_.knowledge, *rotation, memory, sight, wall_now, now);
  const auto [what, why] = plan(view);

  if (const auto* work = std::get_if<Work>(&what)) {
    return parts_.performer.perform(view, *work, why, memory, stop);
  }
  if (std::holds_alternative<Postpone>(what)) return await_caches(*rotation, sight, why, stop);
  if (std::holds_alternative<Await>(what)) {
    return Next::at(now + watch_delay, urgency_of(*rotation));
  }
  if (std::holds_alternative<WriteMark>(what)) return mark(view, stop);
  if (std::holds_alternative<Halt>(what)) return halt(view, why, stop);
  return rest(view, std::get<Rest>(what), memory, stop);
}

Next Reconciler::rest(const View& view, const Rest& rest, const Memory& memory,
                      const std::stop_token& stop) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const kube::ObjectKey& key = rotation.meta.key;
  if (rotation.deleting) return {};
  if (has_former_targets(parts_.caches, parts_.knowledge.secrets, view)) {
    const auto problems = parts_.pruner.prune(rotation, view.targets, stop);
    if (!problems.empty()) {
      parts_.log.warning("cannot delete a former target",
                         {{"resource", key.text()},
                          {"secret", problems.front().object.text()},
                          {"error", problems.front().message}});
      return parts_.performer.retry(rotation, memory.news(), ordinary_backoff.first);
    }
  }
  const base::MonotonicTime now = parts_.executor.now();
  bool date_anew = false;
  parts_.knowledge.memories.change(key, [&](Memory& it) {
    date_anew = it.sees_future(schedule::is_of_the_future(rotation, view.now), now);
  });
  if (date_anew) {
    parts_.log.warning("the status was dated to times to come: the interval counts from now",
                       {{"resource", key.text()}});
    return parts_.teller.report(rotation, dated_anew(rotation, view.now), stop);
  }
  Next next = parts_.teller.remark(rotation, at_rest(rotation, view.quay, view.now), stop);
  if (next.when == Next::When::failed) return next;
  if (rest.until) {
    // As times: their difference may be too long for a Duration.
    const base::Duration left =
        std::clamp(*rest.until, view.now, view.now + longest_rest) - view.now;
    next = next.or_earlier(Next::at(now + left, Urgency::normal));
  }
  if (memory.watches(now)) {
    next = next.or_earlier(Next::at(memory.next_watch(), Urgency::normal));
  }
  return next;
}

Next Reconciler::halt(const View& view, Why why, const std::stop_token& stop) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const auto update = [&] {
    if (why == Why::another_cluster) return of_another_cluster(rotation, view.now);
    if (why == Why::invalid) return invalid(rotation, view.now);
    if (why == Why::conflict) return in_conflict(rotation, *view.owner, view.now);
    if (why == Why::suspended) return suspended(rotation, view.now);
    return metadata_not_allowed(rotation, view.metadata_refused, view.now);
  };
  return parts_.teller.report(rotation, update(), stop);
}

Next Reconciler::await_caches(const api::RobotTokenRotation& rotation, const Sight::View& sight,
                              Why why, const std::stop_token& stop) {
  const Urgency urgency = urgency_of(rotation);
  if (!parts_.knowledge.sight.postpone(rotation.meta.key, urgency, sight.version)) {
    return Next::at(parts_.executor.now(), urgency);
  }
  // What a ledger, another cluster or a conflict has to say of it says more.
  if (rotation.status.rotation || rotation.deleting ||
      !parts_.knowledge.sight.looked_after(rotation)) {
    return {};
  }
  const base::WallTime now = parts_.executor.wall_now();
  if (sight.unreadable) {
    return parts_.teller.remark(rotation, namespace_unreadable(rotation, *sight.unreadable, now),
                                stop);
  }
  const bool may_be_another = why == Why::owners_unknown &&
                              parts_.knowledge.sight.unreadable() > 0 &&
                              !rotation.status.conditions.is_true("Conflict");
  if (!may_be_another) return {};
  return parts_.teller.remark(rotation, owners_unknown(rotation, now), stop);
}

Next Reconciler::mark(const View& view, const std::stop_token& stop) {
  const Next next =
      parts_.teller.mark(view.rotation, parts_.knowledge.sight.cluster(), view.now, stop);
  if (parts_.after_step) parts_.after_step("mark");
  return next;
}

Next Reconciler::failed(const kube::ObjectKey& key, const std::string& exception) {
  parts_.metrics.internal_error();
  parts_.log.error("internal error", {{"resource", key.text()}, {"exception", exception}});
  const auto rotation = parts_.caches.rotations.find(key);
  if (!rotation) return Next::failed();
  const base::WallTime now = parts_.executor.wall_now();
  const api::Condition* ready = rotation->status.conditions.find("Ready");
  // Each write brings the key back: one for each back-off.
  if (ready && ready->reason == api::internal_error_reason && rotation->status.retry_after > now) {
    return Next::failed();
  }
  const Memory memory = parts_.knowledge.memories.of(key);
  const auto [policy, failures] =
      memory.patience(rotation->status.rotation.has_value(), rotation->status);
  const base::Duration delay =
      retry_delay(policy, failures + 1, parts_.executor.random(), std::nullopt);
  parts_.knowledge.memories.change(key, [](Memory& it) { it.count_ledger_failure(); });
  const Next next = parts_.performer.retry(*rotation, memory.news(), delay);
  parts_.teller.report(*rotation, internal_error(*rotation, exception, now, delay), {});
  return next;
}

}  // namespace quay_rotator::rotation
