#include "rotation/performer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/backoff.h"
#include "rotation/status/delayed.h"
#include "schedule/refresh.h"
#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

namespace {

using credential::Outcome;
using runtime::Next;
using runtime::Urgency;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Somebody undoes what we write (a webhook, another controller): not a loop.
constexpr base::BackoffPolicy heal_backoff{seconds(2), minutes(5)};
// Another writer of the status is faster: at once, a few times.
constexpr base::BackoffPolicy start_over_backoff{milliseconds(100), minutes(5)};
constexpr int start_overs_untold = 3;

std::string random_id(base::Executor& executor) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(executor.random()));
  return text.data();
}

// Calls to Quay of a run in which nothing goes wrong.
int permits_of(const Work& work, const api::RobotTokenRotation& rotation) {
  const int logins = rotation.spec.verify == api::VerifyLevel::login ? 1 : 0;
  if (work.goal == Goal::exchange) {
    if (api::held(rotation) != nullptr && rotation.status.conditions.is_true("Verified")) return 1;
    // With what it may take to be let in: an exchange in vain, the list, a longer list, the list.
    constexpr int managing = 4;
    return 1 + logins + (rotation.spec.strategy.federate.manage ? managing : 0);
  }
  constexpr int compare = quay::RobotsApi::most_requests_to_compare;
  if (work.goal == Goal::retire) return compare + 2;
  if (work.goal == Goal::rotate) {
    const bool turns = !api::standby_robot(rotation).empty();
    return (turns ? compare + 1 : 0) + 2 + 2 * logins;
  }
  return (work.compare ? compare : 0) + 1 + logins;
}

std::string_view result_of(const Outcome& outcome) {
  switch (outcome.end) {
    case Outcome::End::done:
      return "succeeded";
    case Outcome::End::retired:
      return outcome.made ? "succeeded" : "given-up";
    case Outcome::End::preflight_refused:
      return "preflight-refused";
    case Outcome::End::quay_failed:
      return "quay-failed";
    case Outcome::End::no_identity:
      return "no-identity";
    case Outcome::End::unclear:
      return "unclear";
    case Outcome::End::unpublished:
      return "unpublished";
    case Outcome::End::stale_read:
      return "stale-read";
    case Outcome::End::start_over:
      return "started-over";
    case Outcome::End::api_server:
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
    case Goal::retire:
      return "retire";
    case Goal::resume:
      return "resume";
    case Goal::exchange:
      return "exchange";
  }
  return "";
}

// What another party asks to wait.
std::optional<base::Duration> asked_for(const Outcome& outcome) {
  std::optional<base::Duration> longest;
  for (const auto* error : {&outcome.quay_error, &outcome.preflight_error, &outcome.verify_error}) {
    if (*error) longest = std::max(longest, (*error)->retry_after);
  }
  if (outcome.kube_error) longest = std::max(longest, outcome.kube_error->retry_after);
  return longest;
}

void log_end(const base::Log& log, const Outcome& outcome, std::size_t targets) {
  if (outcome.end == Outcome::End::done) {
    const base::Log settled = log.with({{"phase", "finish"},
                                        {"fingerprint", outcome.fingerprint->text()},
                                        {"targets", static_cast<std::int64_t>(targets)}});
    // 10,000 an hour.
    if (outcome.expires) {
      return settled.debug("refreshed", {{"expires", base::format_time(*outcome.expires)}});
    }
    if (outcome.outage) {
      return settled.info("rotated", {{"outage", base::format_duration(*outcome.outage)}});
    }
    return settled.info(outcome.regenerated ? "rotated" : "synchronized");
  }
  if (outcome.end == Outcome::End::retired) {
    return log.info(outcome.made ? "retired" : "not retired",
                    {{"phase", "finish"}, {"robot", outcome.robot}});
  }
  std::string why;
  if (outcome.in_use) why = "the token that would die is in use";
  if (outcome.robots_differ()) why = outcome.compared->differences.front();
  if (outcome.quay_error) why = outcome.quay_error->message;
  if (outcome.preflight_error) why = outcome.preflight_error->message;
  if (outcome.kube_error) why = kube::explain(*outcome.kube_error);
  if (outcome.refusal) why = outcome.refusal->message;
  if (!outcome.problems.empty()) why = outcome.problems.front().message;
  if (outcome.stale) why = "Quay answered with the older token " + outcome.stale->text();
  log.warning("not done", {{"phase", "finish"}, {"result", result_of(outcome)}, {"error", why}});
}

}  // namespace

