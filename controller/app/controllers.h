// The composition: clients, caches, election, queues, workers and reconcilers, wired once. The
// program (app/operator.h) runs it on sockets and threads, the simulation on its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/log.h"
#include "http/allowed_hosts.h"
#include "http/transport.h"
#include "kube/client.h"
#include "kube/object.h"
#include "runtime/election.h"
#include "runtime/metrics.h"
#include "target/allowed_metadata.h"

namespace quay_rotator::app {

struct ControllersOptions {
  std::string version;
  bool leader_elect = true;
  runtime::ElectionOptions election;    // its identity is the reporter of Events too
  int workers = 64;                     // looks at RobotTokenRotations at once
  std::vector<std::string> namespaces;  // empty: all
  base::Duration drift_interval = std::chrono::minutes(10);
  base::Duration quay_timeout = std::chrono::seconds(30);     // of one call
  base::Duration regenerate_hold = std::chrono::minutes(10);  // see rotation/run.h
  http::AllowedHosts allowed_quay_hosts;
  target::AllowedMetadata allowed_target_metadata;
  std::set<std::string> allowed_token_audiences;  // see connection/service_account.h
};

// What the controllers act on. Everything outlives them; functions may be empty where that is said.
struct Surroundings {
  base::Executor& executor;
  base::Log log;
  // Three ways to the API server: one stuck pool of connections must not cost the lease, nor hold
  // up requests.
  http::Transport& requests;
  http::Transport& watches;
  http::Transport& renewals;
  kube::Credentials& credentials;
  http::TransportFactory& quay;
  std::function<std::optional<std::string>(std::string_view name)> environment;
  // Which cluster this is (kube/cluster_identity.h); asked until it is known.
  std::function<kube::Expected<std::string>(kube::Client&, const std::stop_token&)> identify;
  // Another replica may lead: must end the process, or never return.
  std::function<void()> lease_lost;
  // See rotation::StepHook. May be empty.
  std::function<void(std::string_view step)> after_step;
  // A worker has finished its look at that object. May be empty.
  std::function<void(const kube::ObjectKey&)> after_look;
  // Every cache is complete, for the first time. May be empty.
  std::function<void()> complete;
};

// Not thread-safe but where that is said. Destroying it stops it without order, as a crash would.
class Controllers {
 public:
  Controllers(ControllersOptions options, Surroundings surroundings);
  ~Controllers();
  Controllers(const Controllers&) = delete;
  Controllers& operator=(const Controllers&) = delete;

  // Begins to read, and to work once it leads.
  void start();
  // Finishes what is under way, then releases the lease: whoever leads next may assume that we do
  // nothing any more.
  void stop();
  // Cuts off whatever is under way. The source may outlive the Controllers.
  [[nodiscard]] std::stop_source abandon() const;

  // The following are thread-safe.
  runtime::Metrics& metrics();
  [[nodiscard]] bool leading() const;
  // Since when it leads with the connections' caches complete; nothing: it does not.
  [[nodiscard]] std::optional<base::MonotonicTime> serving_since() const;
  // What the caches still wait for; empty when they are complete.
  [[nodiscard]] std::string unsynced() const;
  // Which thread gives no sign of life; empty when all is well.
  [[nodiscard]] std::string stuck_worker() const;
  [[nodiscard]] std::string stuck_reflector() const;
  [[nodiscard]] std::string stuck_election() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace quay_rotator::app
