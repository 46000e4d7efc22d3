#include <algorithm>
#include <stdexcept>

#include "bench/bench.h"
#include "bench/journal.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;
using nlohmann::json;

namespace {

constexpr double recovery_goal = 2;  // s
constexpr double prompt_goal = 1;    // s

std::string median_and_worst(const std::vector<double>& seconds) {
  return in_seconds(median(seconds)) + ", worst " + in_seconds(std::ranges::max(seconds));
}

// When the operator last wrote one of the resource's Secrets.
base::WallTime last_write(Bench& bench, std::size_t resource) {
  base::WallTime last{};
  const auto secrets = Population::secrets(resource);
  for (const auto& entry : bench.audit.read_work_of(cluster::operator_user)) {
    if (entry.dry_run || entry.verb != "patch" || entry.resource != "secrets") continue;
    if (std::ranges::count(secrets, kube::ObjectKey{entry.name_space, entry.name}) != 0) {
      last = std::max(last, entry.done);
    }
  }
  if (last == base::WallTime{}) throw std::runtime_error("no Secret was written");
  return last;
}

// Seconds from the start after such a death until both Secrets have the token.
double recover(Bench& bench) {
  const std::size_t resource = bench.population.next(1).front();
  {
    ShippedOperator dying;
    dying.wait_until_synced();
    dying.wait_until_quiet();
    kill_after_commit(bench, dying, resource);
  }
  (void)bench.audit.read();
  ShippedOperator recovering;
  recovering.wait_for("rotated");
  const double seconds = seconds_between(recovering.started(), last_write(bench, resource));
  recovering.wait_until_synced();
  recovering.wait_until_quiet();
  return seconds;
}

void report_recovery(Bench& bench) {
  std::vector<double> seconds;
  std::vector<double> kubectl;
  for (int run = bench.quick ? 2 : 5; run > 0; --run) {
    kubectl.push_back(kubectl_reads_all().seconds);
    seconds.push_back(recover(bench));
  }
  const std::size_t wrong = bench.population.wrong_secrets();
  if (wrong != 0) throw std::runtime_error(std::to_string(wrong) + " Secrets are wrong");
  const double figure = median(seconds);
  const double reference = median(kubectl);
  bench.table.add({.what = "kill -9 after Quay's commit: restart to Secrets right",
                   .size = bench.size(),
                   .figure = median_and_worst(seconds),
                   .reference = "kubectl get -A -o json " + in_seconds(reference),
                   .ratio = figure / reference,
                   .goal = "<= 2 s",
                   .met = figure <= recovery_goal});
}

struct Rotated {
  std::vector<double> seconds;  // from the request to Quay's commit
  std::vector<double> synced;   // from the start of the same process
};

// A request as soon as there is a process, or as soon as it has seen everything.
void rotate_after_start(Bench& bench, bool synced, Rotated& rotated) {
  const std::size_t resource = bench.population.next(1).front();
  clear_journal();
  ShippedOperator running;
  if (synced) running.wait_until_synced();
  const auto asked = wall_now();
  bench.population.request(resource);
  rotated.seconds.push_back(seconds_between(asked, commit_of(Population::robot(resource))));
  rotated.synced.push_back(seconds_between(running.started(), running.wait_until_synced()));
  running.wait_until_quiet();
}

void report_rotate_now(Bench& bench) {
  for (const bool synced : {false, true}) {
    Rotated rotated;
    for (int run = bench.quick ? 2 : 5; run > 0; --run) rotate_after_start(bench, synced, rotated);
    const double figure = median(rotated.seconds);
    const double reference = median(rotated.synced);
    bench.table.add({.what = std::string("rotate-now ") +
                             (synced ? "when just synced" : "at a start") + ": to Quay's commit",
                     .size = bench.size(),
                     .figure = median_and_worst(rotated.seconds),
                     .reference = "start to synced " + in_seconds(reference),
                     .ratio = figure / reference,
                     .goal = "<= 1 s",
                     .met = figure <= prompt_goal});
  }
}

}  // namespace

void kill_after_commit(Bench& bench, ShippedOperator& dying, std::size_t resource) {
  const json fault = cluster().quay().post(
      "/faults", {{"match", {{"endpoint", "regenerate"}, {"robot", Population::robot(resource)}}},
                  {"action", "hold"},
                  {"at", {"after"}}});
  bench.population.request(resource);
  const json held = cluster().quay().get("/faults/" + fault.at("id").dump() + "?wait=30s");
  if (held.value("held", json::array()).empty()) throw std::runtime_error("no regeneration came");
  dying.kill9();
  cluster().quay().remove("/faults");
}

void measure_recovery(Bench& bench) {
  report_recovery(bench);
  report_rotate_now(bench);
}

}  // namespace quay_rotator::bench