Next Performer::perform(const View& view, const Work& work, Why why, const Memory& memory,
                        const std::stop_token& stop) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const kube::ObjectKey& key = rotation.meta.key;
  const bool asked = work.reason == api::RotationReason::requested && !rotation.status.rotation;
  if (!parts_.queue.reserve(key, permits_of(work, rotation),
                            asked ? Urgency::urgent : urgency_of(rotation))) {
    return {};  // it comes back when they are there, and is looked at anew
  }
  const tenancy::Way way = way_of(parts_.caches, rotation);
  const auto session = parts_.sessions.session(connection_of(rotation), stop);
  // Turned to another Quay just now: what this one answers is no proof for that one.
  if (way_of(parts_.caches, rotation) != way) {
    return Next::at(parts_.executor.now(), Urgency::normal);
  }
  if (!session) return without_session(view, way, session.error(), memory, stop);

  std::optional<quay::RobotCredential> listed;
  if (work.goal == Goal::synchronize) {
    auto told = look_in_list(rotation, *session, stop);
    if (!told) return told.error();
    listed = std::move(*told);
  }
  const std::vector<target::DesiredSecret> targets =
      target::desired_secrets(rotation, (*session)->authority(), parts_.caches.allowed_metadata);
  Order task = order(work, memory);
  task.forgeable = way.forgeable;
  const base::Log log = parts_.log.with(
      {{"resource", key.text()},
       {"rotation", rotation.status.rotation ? rotation.status.rotation->id : task.rotation_id},
       {"goal", text(work.goal)},
       {"because", rotation::text(why)}});
  if (work.heals) log.info("healing", {{"finding", target::summary(view.stale)}});
  api::RobotTokenRotation after = rotation;
  const Outcome outcome =
      parts_.runner.run(after, **session, std::move(task), targets, std::move(listed), log, stop);
  log_end(log, outcome, targets.size());
  Circumstances run;
  run.targets_total = static_cast<int>(targets.size());
  run.way = way;
  if (!outcome.robot.empty()) run.alias = (*session)->alias(stop);
  return finish(view, std::move(after), outcome, work, std::move(run), memory, stop);
}

Order Performer::order(const Work& work, const Memory& memory) const {
  const base::MonotonicTime now = parts_.executor.now();
  Order order;
  order.goal = work.goal;
  order.reason = work.reason;
  order.may_regenerate = work.may_regenerate;
  order.compare = work.compare;
  order.rotation_id = random_id(parts_.executor);
  order.ledger_seen_for = memory.ledger_age(now);
  order.stale = memory.stale();
  order.stale_for = memory.stale_for(now);
  return order;
}

Next Performer::without_session(const View& view, const tenancy::Way& way,
                                const connection::Problem& problem, const Memory& memory,
                                const std::stop_token& stop) {
  const api::RobotTokenRotation& rotation = view.rotation;
  const kube::ObjectKey& key = rotation.meta.key;
  const auto [policy, failures] =
      memory.patience(rotation.status.rotation.has_value(), rotation.status);
  const base::Duration delay =
      retry_delay(policy, failures + 1, parts_.executor.random(), std::nullopt);
  parts_.knowledge.memories.change(key, [](Memory& it) { it.count_ledger_failure(); });
  parts_.teller.report(
      rotation, without_connection(rotation, way, problem, parts_.executor.wall_now(), delay),
      stop);
  // It went with the resource: there is nobody to ask any more.
  if (rotation.deleting && problem.reason == "ConnectionNotFound") {
    parts_.knowledge.departed.drop(key);
  }
  parts_.log.warning(
      "the connection cannot be used",
      {{"resource", key.text()}, {"reason", problem.reason}, {"error", problem.message}});
  return retry(rotation, memory.news(), delay);
}

