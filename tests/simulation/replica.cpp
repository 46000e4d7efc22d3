#include "simulation/replica.h"

#include <utility>

#include "app/controllers.h"
#include "kube/client.h"
#include "kube/configuration.h"

namespace quay_rotator::simulation {

namespace {

class NoCredentials final : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

app::ControllersOptions controllers_options(const ReplicaOptions& options) {
  app::ControllersOptions result;
  result.version = "0.0.0";
  result.leader_elect = options.leader_elect;
  result.election.lease = {"quay-rotator", "quay-rotator"};
  result.election.identity = options.name;
  result.election.lease_duration *= options.election_scale;
  result.election.renew_deadline *= options.election_scale;
  // Twice as rare as that: still two attempts before the deadline, and half of the requests.
  result.election.retry_period *= options.election_scale > 1 ? 2 * options.election_scale : 1;
  result.workers = options.workers;
  result.namespaces = options.namespaces;
  result.drift_interval = options.drift_interval;
  result.quay_timeout = options.quay_timeout;
  result.regenerate_hold = options.regenerate_hold;
  result.allowed_quay_hosts = options.allowed_hosts;
  return result;
}

}  // namespace

struct Replica::Parts {
  Parts(ReplicaOptions options_given, Process& process_given, SimulatedApiServer& api,
        const Quays& all_quays, Replica::DiesAfter dies_after_given)
      : options(std::move(options_given)),
        process(process_given),
        dies_after(std::move(dies_after_given)),
        requests(process, api),
        watches(process, api),
        renewals(process, api),
        quays(process, all_quays),
        controllers(controllers_options(options), surroundings()) {}

  app::Surroundings surroundings() {
    return {process,
            base::Log(process.steps, base::LogLevel::debug).with({{"replica", options.name}}),
            requests,
            watches,
            renewals,
            credentials,
            quays,
            [](std::string_view) { return std::nullopt; },
            [this](kube::Client&, const std::stop_token&) { return options.cluster; },
            [this] { die(); },
            [this](std::string_view step) {
              if (dies_after && dies_after(step)) die();
              process.thaw();  // frozen here too, not only where something is waited for
            },
            [this](const kube::ObjectKey& key) { process.steps.leave(key.text()); },
            {}};
  }

  [[noreturn]] void die() {
    process.kill();
    throw Killed{};
  }

  const ReplicaOptions options;
  Process& process;
  Replica::DiesAfter dies_after;
  Connection requests;
  Connection watches;
  Connection renewals;
  QuayConnections quays;
  NoCredentials credentials;
  app::Controllers controllers;
};

Replica::Replica(ReplicaOptions options, Process& process, SimulatedApiServer& api,
                 const Quays& quays, DiesAfter dies_after)
    : process_(process),
      parts_(std::make_unique<Parts>(std::move(options), process_, api, quays,
                                     std::move(dies_after))) {
  parts_->controllers.start();
}

Replica::~Replica() {
  kill();
}

void Replica::kill() {
  process_.kill();
}

void Replica::stop() {
  try {
    parts_->controllers.stop();
  } catch (const Killed&) {  // it died before it had stopped
  }
  kill();
}

bool Replica::dead() const {
  return process_.dead();
}

bool Replica::leading() const {
  return !dead() && parts_->controllers.leading();
}

std::optional<base::MonotonicTime> Replica::serving_since() const {
  return leading() ? parts_->controllers.serving_since() : std::nullopt;
}

std::string Replica::metrics() const {
  return parts_->controllers.metrics().text();
}

}  // namespace quay_rotator::simulation
