// One replica of the operator: the shipped controllers (app/controllers.h) in a simulated process.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/allowed_hosts.h"
#include "simulation/process.h"
#include "simulation/simulated_api_server.h"
#include "simulation/simulated_quay.h"

namespace quay_rotator::simulation {

struct ReplicaOptions {
  std::string name = {};  // the pod's
  bool leader_elect = true;
  // Stretches the election's times: hours of virtual time need fewer renewals.
  int election_scale = 1;
  int workers = 6;
  std::vector<std::string> namespaces = {};  // empty: all
  base::Duration drift_interval = std::chrono::minutes(10);
  base::Duration quay_timeout = std::chrono::seconds(30);
  base::Duration regenerate_hold = std::chrono::minutes(2);  // as SimulatedQuay::hold
  http::AllowedHosts allowed_hosts = {};
  std::string cluster = "this-cluster";  // what identifies it
};

// Made and destroyed by the world's main thread of control; all that it is given outlives it.
class Replica {
 public:
  // Asked after each protocol step (see rotation::StepHook): does it die there? May be empty.
  using DiesAfter = std::function<bool(std::string_view step)>;

  // Runs on `process`, which nothing else ran on before.
  Replica(ReplicaOptions options, Process& process, SimulatedApiServer& api, const Quays& quays,
          DiesAfter dies_after);
  ~Replica();  // as a crash
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // A crash: nothing of it acts on the world any more.
  void kill();
  // SIGTERM: finishes what is under way and releases the lease.
  void stop();
  [[nodiscard]] Process& process() const { return process_; }
  // It was killed, or has lost its lease.
  [[nodiscard]] bool dead() const;
  [[nodiscard]] bool leading() const;
  // Since when it leads with all that it needs to know; nothing: it does not.
  [[nodiscard]] std::optional<base::MonotonicTime> serving_since() const;
  // What a scrape would get.
  [[nodiscard]] std::string metrics() const;

 private:
  struct Parts;
  Process& process_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace quay_rotator::simulation
