#include "runtime/election.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/mutex.h"
#include "base/time.h"
#include "runtime/heartbeat.h"

namespace quay_rotator::runtime {

namespace {

using Kind = kube::Error::Kind;

// A round is two requests of some seconds, each with an exec plugin before it at the worst.
constexpr base::Duration longest_round = std::chrono::minutes(3);
// Whoever has not renewed for so long is gone, whatever it once wrote.
constexpr base::Duration longest_lease = std::chrono::minutes(10);

LeaseRecord read_record(const nlohmann::json& lease) {
  const auto text = [&](std::string_view path) {
    return base::string_or(lease, path, "").value_or("");
  };
  // Kubernetes has 32 bits for these; the largest leaves room to count one more.
  const auto number = [&](std::string_view path) {
    return std::clamp<std::int64_t>(base::integer_or(lease, path, 0).value_or(0), 0,
                                    std::numeric_limits<std::int32_t>::max() - 1);
  };
  return {text("spec.holderIdentity"), std::chrono::seconds(number("spec.leaseDurationSeconds")),
          text("spec.acquireTime"), text("spec.renewTime"),
          static_cast<int>(number("spec.leaseTransitions"))};
}

std::string version_of(const nlohmann::json& lease) {
  return base::string_or(lease, "metadata.resourceVersion", "").value_or("");
}

void write_record(const LeaseRecord& record, nlohmann::json& lease) {
  nlohmann::json& spec = lease["spec"];
  if (!spec.is_object()) spec = nlohmann::json::object();
  spec["holderIdentity"] = record.holder;
  spec["leaseDurationSeconds"] =
      std::chrono::duration_cast<std::chrono::seconds>(record.duration).count();
  spec["acquireTime"] = record.acquire_time;
  spec["renewTime"] = record.renew_time;
  spec["leaseTransitions"] = record.transitions;
}

}  // namespace

std::string election_identity(const std::string& pod, const std::string& host,
                              std::uint64_t random) {
  if (!pod.empty()) return pod;
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, random);
  return host + "_" + digits.data();
}

ElectionState::Verdict ElectionState::observe(const std::optional<LeaseRecord>& record,
                                              base::MonotonicTime now) {
  if (record != record_) {
    record_ = record;
    changed_at_ = now;
  }
  if (!record_) return Verdict::create;
  if (record_->holder == options_.identity) return Verdict::acquire;
  renewed_at_.reset();
  if (record_->holder.empty()) return Verdict::acquire;
  const base::Duration duration = record_->duration > base::Duration::zero()
                                      ? std::min(record_->duration, longest_lease)
                                      : options_.lease_duration;
  return now < changed_at_ + duration ? Verdict::wait : Verdict::acquire;
}

LeaseRecord ElectionState::claim(const std::string& stamp) const {
  LeaseRecord claim{options_.identity, options_.lease_duration, stamp, stamp, 0};
  if (record_) {
    const bool ours = record_->holder == options_.identity;
    if (ours && !record_->acquire_time.empty()) claim.acquire_time = record_->acquire_time;
    claim.transitions = record_->transitions + (ours ? 0 : 1);
  }
  return claim;
}

void ElectionState::renewed(const LeaseRecord& record, base::MonotonicTime request_started) {
  record_ = record;
  changed_at_ = request_started;
  renewed_at_ = request_started;
}

std::optional<base::MonotonicTime> ElectionState::leading_until() const {
  if (!renewed_at_) return std::nullopt;
  return *renewed_at_ + options_.renew_deadline;
}

bool ElectionState::leading(base::MonotonicTime now) const {
  const auto until = leading_until();
  return until && now < *until;
}

struct Election::Driver {
  Driver(ElectionOptions options_given, kube::Client& client_given, base::Executor& executor_given,
         const base::Log& log_given)
      : options(std::move(options_given)),
        client(client_given),
        executor(executor_given),
        log(log_given.with({{"lease", options.lease.text()}})),
        state(options),
        changed(executor.make_signal()) {}

  const ElectionOptions options;
  kube::Client& client;
  base::Executor& executor;
  base::Log log;
  Heartbeat heartbeat{longest_round};
  // Of the election's thread alone (and of release() once that has ended).
  nlohmann::json lease;  // as last read or written, to write it again
  bool led = false;
  bool claimed = false;  // a write that names us was sent, whatever became of it
  std::string last_holder;
  std::string last_trouble;

  mutable base::Mutex mutex;
  ElectionState state;                  // written by the election's thread under the mutex
  bool over GUARDED_BY(mutex) = false;  // lost or released: never leading again
  bool lost GUARDED_BY(mutex) = false;
  std::function<void()> lost_callback;
  std::unique_ptr<base::Signal> changed;

  void run(const std::stop_token& stop);
  void attempt(const std::stop_token& stop);
  kube::Expected<void> write(bool create, const std::stop_token& stop);
  [[nodiscard]] bool expired() const { return led && !state.leading(executor.now()); }
  void lose();
  void release();
  void set_trouble(std::string text);
};

Election::Election(ElectionOptions options, kube::Client& client, base::Executor& executor,
                   const base::Log& log)
    : driver_(std::make_unique<Driver>(std::move(options), client, executor, log)) {
  thread_ = executor.spawn(
      "election", [driver = driver_.get()](const std::stop_token& stop) { driver->run(stop); });
}

Election::~Election() = default;  // the thread first: it stops and joins

