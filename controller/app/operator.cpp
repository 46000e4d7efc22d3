#include "app/operator.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/utsname.h>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "app/process.h"
#include "app/shutdown.h"
#include "base/executor.h"
#include "base/log_writer.h"
#include "http/beast/transport.h"
#include "http/cpprest_transport.h"
#include "http/probe_server.h"
#include "kube/api_server.h"
#include "kube/client.h"
#include "kube/cluster_identity.h"
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
#include "runtime/health.h"
#include "runtime/heartbeat.h"
#include "runtime/metrics.h"
#include "runtime/reflector.h"
#include "runtime/store.h"

namespace quay_rotator::app {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Minutes more than the longest look at a resource: a dozen calls to Quay, and rounds of writes.
constexpr base::Duration longest_requests = minutes(15);
constexpr int most_quay_calls = 12;
// Lets the log catch up before the process ends at once.
constexpr base::Duration last_words = std::chrono::milliseconds(200);

std::optional<std::string> environment(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

std::string user_agent() {
  utsname system{};
  uname(&system);
  return "quay-rotator/" + version() + " (linux/" + system.machine + ")";
}

std::string host_name() {
  std::array<char, 256> host{};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "unknown";
}

double unix_seconds(base::WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// Two, with nothing in common: what a tenant's Quay does to one cannot reach the API server's.
struct Transports {
  std::unique_ptr<http::TransportFactory> api_server;
  std::unique_ptr<http::TransportFactory> quay;
};

// Everything, as members in the order in which it is made; destroyed in reverse.
class Operator {
 public:
  Operator(const Options& options, Hooks hooks, kube::Configuration configuration,
           kube::ApiServer::Load load, Transports transports, base::Executor& executor,
           base::LogWriter& sink)
      : options_(options),
        hooks_(std::move(hooks)),
        transports_(std::move(transports)),
        executor_(executor),
        identity_(runtime::election_identity(environment("POD_NAME").value_or(""), host_name(),
                                             executor.random())),
        sink_(sink),
        log_(sink, options.log_level),
        api_server_(std::move(configuration), std::move(load), *transports_.api_server, executor,
                    log_) {}

  ~Operator() {
    leader_.reset();
    workforce_.request_stop();
    workforce_.join();
  }
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  // What may fail: transports and servers. An error is one line for the user.
  base::Expected<void> open() {
    for (auto* transport : {&requests_transport_, &watches_transport_, &lease_transport_}) {
      auto opened = api_server_.open();
      if (!opened) return tl::unexpected(base::Error{opened.error().message});
      *transport = std::move(*opened);
    }
    const auto observer = [this](std::string_view verb, std::string_view resource, int status) {
      metrics_.kube_request(verb, resource, status);
    };
    client_.emplace(*requests_transport_, api_server_, executor_, log_,
                    kube::ClientOptions{seconds(15), observer});
    watch_client_.emplace(*watches_transport_, api_server_, executor_, log_,
                          kube::ClientOptions{seconds(30), observer});
    lease_client_.emplace(*lease_transport_, api_server_, executor_, log_,
                          kube::ClientOptions{election_options().renew_deadline / 2, observer});
    assemble();

    http::ProbeHandlers probes;
    probes["/healthz"] = [this] { return answer(health_.liveness()); };
    probes["/readyz"] = [this] { return answer(health_.readiness()); };
    auto served =
        http::serve_probes(executor_, options_.health_probe_bind_address, std::move(probes));
    if (!served) return tl::unexpected(served.error());
    probe_server_ = std::move(*served);
    if (options_.metrics_bind_address == "0") return {};
    http::ProbeHandlers handlers;
    handlers["/metrics"] = [this] {
      return http::ProbeAnswer{200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text()};
    };
    served = http::serve_probes(executor_, options_.metrics_bind_address, std::move(handlers));
    if (!served) return tl::unexpected(served.error());
    metrics_server_ = std::move(*served);
    return {};
  }

  void start() {
    log_.info("starting", {{"version", version()},
                           {"api_server", api_server_.url()},
                           {"configuration", api_server_.source()},
                           {"probes_port", probe_server_->port()},
                           {"metrics_port", metrics_server_ ? metrics_server_->port() : 0}});
    start_reflectors();
    if (options_.leader_elect) {
      election_ =
          std::make_unique<runtime::Election>(election_options(), *lease_client_, executor_, log_);
      health_.add_liveness("lease", [this] { return election_->stuck(); });
      election_->on_lost([this] {
        log_.error("the lease is lost: another replica may lead; ending at once");
        sink_.flush(last_words);
        // Anything orderly would take time in which two replicas act.
        std::_Exit(1);
      });
    }
    leader_ =
        executor_.spawn("leader", [this](const std::stop_token& stopping) { lead(stopping); });
  }

  // What cuts off whatever is under way.
  [[nodiscard]] std::stop_source abandon() const { return abandon_; }

  void stop(const char* signal) {
    log_.info("stopping: finishing what is under way", {{"signal", signal}});
    leader_->request_stop();
    leader_->join();
    workforce_.request_stop();
    workforce_.join();
    // Only now: whoever leads next may assume that we do nothing any more.
    if (election_) election_->release();
    metrics_.leader(false);
    log_.info("stopped");
  }

 private:
  static http::ProbeAnswer answer(const runtime::Health::Report& report) {
    return {report.ok ? 200 : 503, "text/plain; charset=utf-8", report.text};
  }

  [[nodiscard]] runtime::ElectionOptions election_options() const {
    runtime::ElectionOptions election;
    election.lease = {options_.leader_election_namespace.empty()
                          ? api_server_.name_space()
                          : options_.leader_election_namespace,
                      options_.leader_election_id};
    election.identity = identity_;
    return election;
  }

  void assemble() {
    events_ = std::make_unique<kube::EventRecorder>(*client_, executor_, log_, identity_);
    sessions_ = std::make_unique<rotation::QuaySessions>(
        connections_, *client_, *transports_.quay, &environment, executor_, workforce_.lanes(),
        [this](std::string_view call, std::string_view outcome) {
          metrics_.quay_request(call, outcome);
        },
        options_.quay_timeout, options_.allowed_quay_hosts);
    status_ = std::make_unique<rotation::StatusWriter>(*client_, rotations_, connections_);
    publisher_ = std::make_unique<rotation::Publisher>(*client_, secrets_, executor_, log_);
    driver_ = std::make_unique<rotation::Driver>(
        *status_, *publisher_, executor_,
        rotation::DriverOptions{options_.quay_timeout, options_.regenerate_hold,
                                [this] { return !election_ || election_->leading(); },
                                hooks_.after_step});
    reconciler_ = std::make_unique<rotation::Reconciler>(rotation::ReconcilerParts{
        rotations_, connections_, secrets_, workforce_.rotations(), workforce_.lanes(), *sessions_,
        findings_, *driver_, *publisher_, *status_, *events_, metrics_, executor_, log_,
        options_.allowed_target_metadata, std::max<std::size_t>(1, options_.namespaces.size())});
    connection_reconciler_ =
        std::make_unique<rotation::ConnectionReconciler>(rotation::ConnectionReconcilerParts{
            connections_, rotations_, workforce_.connections(), workforce_.lanes(), *sessions_,
            *status_, findings_, metrics_, executor_, log_, options_.drift_interval,
            [this](const kube::ObjectKey& key, const auto& listed) {
              reconciler_->note_drift(key, listed);
            },
            [this](const api::RobotTokenRotation& rotation) {
              return reconciler_->looked_after(rotation);
            },
            [this](const kube::ObjectKey& key) { reconciler_->note_refusal(key); },
            [this](const kube::ObjectKey& key) { reconciler_->note_news(key); }});
    metrics_.set_connection_source([this] { return connection_samples(); });
    metrics_.set_rotation_source([this] { return samples(); },
                                 [this] { return unix_seconds(executor_.wall_now()); });
    metrics_.set_log_source([this] { return sink_.dropped(); });
    metrics_.set_lane_source([this] { return lane_samples(); });
    health_.add_liveness("ping", [] { return std::string(); });
    health_.add_liveness("workers", [this] { return heartbeats_.trouble(executor_.now()); });
    health_.add_liveness("reflectors", [this] { return stuck_reflector(); });
    health_.add_readiness("caches", [this] { return unsynced(); });
  }

  void start_reflectors() {
    const std::string ours =
        std::string(api::managed_by_label) + "=" + std::string(api::managed_by_value);
    std::vector<std::string> namespaces = options_.namespaces;
    if (namespaces.empty()) namespaces.emplace_back();  // all of them
    const std::lock_guard lock(reflectors_mutex_);
    for (const std::string& name : namespaces) {
      reflectors_.push_back(reflect(kube::connections, {name, "", nullptr}, connections_));
      const runtime::Reflector* connections = reflectors_.back().get();
      // What has a ledger must not wait until everything is listed.
      const auto hurries = [](const auto& rotation) {
        return rotation.status.rotation.has_value();
      };
      reflectors_.push_back(reflect<api::RobotTokenRotation>(kube::rotations, {name, "", nullptr},
                                                             rotations_, hurries));
      // Secrets are many, and their list would hold up the one that tells of ledgers.
      const runtime::Reflector* rotations = reflectors_.back().get();
      reflectors_.push_back(reflect(kube::secrets, {name, ours, rotations}, secrets_));
      caches_.push_back({name, connections, {rotations, reflectors_.back().get()}});
    }
  }

  template <class T>
  std::unique_ptr<runtime::Reflector> reflect(const kube::Resource& resource,
                                              runtime::ReflectorOptions options,
                                              runtime::Store<T>& store,
                                              std::function<bool(const T&)> hurries = {}) {
    return std::make_unique<runtime::Reflector>(
        resource, std::move(options), *watch_client_,
        std::make_unique<runtime::TypedStoreWriter<T>>(store, std::move(hurries)), executor_, log_);
  }

  // What the caches still wait for; empty when they are complete.
  [[nodiscard]] std::string unsynced() const {
    const std::lock_guard lock(reflectors_mutex_);
    if (caches_.empty()) return "not started";
    std::string all;
    for (const rotation::NamespaceCaches& each : caches_) {
      const std::string waits = each.waits_for();
      if (!waits.empty()) all += (all.empty() ? "" : "; ") + waits;
    }
    return all;
  }

  [[nodiscard]] std::string stuck_reflector() const {
    const std::lock_guard lock(reflectors_mutex_);
    for (const auto& reflector : reflectors_) {
      if (std::string trouble = reflector->stuck(); !trouble.empty()) return trouble;
    }
    return "";
  }

  void lead(const std::stop_token& stopping) {
    if (election_ && !election_->wait_until_leading(stopping)) return;
    metrics_.leader(true);
    if (!identify_cluster(stopping)) return;
    workforce_.serve_rotations([this] { return task(*reconciler_); });
    rotation::follow(
        caches_, *reconciler_, executor_, log_,
        [this] { workforce_.serve_connections([this] { return task(*connection_reconciler_); }); },
        stopping);
    if (stopping.stop_requested()) return;
    log_.info("caches are complete", {{"resources", static_cast<std::int64_t>(rotations_.size())},
                                      {"secrets", static_cast<std::int64_t>(secrets_.size())}});
    trim_heap();
  }

  // False when stopped. Nothing is done before: it may all belong to another cluster.
  bool identify_cluster(const std::stop_token& stopping) {
    const std::string name_space =
        options_.namespaces.empty() ? kube::system_namespace : election_options().lease.name_space;
    for (std::string last;;) {
      const auto identity = kube::cluster_identity(*client_, name_space, stopping);
      if (identity) {
        log_.info("cluster", {{"namespace", name_space}, {"uid", *identity}});
        reconciler_->look_after(*identity);
        return true;
      }
      std::string error = kube::explain(identity.error());
      if (error != last) {
        log_.error("cannot tell which cluster this is; nothing is rotated", {{"error", error}});
      }
      last = std::move(error);
      if (!executor_.sleep_for(seconds(1), stopping)) return false;
    }
  }

  template <class R>
  runtime::WorkerTask task(R& reconciler) {
    runtime::Heartbeat& heartbeat =
        heartbeats_.add("worker", longest_requests + most_quay_calls * options_.quay_timeout);
    return {[this, &reconciler, &heartbeat](const kube::ObjectKey& key) {
              const runtime::Heartbeat::Work work(heartbeat, executor_.now());
              reconciler.reconcile(key, abandon_.get_token());
            },
            [&reconciler](const kube::ObjectKey& key, const std::string& exception) {
              reconciler.failed(key, exception);
            }};
  }

  [[nodiscard]] std::vector<runtime::Metrics::RotationSample> samples() const {
    const auto seconds_of = [](const std::optional<base::WallTime>& time) {
      return time ? unix_seconds(*time) : 0;
    };
    std::vector<runtime::Metrics::RotationSample> samples;
    samples.reserve(rotations_.size());
    rotations_.each([&](const api::RobotTokenRotation& rotation) {
      const auto& status = rotation.status;
      samples.push_back({rotation.meta.key, seconds_of(status.token_known_since),
                         seconds_of(status.next_rotation_time), status.conditions.is_true("Ready"),
                         status.conditions.is_true("Published"), status.unreadable.has_value()});
    });
    return samples;
  }

  [[nodiscard]] std::vector<runtime::Metrics::LaneSample> lane_samples() {
    using Health = runtime::Lane::Health;
    std::vector<runtime::Metrics::LaneSample> samples;
    for (const auto& [health, load] : workforce_.rotations().lane_loads()) {
      const char* name = health == Health::answering  ? "answering"
                         : health == Health::unproven ? "unproven"
                                                      : "failing";
      samples.push_back({name, load.lanes, load.waiting, load.oldest});
    }
    return samples;
  }

  [[nodiscard]] std::vector<runtime::Metrics::ConnectionSample> connection_samples() const {
    std::vector<runtime::Metrics::ConnectionSample> samples;
    connections_.each([&](const api::QuayConnection& connection) {
      samples.push_back({connection.meta.key, connection.status.conditions.is_true("Ready")});
    });
    return samples;
  }

  const Options& options_;
  Hooks hooks_;
  Transports transports_;
  base::Executor& executor_;
  const std::string identity_;
  base::LogWriter& sink_;
  base::Log log_;
  kube::ApiServer api_server_;
  runtime::Metrics metrics_{version()};
  runtime::Health health_;
  runtime::Heartbeats heartbeats_;  // of the workers
  std::stop_source abandon_;

  // One stuck pool of connections must not cost the lease, nor hold up requests.
  std::unique_ptr<http::Transport> requests_transport_;
  std::unique_ptr<http::Transport> watches_transport_;
  std::unique_ptr<http::Transport> lease_transport_;
  std::optional<kube::Client> client_;
  std::optional<kube::Client> watch_client_;
  std::optional<kube::Client> lease_client_;

  runtime::Store<api::RobotTokenRotation> rotations_;
  runtime::Store<api::QuayConnection> connections_;
  runtime::Store<api::ManagedSecret> secrets_;
  rotation::Findings findings_;
  rotation::Workforce workforce_{executor_, options_.workers, metrics_};
  std::unique_ptr<kube::EventRecorder> events_;
  std::unique_ptr<rotation::QuaySessions> sessions_;
  std::unique_ptr<rotation::StatusWriter> status_;
  std::unique_ptr<rotation::Publisher> publisher_;
  std::unique_ptr<rotation::Driver> driver_;
  std::unique_ptr<rotation::Reconciler> reconciler_;
  std::unique_ptr<rotation::ConnectionReconciler> connection_reconciler_;

  std::unique_ptr<runtime::Election> election_;
  mutable std::mutex reflectors_mutex_;
  std::vector<std::unique_ptr<runtime::Reflector>> reflectors_;
  std::vector<rotation::NamespaceCaches> caches_;
  std::unique_ptr<http::ProbeServer> probe_server_;
  std::unique_ptr<http::ProbeServer> metrics_server_;
  std::unique_ptr<base::Thread> leader_;
};

int fail(const std::string& message) {
  std::cerr << "quay-rotator: " + message + "\n";
  return 1;
}

}  // namespace

int run_operator(const Options& options, const Hooks& hooks) {
  const std::unique_ptr<base::Executor> executor = base::make_system_executor();
  kube::ConfigurationOptions where;
  where.kubeconfig = options.kubeconfig;
  where.environment = &environment;
  auto configuration = kube::load_configuration(where, *executor);
  if (!configuration) return fail(configuration.error().message);
  // kubectl config use-context moves no program that runs to another cluster.
  if (!configuration->context.empty()) where.context = configuration->context;

  const std::unique_ptr<base::LogWriter> sink =
      base::make_log_writer(options.log_level, options.log_format, *executor);
  const base::Log log(*sink, options.log_level);
  std::optional<Operator> instance(
      std::in_place, options, hooks, std::move(*configuration),
      [&] { return kube::load_configuration(where, *executor); },
      Transports{http::make_beast_transport_factory(user_agent()),
                 http::make_cpprest_transport_factory(user_agent())},
      *executor, *sink);
  if (const auto opened = instance->open(); !opened) return fail(opened.error().message);
  instance->start();
  const char* signal = wait_for_termination();
  const Shutdown guard(
      *executor, {},
      [&log, abandon = instance->abandon()]() mutable {
        log.warning("what is under way takes too long and is cut off");
        abandon.request_stop();
      },
      [&log, &sink] {
        log.error("cannot stop in time: ending at once");
        sink->flush(last_words);
        std::_Exit(1);
      });
  instance->stop(signal);
  instance.reset();
  return 0;
}

int run(int argc, const char* const* argv, const Hooks& hooks) {
  harden_process();  // first: threads inherit the blocked signals
  keep_heap_small();
  http::initialize_cpprest();
  const auto parsed = parse_options(argc, argv, hooks.least_quay_timeout);
  if (const auto* exit = std::get_if<Exit>(&parsed)) {
    (exit->code == 0 ? std::cout : std::cerr) << exit->text << std::flush;
    return exit->code;
  }
  return run_operator(std::get<Options>(parsed), hooks);
}

}  // namespace quay_rotator::app