tl::expected<std::optional<quay::RobotCredential>, Next> Performer::look_in_list(
    const api::RobotTokenRotation& rotation, const Session& session, const std::stop_token& stop) {
  using connection::Newcomers;
  const kube::ObjectKey& key = rotation.meta.key;
  Newcomers::Way way = parts_.newcomers.way(key, session);
  if (auto* list = std::get_if<Newcomers::ReadList>(&way)) {
    const auto answer = session->list(
        rotation.spec.robot.organization, stop, [](const std::string&, base::Fingerprint) {},
        list->get());
    if (answer) (*list)->complete();
    list->reset();
    way = parts_.newcomers.way(key, session);
  }
  if (auto* credential = std::get_if<quay::RobotCredential>(&way)) return std::move(*credential);
  const auto* wait = std::get_if<Newcomers::Wait>(&way);
  if (wait == nullptr) return std::nullopt;
  return tl::unexpected(wait->until ? Next::at(*wait->until, Urgency::normal) : Next{});
}

base::Duration Performer::learn(const api::RobotTokenRotation& before, const Outcome& outcome,
                                bool open) {
  const base::MonotonicTime now = parts_.executor.now();
  Memory::Patience patience;
  parts_.knowledge.memories.change(before.meta.key, [&](Memory& it) {
    patience = it.patience(open, before.status);
    if (open && outcome.end != Outcome::End::done) it.count_ledger_failure();
    // What is not told by a run that could not read, is as it was.
    if (outcome.stale || outcome.fingerprint) it.answered(outcome.stale, now);
    if (outcome.watch) it.watch(*outcome.watch, now);
    if (outcome.end == Outcome::End::start_over) {
      const base::Duration most = open ? patience.policy.most : start_over_backoff.most;
      patience = {start_over_backoff, it.count_start_over() - 1};
      patience.policy.most = most;
    } else {
      it.no_start_over();
    }
  });
  if (outcome.hold_left) patience.policy = hold_backoff;
  if (!open && before.spec.strategy.type == api::StrategyType::federate) {
    patience.policy =
        schedule::refresh_backoff(before, parts_.executor.wall_now(), ordinary_backoff);
  }
  const base::Duration delay = retry_delay(patience.policy, patience.failures + 1,
                                           parts_.executor.random(), asked_for(outcome));
  return outcome.hold_left ? std::min(delay, *outcome.hold_left) : delay;
}

