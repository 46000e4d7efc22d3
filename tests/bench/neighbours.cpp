#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "api/group.h"
#include "bench/bench.h"
#include "bench/journal.h"
#include "bench/tenants.h"
#include "cluster/cluster.h"
#include "contract/raw_server.h"

namespace quay_rotator::bench {

using cluster::cluster;
using contract::Connection;
using contract::RawServer;
using nlohmann::json;

namespace {

constexpr const char* name_space = "neighbours";
constexpr int dead_quays = 60;
constexpr int open_ledgers = 24;
constexpr int limited_resources = 9;
constexpr double rotate_now_goal = 1;  // s, p99
constexpr double ledger_goal = 2;      // s

// Quays as nobody wants for a neighbour's. All on loopback; each connection of theirs has a thread.
class HostileQuays {
 public:
  contract::Identity authority = contract::make_authority();
  // Accepts, and says nothing.
  RawServer silent{[](Connection& peer) { peer.wait_closed(); }};
  // A byte a second, of a TLS record that it never finishes.
  RawServer slow{[](Connection& peer) {
    while (peer.write("\x16") && !peer.closed_within(1000)) {
    }
  }};
  // Every handshake costs as much as TLS lets it; no session is resumed, no answer is Quay's.
  RawServer dear{[](Connection& peer) {
                   while (!peer.read_request().empty()) {
                     if (!peer.write("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"))
                       return;
                   }
                 },
                 dearest()};

 private:
  [[nodiscard]] contract::ServerOptions dearest() const {
    contract::ServerOptions options;
    contract::CertificateRequest request;
    request.alternative_names = "DNS:localhost,IP:127.0.0.1";
    options.identity = contract::issue_dearly(authority, request);
    return options;
  }
};

// As if an operator had died right after Quay was asked.
void open_ledger(const std::string& name) {
  const std::string fingerprint = "sha256:" + std::string(16, '0');
  const std::string robot = "elsewhere+" + name;
  const json status{{"robots",
                     {{{"name", robot},
                       {"role", "Active"},
                       {"fingerprint", fingerprint},
                       {"knownSince", base::format_time(wall_now())}}}},
                    {"rotation",
                     {{"id", "open-" + name},
                      {"robot", robot},
                      {"reason", "Interval"},
                      {"startedAt", base::format_time(wall_now())},
                      {"previousFingerprint", fingerprint},
                      {"attempt", 1}}}};
  const auto written = cluster().api().merge_patch(api::rotations, {name_space, name}, "status",
                                                   {{"status", status}}, "person", {});
  if (!written) throw std::runtime_error(written.error().message);
}

std::string at(const RawServer& server) {
  return "https://localhost:" + std::to_string(server.port());
}

void move_in_with(const HostileQuays& quays) {
  move_in(name_space, quays.authority.certificate);
  for (int i = 0; i < dead_quays; ++i) {
    const std::string name = "dead-" + std::to_string(i);
    connect({name_space, name}, at(quays.silent));
    rotate({name_space, name}, name);
  }
  connect({name_space, "slow"}, at(quays.slow));
  rotate({name_space, "slow"}, "slow");
  for (int i = 0; i < 4; ++i) {
    const std::string dear = "dear-" + std::to_string(i);
    connect({name_space, dear}, at(quays.dear));
    for (int k = 0; k < 2; ++k) rotate({name_space, dear + "-" + std::to_string(k)}, dear);
  }
  connect({name_space, "limited"}, cluster().quay_url(),
          {{"rateLimit", {{"requestsPerSecond", 0.01}, {"burst", 1}}}});
  for (int i = 0; i < limited_resources; ++i) {
    rotate({name_space, "limited-" + std::to_string(i)}, "limited");
  }
  connect({name_space, "open"}, at(quays.silent));
  for (int i = 0; i < open_ledgers; ++i) {
    const std::string name = "open-" + std::to_string(i);
    rotate({name_space, name}, "open");
    open_ledger(name);
  }
}

// The leader's renewals of its Lease, as the API server saw them.
class Renewals {
 public:
  explicit Renewals(cluster::AuditLog& audit) : audit_(audit) { (void)audit_.read(); }

