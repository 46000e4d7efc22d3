#include "app/controllers.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/mutex.h"
#include "connection/reconciler.h"
#include "connection/service_account.h"
#include "connection/session.h"
#include "kube/event_recorder.h"
#include "rotation/follow.h"
#include "rotation/reconciler.h"
#include "rotation/run.h"
#include "rotation/wake.h"
#include "rotation/workforce.h"
#include "runtime/heartbeat.h"
#include "runtime/reflector.h"
#include "runtime/status_writer.h"
#include "runtime/store.h"
#include "target/prune.h"
#include "target/writer.h"

namespace quay_rotator::app {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Minutes more than the longest look at a resource: a dozen calls to Quay, and rounds of writes.
constexpr base::Duration longest_requests = minutes(15);
constexpr int most_quay_calls = 12;

double unix_seconds(base::WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

// Everything, as members in the order in which it is made; destroyed in reverse.
struct Controllers::Parts {
  Parts(ControllersOptions options_given, Surroundings surroundings)
      : options(std::move(options_given)), with(std::move(surroundings)) {
    metrics.set_connection_source([this] { return connection_samples(); });
    metrics.set_rotation_source([this] { return rotation_samples(); },
                                [this] { return unix_seconds(with.executor.wall_now()); });
    metrics.set_lane_source([this] { return lane_samples(); });
  }

  ~Parts() {
    leader.reset();
    workforce.request_stop();
    workforce.join();
    // Whoever calls note_lost_history() ends before what that calls, and a reflector before the one
    // that it waits for.
    election.reset();
    std::vector<std::unique_ptr<runtime::Reflector>> ending;
    {
      const base::Lock lock(reflectors_mutex);
      ending.swap(reflectors);
    }
    while (!ending.empty()) ending.pop_back();
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  void start() {
    start_reflectors();
    if (options.leader_elect) {
      runtime::ElectionOptions how = options.election;
      how.on_lost_history = [this] { note_lost_history(); };
      election = std::make_unique<runtime::Election>(std::move(how), renewal_client, with.executor,
                                                     with.log);
      election->on_lost(with.lease_lost);
    }
    leader =
        with.executor.spawn("leader", [this](const std::stop_token& stopping) { lead(stopping); });
  }

  void stop() {
    leader->request_stop();
    leader->join();
    workforce.request_stop();
    workforce.join();
    if (election) election->release();
    metrics.leader(false);
  }

  void start_reflectors() {
    const std::string ours =
        std::string(api::managed_by_label) + "=" + std::string(api::managed_by_value);
    std::vector<std::string> names = options.namespaces;
    if (names.empty()) names.emplace_back();  // all of them
    const base::Lock lock(reflectors_mutex);
    for (const std::string& name : names) {
      const runtime::Reflector* first =
          reflect(api::connections, {name, "", nullptr, {}}, connections);
      // What has a ledger must not wait until everything is listed.
      const auto hurries = [](const auto& rotation) {
        return rotation.status.rotation.has_value();
      };
      const runtime::Reflector* second = reflect<api::RobotTokenRotation>(
          api::rotations, {name, "", nullptr, {}}, rotations, hurries);
      // Secrets are many, and their list would hold up the one that tells of ledgers.
      const runtime::Reflector* third = reflect(kube::secrets, {name, ours, second, {}}, secrets);
      namespaces.push_back({name, first, {second, third}});
    }
  }

  template <class T>
  const runtime::Reflector* reflect(const kube::Resource& resource, runtime::ReflectorOptions where,
                                    runtime::Store<T>& store,
                                    std::function<bool(const T&)> hurries = {}) {
    where.on_lost_history = [this] { note_lost_history(); };
    reflectors.push_back(std::make_unique<runtime::Reflector>(
        resource, std::move(where), watch_client,
        std::make_unique<runtime::TypedStoreWriter<T>>(store, std::move(hurries)), with.executor,
        with.log));
    return reflectors.back().get();
  }

  // To all of them: what one object proves is true of the whole storage.
  void note_lost_history() {
    const base::Lock lock(reflectors_mutex);
    for (const auto& reflector : reflectors) reflector->on_lost_history();
  }

  void lead(const std::stop_token& stopping) {
    if (election && !election->wait_until_leading(stopping)) return;
    metrics.leader(true);
    if (!identify_cluster(stopping)) return;
    workforce.serve_rotations([this] { return task(reconciler); });
    rotation::follow(
        namespaces, wake, with.executor, with.log,
        [this] {
          serving_since = with.executor.now();
          workforce.serve_connections([this] { return task(connection_reconciler); });
        },
        stopping);
    if (stopping.stop_requested()) return;
    with.log.info("caches are complete",
                  {{"resources", static_cast<std::int64_t>(rotations.size())},
                   {"secrets", static_cast<std::int64_t>(secrets.size())}});
    if (with.complete) with.complete();
  }

  // False when stopped. Nothing is done before: it may all belong to another cluster.
  bool identify_cluster(const std::stop_token& stopping) {
    for (std::string last;;) {
      const auto identity = with.identify(client, stopping);
      if (identity) {
        with.log.info("cluster", {{"uid", *identity}});
        wake.identify(*identity);
        return true;
      }
      std::string error = kube::explain(identity.error());
      if (error != last) {
        with.log.error("cannot tell which cluster this is; nothing is rotated", {{"error", error}});
      }
      last = std::move(error);
      if (!with.executor.sleep_for(seconds(1), stopping)) return false;
    }
  }

  template <class R>
  runtime::WorkerTask task(R& worker) {
    runtime::Heartbeat& heartbeat =
        heartbeats.add("worker", longest_requests + most_quay_calls * options.quay_timeout);
    return {[this, &worker, &heartbeat](const kube::ObjectKey& key) {
              const runtime::Heartbeat::Work work(heartbeat, with.executor.now());
              const runtime::Next next = worker.reconcile(key, abandon.get_token());
              if (with.after_look) with.after_look(key);
              return next;
            },
            [this, &worker](const kube::ObjectKey& key, const std::string& exception) {
              if (with.after_look) with.after_look(key);
              return worker.failed(key, exception);
            }};
  }

  [[nodiscard]] std::vector<runtime::Metrics::RotationSample> rotation_samples() const {
    const auto seconds_of = [](const std::optional<base::WallTime>& time) {
      return time ? unix_seconds(*time) : 0;
    };
    std::vector<runtime::Metrics::RotationSample> samples;
    samples.reserve(rotations.size());
    rotations.each([&](const api::RobotTokenRotation& rotation) {
      const auto& told = rotation.status;
      samples.push_back({rotation.meta.key, seconds_of(told.known_since()),
                         told.next ? unix_seconds(told.next->time) : 0,
                         told.conditions.is_true("Ready"), told.conditions.is_true("Published"),
                         told.unreadable.has_value()});
    });
    return samples;
  }

  [[nodiscard]] std::vector<runtime::Metrics::LaneSample> lane_samples() {
    using Health = runtime::Lane::Health;
    std::vector<runtime::Metrics::LaneSample> samples;
    for (const auto& [health, load] : workforce.rotations().lane_loads()) {
      const char* name = health == Health::answering  ? "answering"
                         : health == Health::unproven ? "unproven"
                                                      : "failing";
      samples.push_back({name, load.lanes, load.waiting, load.oldest});
    }
    return samples;
  }

  [[nodiscard]] std::vector<runtime::Metrics::ConnectionSample> connection_samples() const {
    std::vector<runtime::Metrics::ConnectionSample> samples;
    connections.each([&](const api::QuayConnection& connection) {
      samples.push_back({connection.meta.key, connection.status.conditions.is_true("Ready")});
    });
    return samples;
  }

  const ControllersOptions options;
  const Surroundings with;
  runtime::Metrics metrics{options.version};
  runtime::Heartbeats heartbeats;  // of the workers
  std::stop_source abandon;

  kube::RequestObserver observer = [this](std::string_view verb, std::string_view resource,
                                          int code) { metrics.kube_request(verb, resource, code); };
  kube::Client client{
      with.requests, with.credentials, with.executor, with.log, {seconds(15), observer}};
  kube::Client watch_client{
      with.watches, with.credentials, with.executor, with.log, {seconds(30), observer}};
  kube::Client renewal_client{with.renewals,
                              with.credentials,
                              with.executor,
                              with.log,
                              {options.election.renew_deadline / 2, observer}};

  runtime::Store<api::RobotTokenRotation> rotations;
  runtime::Store<api::QuayConnection> connections;
  runtime::Store<api::ManagedSecret> secrets;
  rotation::Workforce workforce{with.executor, options.workers, metrics};
  kube::EventRecorder events{client, with.executor, with.log, options.election.identity};
  connection::Sessions sessions{connections,
                                client,
                                with.quay,
                                with.environment,
                                with.executor,
                                workforce.lanes(),
                                [this](std::string_view call, std::string_view outcome) {
                                  metrics.quay_request(call, outcome);
                                },
                                options.quay_timeout,
                                options.allowed_quay_hosts};
  connection::Findings findings;
  connection::Newcomers newcomers{with.executor, [this](const kube::ObjectKey& key) {
                                    workforce.rotations().add(key, runtime::Urgency::normal);
                                  }};
  runtime::StatusWriter<api::RobotTokenRotation> status{client, api::rotations, rotations,
                                                        [this] { note_lost_history(); }};
  runtime::StatusWriter<api::QuayConnection> connection_status{
      client, api::connections, connections, [this] { note_lost_history(); }};
  target::Writer writer{client, secrets, with.executor, with.log};
  target::Pruner pruner{client, secrets, with.log};
  connection::ServiceAccountTokens identities{client, options.allowed_token_audiences};
  rotation::Runner runner{
      status,
      writer,
      with.executor,
      {options.quay_timeout, options.regenerate_hold,
       [this] { return !election || election->leading(); }, with.after_step,
       [this](const auto& rotation, const std::string& quay, const std::stop_token& stop) {
         return identities.token(rotation, quay, stop);
       }}};
  const rotation::Caches caches{rotations, connections, secrets, findings,
                                options.allowed_target_metadata};
  rotation::Knowledge knowledge{std::max<std::size_t>(1, options.namespaces.size())};
  rotation::Teller teller{status, events, knowledge.memories, with.executor, with.log};
  rotation::Performer performer{{caches, knowledge, workforce.rotations(), sessions, newcomers,
                                 runner, status, teller, metrics, with.executor, with.log}};
  rotation::Reconciler reconciler{{caches, knowledge, performer, teller, pruner, metrics,
                                   with.executor, with.log, with.after_step}};
  rotation::Wake wake{{rotations, connections, secrets, caches, knowledge, newcomers,
                       workforce.rotations(), workforce.lanes(), metrics, with.executor}};
  connection::Reconciler connection_reconciler{
      {connections, rotations, workforce.connections(), workforce.lanes(), sessions,
       connection_status, findings, newcomers, metrics, with.executor, with.log,
       options.drift_interval,
       [this](const kube::ObjectKey& key, const auto& listed) { wake.note_drift(key, listed); },
       [this](const api::RobotTokenRotation& rotation) {
         return knowledge.sight.looked_after(rotation);
       },
       [this](const kube::ObjectKey& key) { wake.note_refusal(key); },
       [this](const kube::ObjectKey& key) { wake.note_news(key); }}};

  std::unique_ptr<runtime::Election> election;
  mutable base::Mutex reflectors_mutex;  // guards the two that follow while they are made
  std::vector<std::unique_ptr<runtime::Reflector>> reflectors;
  std::vector<rotation::NamespaceCaches> namespaces;
  std::atomic<base::MonotonicTime> serving_since = base::MonotonicTime::max();  // not yet
  std::unique_ptr<base::Thread> leader;
};

Controllers::Controllers(ControllersOptions options, Surroundings surroundings)
    : parts_(std::make_unique<Parts>(std::move(options), std::move(surroundings))) {}

Controllers::~Controllers() = default;

void Controllers::start() {
  parts_->start();
}

void Controllers::stop() {
  parts_->stop();
}

std::stop_source Controllers::abandon() const {
  return parts_->abandon;
}

runtime::Metrics& Controllers::metrics() {
  return parts_->metrics;
}

bool Controllers::leading() const {
  return !parts_->election || parts_->election->leading();
}

std::optional<base::MonotonicTime> Controllers::serving_since() const {
  const base::MonotonicTime since = parts_->serving_since;
  if (!leading() || since == base::MonotonicTime::max()) return std::nullopt;
  return since;
}

std::string Controllers::unsynced() const {
  const base::Lock lock(parts_->reflectors_mutex);
  if (parts_->namespaces.empty()) return "not started";
  std::string all;
  for (const rotation::NamespaceCaches& each : parts_->namespaces) {
    const std::string waits = each.waits_for();
    if (!waits.empty()) all += (all.empty() ? "" : "; ") + waits;
  }
  return all;
}

std::string Controllers::stuck_worker() const {
  return parts_->heartbeats.trouble(parts_->with.executor.now());
}

std::string Controllers::stuck_reflector() const {
  const base::Lock lock(parts_->reflectors_mutex);
  for (const auto& reflector : parts_->reflectors) {
    if (std::string trouble = reflector->stuck(); !trouble.empty()) return trouble;
  }
  return "";
}

std::string Controllers::stuck_election() const {
  return parts_->election ? parts_->election->stuck() : "";
}

}  // namespace quay_rotator::app
