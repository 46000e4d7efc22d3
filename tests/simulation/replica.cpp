#include "simulation/replica.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "kube/client.h"
#include "kube/configuration.h"
#include "kube/event_recorder.h"
#include "rotation/caches.h"
#include "rotation/connection_reconciler.h"
#include "rotation/driver.h"
#include "rotation/publisher.h"
#include "rotation/quay_session.h"
#include "rotation/reconciler.h"
#include "rotation/status_writer.h"
#include "rotation/workforce.h"
#include "runtime/election.h"
#include "runtime/metrics.h"
#include "runtime/reflector.h"
#include "runtime/store.h"

namespace quay_rotator::simulation {

namespace {

using std::chrono::seconds;

class NoCredentials final : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

runtime::ElectionOptions election_options(const ReplicaOptions& options) {
  runtime::ElectionOptions election;
  election.lease = {"quay-rotator", "quay-rotator"};
  election.identity = options.name;
  election.lease_duration *= options.election_scale;
  election.renew_deadline *= options.election_scale;
  // Twice as rare as that: still two attempts before the deadline, and half of the requests.
  election.retry_period *= options.election_scale > 1 ? 2 * options.election_scale : 1;
  return election;
}

}  // namespace

// Everything, in the order in which it is made.
struct Replica::Parts {
  Parts(ReplicaOptions options_given, Process& process_given, SimulatedApiServer& api,
        const Quays& all_quays, Replica::DiesAfter dies_after_given)
      : options(std::move(options_given)),
        process(process_given),
        log(base::Log(process.steps, base::LogLevel::debug).with({{"replica", options.name}})),
        dies_after(std::move(dies_after_given)),
        requests(process, api),
        watches(process, api),
        renewals(process, api),
        quays(process, all_quays) {
    reconciler.emplace(
        rotation::ReconcilerParts{rotations,
                                  connections,
                                  secrets,
                                  workforce.rotations(),
                                  workforce.lanes(),
                                  sessions,
                                  findings,
                                  driver,
                                  publisher,
                                  status,
                                  events,
                                  metrics,
                                  process,
                                  log,
                                  {},
                                  std::max<std::size_t>(1, options.namespaces.size())});
    connection_reconciler.emplace(rotation::ConnectionReconcilerParts{
        connections, rotations, workforce.connections(), workforce.lanes(), sessions, status,
        findings, metrics, process, log, options.drift_interval,
        [this](const kube::ObjectKey& key, const auto& listed) {
          reconciler->note_drift(key, listed);
        },
        [this](const api::RobotTokenRotation& rotation) {
          return reconciler->looked_after(rotation);
        },
        [this](const kube::ObjectKey& key) { reconciler->note_refusal(key); },
        [this](const kube::ObjectKey& key) { reconciler->note_news(key); }});
  }