Next Performer::finish(const View& view, api::RobotTokenRotation rotation, const Outcome& outcome,
                       const Work& work, Circumstances run, const Memory& memory,
                       const std::stop_token& stop) {
  const api::RobotTokenRotation& before = view.rotation;
  const kube::ObjectKey& key = before.meta.key;
  const base::Duration delay =
      learn(before, outcome, rotation.status.rotation && !outcome.clear_ledger);

  if (work.goal != Goal::synchronize || outcome.regenerated) {
    const bool refreshes = work.goal == Goal::exchange;
    parts_.metrics.rotation(
        result_of(outcome),
        refreshes ? "Refresh" : api::text(outcome.ledger ? outcome.ledger->reason : work.reason));
  }
  if (outcome.outage) parts_.metrics.outage(*outcome.outage);
  const int start_overs = parts_.knowledge.memories.of(key).start_overs();
  if (start_overs > 0 && start_overs <= start_overs_untold) {
    return retry(rotation, memory.news(), delay);
  }

  run.rotates = work.goal != Goal::synchronize;
  run.federates = work.goal == Goal::exchange;
  if (run.federates) run.rotate_request = tenancy::open_request(before);
  run.targets_current = are_current(parts_.caches, before, targets_of(parts_.caches, before));
  run.start_overs = start_overs;
  run.watched = memory.watches(parts_.executor.now());
  if (work.heals) run.healed = target::summary(view.stale);
  run.now = parts_.executor.wall_now();
  run.retry_delay = delay;

  std::vector<Notice> notices;
  const std::string ledger = ledger_name(rotation.status.rotation);
  const auto known = before.status.fingerprint();
  bool late = false;
  const auto written = parts_.status.write(
      rotation,
      [&](const api::RobotTokenRotation& current) -> std::optional<api::RobotTokenRotationStatus> {
        // Another replica may have finished the rotation, or have sent another attempt of it that
        // this run knows nothing of: its ledger stays. Or it has seen a newer token.
        late =
            ledger_name(current.status.rotation) != ledger || current.status.fingerprint() != known;
        if (late) return std::nullopt;
        StatusUpdate update = after_run(current, outcome, run);
        notices = std::move(update.notices);
        return std::move(update.status);
      },
      stop);
  parts_.runner.step("commit");
  if (!written && written.error().kind == kube::Error::Kind::not_found) {
    // The resource is gone: nobody can be told, but its Secrets are seen to.
    if (outcome.end != Outcome::End::done) return retry(rotation, memory.news(), delay);
    parts_.knowledge.departed.drop(key);
    parts_.knowledge.memories.forget(key);
    return {};
  }
  if (!written) {
    parts_.log.warning("cannot write the status",
                       {{"resource", key.text()}, {"error", kube::explain(written.error())}});
    return retry(rotation, memory.news(), delay);
  }
  parts_.teller.announce(rotation, notices, stop);
  parts_.runner.step("event");
  if (late) return overtaken(before, memory);
  if (needs_retry(outcome)) return retry(rotation, memory.news(), delay);
  return done(rotation, work, memory);
}

Next Performer::overtaken(const api::RobotTokenRotation& before, const Memory& memory) {
  // The watch brings it; late, where the API server was put back to what is older than the cache.
  const int times = parts_.knowledge.memories
                        .change(before.meta.key, [](Memory& it) { it.count_ledger_failure(); })
                        .ledger_failures();
  return retry(before, memory.news(),
               retry_delay(ledger_backoff, times, parts_.executor.random(), std::nullopt));
}

Next Performer::done(const api::RobotTokenRotation& rotation, const Work& work,
                     const Memory& memory) {
  const base::MonotonicTime now = parts_.executor.now();
  int heals = 0;
  parts_.knowledge.memories.change(rotation.meta.key, [&](Memory& it) {
    it.settle_drift(memory.news());
    it.stop_waiting();
    if (work.watch) it.watched(now, parts_.executor.random());
    const bool heals_now = work.goal == Goal::synchronize ? !work.watch : work.heals;
    if (heals_now) heals = it.count_heal(now);
  });
  if (heals == 0) return Next::at(now, Urgency::normal);
  return retry(rotation, memory.news(),
               base::backoff_delay(heal_backoff, heals, parts_.executor.random()));
}

Next Performer::retry(const api::RobotTokenRotation& rotation, std::uint64_t news,
                      base::Duration delay) {
  const base::MonotonicTime until = parts_.executor.now() + delay;
  const std::string inputs = inputs_of(parts_.caches, rotation);
  const Memory memory = parts_.knowledge.memories.change(rotation.meta.key, [&](Memory& it) {
    it.wait(it.news() == news ? until : base::MonotonicTime{}, inputs);
  });
  return Next::at(memory.not_before(), urgency_of(rotation));
}

}  // namespace quay_rotator::rotation
