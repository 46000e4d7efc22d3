#include "app/operator.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unistd.h>
#include <utility>

#include <sys/utsname.h>

#include "app/controllers.h"
#include "app/process.h"
#include "app/shutdown.h"
#include "base/executor.h"
#include "base/log_writer.h"
#include "http/beast/transport.h"
#include "http/cpprest_transport.h"
#include "http/probe_server.h"
#include "kube/api_server.h"
#include "kube/cluster_identity.h"
#include "kube/configuration.h"
#include "runtime/health.h"

namespace quay_rotator::app {

namespace {

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
        sink_(sink),
        log_(sink, options.log_level),
        api_server_(std::move(configuration), std::move(load), *transports_.api_server, executor,
                    log_) {}

  // What may fail: transports and servers. An error is one line for the user.
  base::Expected<void> open() {
    for (auto* transport : {&requests_transport_, &watches_transport_, &lease_transport_}) {
      auto opened = api_server_.open();
      if (!opened) return tl::unexpected(base::Error{opened.error().message});
      *transport = std::move(*opened);
    }
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
      return http::ProbeAnswer{200, "text/plain; version=0.0.4; charset=utf-8",
                               controllers_->metrics().text()};
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
    controllers_->start();
  }

  // What cuts off whatever is under way.
  [[nodiscard]] std::stop_source abandon() const { return controllers_->abandon(); }

  void stop(const char* signal) {
    log_.info("stopping: finishing what is under way", {{"signal", signal}});
    controllers_->stop();
    log_.info("stopped");
  }

 private:
  static http::ProbeAnswer answer(const runtime::Health::Report& report) {
    return {report.ok ? 200 : 503, "text/plain; charset=utf-8", report.text};
  }

  [[nodiscard]] ControllersOptions controllers_options() const {
    ControllersOptions options = options_;
    options.version = version();
    options.election.lease = {options_.leader_election_namespace.empty()
                                  ? api_server_.name_space()
                                  : options_.leader_election_namespace,
                              options_.leader_election_id};
    options.election.identity = runtime::election_identity(environment("POD_NAME").value_or(""),
                                                           host_name(), executor_.random());
    return options;
  }

  void assemble() {
    ControllersOptions options = controllers_options();
    const std::string name_space =
        options.namespaces.empty() ? kube::system_namespace : options.election.lease.name_space;
    controllers_.emplace(
        std::move(options),
        Surroundings{executor_, log_, *requests_transport_, *watches_transport_, *lease_transport_,
                     api_server_, *transports_.quay, &environment,
                     [name_space](kube::Client& client, const std::stop_token& stop) {
                       return kube::cluster_identity(client, name_space, stop);
                     },
                     [this] { lease_lost(); }, hooks_.after_step,
                     /*after_look=*/{}, [] { trim_heap(); }});
    controllers_->metrics().set_log_source([this] { return sink_.dropped(); });
    health_.add_liveness("ping", [] { return std::string(); });
    health_.add_liveness("workers", [this] { return controllers_->stuck_worker(); });
    health_.add_liveness("reflectors", [this] { return controllers_->stuck_reflector(); });
    if (options_.leader_elect) {
      health_.add_liveness("lease", [this] { return controllers_->stuck_election(); });
    }
    health_.add_readiness("caches", [this] { return controllers_->unsynced(); });
  }

  [[noreturn]] void lease_lost() {
    log_.error("the lease is lost: another replica may lead; ending at once");
    sink_.flush(last_words);
    // Anything orderly would take time in which two replicas act.
    std::_Exit(1);
  }

  const Options& options_;
  Hooks hooks_;
  Transports transports_;
  base::Executor& executor_;
  base::LogWriter& sink_;
  base::Log log_;
  kube::ApiServer api_server_;
  runtime::Health health_;

  std::unique_ptr<http::Transport> requests_transport_;
  std::unique_ptr<http::Transport> watches_transport_;
  std::unique_ptr<http::Transport> lease_transport_;
  std::optional<Controllers> controllers_;
  std::unique_ptr<http::ProbeServer> probe_server_;
  std::unique_ptr<http::ProbeServer> metrics_server_;
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