  ~Parts() {
    leader.reset();
    workforce.request_stop();
    workforce.join();
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  void start() {
    const std::string ours =
        std::string(api::managed_by_label) + "=" + std::string(api::managed_by_value);
    std::vector<std::string> namespaces = options.namespaces;
    if (namespaces.empty()) namespaces.emplace_back();
    for (const std::string& name : namespaces) {
      reflect(kube::connections, {name, "", nullptr}, connections);
      const runtime::Reflector* first = reflectors.back().get();
      reflect<api::RobotTokenRotation>(
          kube::rotations, {name, "", nullptr}, rotations,
          [](const auto& rotation) { return rotation.status.rotation.has_value(); });
      const runtime::Reflector* second = reflectors.back().get();
      reflect(kube::secrets, {name, ours, second}, secrets);
      caches.push_back({name, first, {second, reflectors.back().get()}});
    }
    if (options.leader_elect) {
      election = std::make_unique<runtime::Election>(election_options(options), renewal_client,
                                                     process, log);
      election->on_lost([this] { die(); });
    }
    leader = process.spawn("leader", [this](const std::stop_token& stop) { lead(stop); });
  }

  template <class T>
  void reflect(const kube::Resource& resource, runtime::ReflectorOptions where,
               runtime::Store<T>& store, std::function<bool(const T&)> hurries = {}) {
    reflectors.push_back(std::make_unique<runtime::Reflector>(
        resource, std::move(where), watch_client,
        std::make_unique<runtime::TypedStoreWriter<T>>(store, std::move(hurries)), process, log));
  }

  void lead(const std::stop_token& stop) {
    if (election && !election->wait_until_leading(stop)) return;
    reconciler->look_after(options.cluster);
    workforce.serve_rotations([this] { return task(*reconciler); });
    rotation::follow(
        caches, *reconciler, process, log,
        [this] {
          serving_since = process.now();
          workforce.serve_connections([this] { return task(*connection_reconciler); });
        },
        stop);
  }

  template <class R>
  runtime::WorkerTask task(R& worker) {
    return {[this, &worker](const kube::ObjectKey& key) {
              worker.reconcile(key, abandon.get_token());
              process.steps.leave(key.text());
            },
            [this, &worker](const kube::ObjectKey& key, const std::string& exception) {
              process.steps.leave(key.text());
              worker.failed(key, exception);
            }};
  }

  [[noreturn]] void die() {
    process.kill();
    throw Killed{};
  }

  const ReplicaOptions options;
  Process& process;
  base::Log log;
  Replica::DiesAfter dies_after;
  runtime::Metrics metrics{"0.0.0"};
  std::stop_source abandon;

  Connection requests;
  Connection watches;
  Connection renewals;
  QuayConnections quays;
  NoCredentials credentials;
  kube::RequestObserver observer = [this](std::string_view verb, std::string_view resource,
                                          int code) { metrics.kube_request(verb, resource, code); };
  kube::Client client{requests, credentials, process, log, {seconds(15), observer}};
  kube::Client watch_client{watches, credentials, process, log, {seconds(30), observer}};
  kube::Client renewal_client{
      renewals, credentials, process, log, {seconds(5) * options.election_scale, observer}};

  runtime::Store<api::RobotTokenRotation> rotations;
  runtime::Store<api::QuayConnection> connections;
  runtime::Store<api::ManagedSecret> secrets;
  rotation::Workforce workforce{process, options.workers, metrics};
  kube::EventRecorder events{client, process, log, options.name};
  rotation::QuaySessions sessions{connections,
                                  client,
                                  quays,
                                  [](std::string_view) { return std::nullopt; },
                                  process,
                                  workforce.lanes(),
                                  [this](std::string_view call, std::string_view outcome) {
                                    metrics.quay_request(call, outcome);
                                  },
                                  options.quay_timeout,
                                  options.allowed_hosts};
  rotation::Findings findings;
  rotation::StatusWriter status{client, rotations, connections};
  rotation::Publisher publisher{client, secrets, process, log};
  rotation::Driver driver{
      status,
      publisher,
      process,
      {options.quay_timeout, options.regenerate_hold,
       [this] { return !election || election->leading(); },
       [this](std::string_view step) {
         if (dies_after && dies_after(step)) die();
         process.thaw();  // frozen here too, not only where something is waited for
       }}};
  std::optional<rotation::Reconciler> reconciler;
  std::optional<rotation::ConnectionReconciler> connection_reconciler;

  std::optional<base::MonotonicTime> serving_since;
  std::unique_ptr<runtime::Election> election;
  std::vector<std::unique_ptr<runtime::Reflector>> reflectors;
  std::vector<rotation::NamespaceCaches> caches;
  std::unique_ptr<base::Thread> leader;
};

Replica::Replica(ReplicaOptions options, Process& process, SimulatedApiServer& api,
                 const Quays& quays, DiesAfter dies_after)
    : process_(process),
      parts_(std::make_unique<Parts>(std::move(options), process_, api, quays,
                                     std::move(dies_after))) {
  parts_->start();
}

Replica::~Replica() {
  kill();
}

void Replica::kill() {
  process_.kill();
}

void Replica::stop() {
  parts_->leader->request_stop();
  parts_->leader->join();
  parts_->workforce.request_stop();
  parts_->workforce.join();
  if (parts_->election && !dead()) parts_->election->release();
  kill();
}

bool Replica::dead() const {
  return process_.dead();
}

bool Replica::leading() const {
  return !dead() && (!parts_->election || parts_->election->leading());
}

std::optional<base::MonotonicTime> Replica::serving_since() const {
  return leading() ? parts_->serving_since : std::nullopt;
}

std::string Replica::metrics() const {
  return parts_->metrics.text();
}

}  // namespace quay_rotator::simulation
