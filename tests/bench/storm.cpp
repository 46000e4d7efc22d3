#include <algorithm>
#include <csignal>
#include <stdexcept>

#include "bench/bench.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;
using nlohmann::json;

namespace {

// While the operator hears nothing, somebody deletes a Secret: only a new list can tell.
void delete_a_secret(std::size_t resource) {
  const auto removed =
      cluster().api().remove(kube::secrets, Population::secrets(resource).front(), {}, {});
  if (!removed) throw std::runtime_error(removed.error().message);
}

// Whatever is written makes what the operator saw older than the next API server's history.
void write_something() {
  const auto written = cluster().api().merge_patch(
      kube::config_maps, {Population::name_space(0), "quay-ca"}, "",
      {{"metadata",
        {{"annotations", {{"touched", std::to_string(wall_now().time_since_epoch().count())}}}}}},
      "person", {});
  if (!written) throw std::runtime_error(written.error().message);
}

}  // namespace

// Every watch is answered with 410 at once: the operator sleeps through the end of an API server,
// and the history of the next one begins after what it has seen.
void measure_storm(Bench& bench) {
  ShippedOperator running({.leader_elect = false});
  const double start = seconds_between(running.started(), running.wait_until_synced());
  running.wait_until_quiet();
  const double before = running.memory().resident;
  const std::size_t healed = running.count("synchronized");
  running.signal(SIGSTOP);
  write_something();
  cluster().control().post("/processes/kube-apiserver/kill");
  cluster().control().post("/processes/kube-apiserver/start");
  (void)kubectl_reads_all();  // its caches are warm
  delete_a_secret(bench.population.next(1).front());
  const bool exact = forget_peak(running.pid());
  (void)bench.audit.read();
  const double own = running.cpu_seconds();
  const auto began = wall_now();
  running.signal(SIGCONT);
  const auto ended = running.wait_for("synchronized", healed + 1, std::chrono::minutes(3));
  running.wait_until_quiet();
  const double used = running.cpu_seconds() - own;
  const double peak = running.memory().peak;
  const auto requests = bench.audit.read();
  const auto lists = std::ranges::count_if(requests, [](const cluster::AuditEntry& entry) {
    return entry.user == cluster::operator_user && entry.verb == "list";
  });
  if (lists == 0) throw std::runtime_error("no watch was answered with 410");
  const double seconds = seconds_between(began, ended);
  bench.table.add({.what = "every watch answered with 410: to synced and healed",
                   .size = bench.size(),
                   .figure = in_seconds(seconds) + ", " + in_seconds(used) + " CPU",
                   .reference = "start to synced " + in_seconds(start),
                   .ratio = seconds / start});
  bench.table.add({.what = "peak memory of that",
                   .size = bench.size(),
                   .figure = in_mebibytes(peak) + (exact ? "" : " (since the start)"),
                   .reference = "before " + in_mebibytes(before),
                   .ratio = peak / before,
                   .goal = "<= 48 MiB",
                   .met = peak <= 48});
}

}  // namespace quay_rotator::bench