  // Seconds between each two since this was made.
  const std::vector<double>& gaps() {
    for (const auto& entry : audit_.read()) {
      if (entry.user != cluster::operator_user || entry.resource != "leases") continue;
      if (entry.verb == "get" || entry.verb == "list") continue;
      if (last_) gaps_.push_back(seconds_between(*last_, entry.done));
      last_ = entry.done;
    }
    return gaps_;
  }

 private:
  cluster::AuditLog& audit_;
  std::optional<base::WallTime> last_;
  std::vector<double> gaps_;
};

// Seconds from the request to Quay's commit.
double rotate_now(Bench& bench) {
  const std::size_t resource = bench.population.next(1).front();
  clear_journal();
  const auto asked = wall_now();
  bench.population.request(resource);
  return seconds_between(asked, commit_of(Population::robot(resource)));
}

std::string p50_p99(const std::vector<double>& seconds) {
  return in_seconds(median(seconds)) + ", p99 " + in_seconds(percentile(seconds, 0.99));
}

// Seconds from the start after such a death to settled.
double settle_after_start(Bench& bench) {
  const std::size_t resource = bench.population.next(1).front();
  {
    ShippedOperator dying;
    dying.wait_until_synced();
    kill_after_commit(bench, dying, resource);
  }
  ShippedOperator recovering;
  return seconds_between(recovering.started(), recovering.wait_for("rotated"));
}

}  // namespace

// A tenant's rotate-now, an open ledger and the Lease, beside neighbours of whom none means well.
void measure_neighbours(Bench& bench) {
  const std::size_t times = bench.quick ? 20 : 100;
  const std::size_t renewals = bench.quick ? 5 : 15;
  // One rotation after the other, however soon they are done, until the Lease was renewed as often.
  const auto measure = [&] {
    ShippedOperator running;
    running.wait_until_synced();
    Renewals lease(bench.audit);
    std::vector<double> seconds;
    while (seconds.size() < times || lease.gaps().size() < renewals) {
      seconds.push_back(rotate_now(bench));
    }
    return std::tuple(std::move(seconds), lease.gaps(), running.memory().peak);
  };
  const auto [alone, renewals_alone, memory_alone] = measure();
  const double settled_alone = settle_after_start(bench);

  HostileQuays quays;
  move_in_with(quays);
  const auto [beside, renewals_beside, memory_beside] = measure();
  const double settled = settle_after_start(bench);
  move_out(name_space);

  const double p99 = percentile(beside, 0.99);
  bench.table.add({.what = "rotate-now beside 60 dead, a slow, a limited, 4 dear Quays, 24 ledgers",
                   .size = bench.size(),
                   .figure = p50_p99(beside),
                   .reference = "without them " + p50_p99(alone),
                   .ratio = p99 / percentile(alone, 0.99),
                   .goal = "p99 <= 1 s",
                   .met = p99 <= rotate_now_goal});
  bench.table.add({.what = "an open ledger at a start beside them: to settled",
                   .size = bench.size(),
                   .figure = in_seconds(settled),
                   .reference = "without them " + in_seconds(settled_alone),
                   .ratio = settled / settled_alone,
                   .goal = "<= 2 s",
                   .met = settled <= ledger_goal});
  bench.table.add({.what = "the Lease beside them: between two renewals",
                   .size = bench.size(),
                   .figure = p50_p99(renewals_beside),
                   .reference = "without them " + p50_p99(renewals_alone),
                   .ratio = percentile(renewals_beside, 0.99) / percentile(renewals_alone, 0.99),
                   .goal = "p99 <= 10 s",
                   .met = percentile(renewals_beside, 0.99) <= 10});
  bench.table.add({.what = "peak memory beside them",
                   .size = bench.size(),
                   .figure = in_mebibytes(memory_beside),
                   .reference = "without them " + in_mebibytes(memory_alone),
                   .ratio = memory_beside / memory_alone});
}

}  // namespace quay_rotator::bench