bool Election::wait_until_leading(const std::stop_token& stop) {
  base::Lock lock(driver_->mutex);
  while (!stop.stop_requested()) {
    const base::MonotonicTime now = driver_->executor.now();
    if (!driver_->over && driver_->state.leading(now)) return true;
    driver_->changed->wait_until(lock, now + std::chrono::hours(1), stop);
  }
  return false;
}

bool Election::leading() const {
  const base::Lock lock(driver_->mutex);
  return !driver_->over && driver_->state.leading(driver_->executor.now());
}

std::string Election::stuck() const {
  return driver_->heartbeat.trouble(driver_->executor.now());
}

void Election::on_lost(std::function<void()> callback) {
  {
    const base::Lock lock(driver_->mutex);
    if (!driver_->lost) {
      driver_->lost_callback = std::move(callback);
      return;
    }
  }
  callback();
}

void Election::release() {
  {
    const base::Lock lock(driver_->mutex);
    if (driver_->over) return;
    driver_->over = true;
  }
  thread_->request_stop();
  thread_->join();
  if (driver_->claimed) driver_->release();
}

void Election::Driver::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const base::MonotonicTime started = executor.now();
    heartbeat.beat(started);
    // Before anything is renewed: a process that slept past its lease has lost it, even if nobody
    // else took it meanwhile.
    if (expired()) return lose();
    attempt(stop);
    if (stop.stop_requested()) return;
    if (expired()) return lose();

    base::MonotonicTime next = started + options.retry_period;
    if (!state.leading(executor.now())) {
      next += executor.random_below(options.retry_period / 4);
    } else {
      next = std::min(next, *state.leading_until());
      if (!std::exchange(led, true)) {
        log.info("leading", {{"identity", options.identity}});
        const base::Lock lock(mutex);
        changed->notify_all();
      }
    }
    executor.sleep_until(next, stop);
  }
}

// One round: read the lease, and write it if that is ours to do.
void Election::Driver::attempt(const std::stop_token& stop) {
  if (led) {
    // The lease as we wrote it last needs no reading: its resourceVersion is the check.
    const auto renewed = write(/*create=*/false, stop);
    if (renewed) return set_trouble("");
    if (renewed.error().kind != Kind::conflict && renewed.error().kind != Kind::not_found) {
      return set_trouble(kube::explain(renewed.error()));
    }
  }
  auto read = client.get(kube::leases, options.lease, stop);
  if (stop.stop_requested()) return;
  const bool absent = !read && read.error().kind == Kind::not_found;
  if (!read && !absent) return set_trouble(kube::explain(read.error()));
  std::optional<LeaseRecord> record;
  if (!absent) {
    const std::string known = version_of(lease);
    lease = std::move(*read);
    if (options.on_lost_history && kube::proves_lost_history(known, version_of(lease))) {
      options.on_lost_history();
    }
    record = read_record(lease);
    if (record->holder != last_holder) {
      last_holder = record->holder;
      log.info("the lease's holder changed", {{"holder", last_holder}});
    }
  }
  ElectionState::Verdict verdict{};
  {
    const base::Lock lock(mutex);
    verdict = state.observe(record, executor.now());
  }
  // Never write past our own deadline: the lease would look renewed while we are on our way out.
  if (verdict == ElectionState::Verdict::wait || expired()) return set_trouble("");
  const auto written = write(verdict == ElectionState::Verdict::create, stop);
  const bool beaten = !written && (written.error().kind == Kind::conflict ||
                                   written.error().kind == Kind::already_exists);
  set_trouble(written || beaten ? "" : kube::explain(written.error()));
}

kube::Expected<void> Election::Driver::write(bool create, const std::stop_token& stop) {
  nlohmann::json claim = create ? nlohmann::json{{"apiVersion", kube::leases.api_version()},
                                                 {"kind", kube::leases.kind},
                                                 {"metadata",
                                                  {{"name", options.lease.name},
                                                   {"namespace", options.lease.name_space}}}}
                                : lease;
  write_record(state.claim(base::format_micro_time(executor.wall_now())), claim);
  claimed = true;
  const base::MonotonicTime started = executor.now();
  auto answer = create ? client.create(kube::leases, options.lease.name_space, claim, stop)
                       : client.replace(kube::leases, options.lease, claim, stop);
  if (!answer) return tl::unexpected(std::move(answer.error()));
  lease = std::move(*answer);
  last_holder = options.identity;
  // An answer that comes after the deadline finds the lease lost, by our own clock.
  if (!expired()) {
    const base::Lock lock(mutex);
    state.renewed(read_record(lease), started);
  }
  return {};
}

void Election::Driver::lose() {
  log.error("lost the lease", {{"identity", options.identity}});
  std::function<void()> callback;
  {
    const base::Lock lock(mutex);
    if (std::exchange(over, true)) return;  // released meanwhile
    lost = true;
    callback = std::move(lost_callback);
  }
  if (callback) callback();
}

void Election::Driver::release() {
  const std::stop_token never;
  auto read = client.get(kube::leases, options.lease, never);
  if (!read) return;
  lease = std::move(*read);
  LeaseRecord record = read_record(lease);
  if (record.holder != options.identity) return;
  record.holder.clear();
  record.duration = std::chrono::seconds(1);
  record.renew_time = base::format_micro_time(executor.wall_now());
  write_record(record, lease);
  if (client.replace(kube::leases, options.lease, lease, never)) log.info("released the lease");
}

void Election::Driver::set_trouble(std::string text) {
  if (text == last_trouble) return;
  last_trouble = std::move(text);
  if (!last_trouble.empty()) {
    log.warning("cannot get or renew the lease", {{"error", last_trouble}});
  }
}

}  // namespace quay_rotator::runtime
