#include <cstdio>
#include <optional>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/journal.h"

namespace quay_rotator::bench {

namespace {

constexpr double resident_goal = 32;  // MiB
constexpr double peak_goal = 1.5 * resident_goal;
constexpr double sync_goal = 5;         // s beyond what kubectl takes
constexpr double idle_goal = 0.001;     // of one core
constexpr double look_interval = 1800;  // s; each resource is looked at that often, changed or not

std::string percent(double share) {
  char text[32];
  (void)std::snprintf(text, sizeof text, "%.3f %%", share * 100);
  return text;
}

struct Start {
  std::vector<double> seconds;
  std::vector<double> kubectl_seconds;
  std::vector<double> peaks;
  std::vector<double> kubectl_peaks;
  std::vector<double> residents;
  std::vector<double> looks;  // CPU seconds of the first look at every resource
};

// Pairs, as the machine's speed changes with what else it does.
Start start_repeatedly(const Bench& bench, std::optional<ShippedOperator>& running) {
  Start start;
  const int runs = bench.quick ? 2 : 3;
  for (int i = 0; i < runs; ++i) {
    const Reading kubectl = kubectl_reads_all();
    start.kubectl_seconds.push_back(kubectl.seconds);
    start.kubectl_peaks.push_back(kubectl.peak);
    running.reset();
    running.emplace();
    start.seconds.push_back(seconds_between(running->started(), running->wait_until_synced()));
    const double synced = running->cpu_seconds();
    running->wait_until_quiet();
    start.looks.push_back(running->cpu_seconds() - synced);
    start.peaks.push_back(running->memory().peak);
    start.residents.push_back(running->memory().resident);
  }
  return start;
}

void report_memory(Bench& bench, const Start& start) {
  static std::optional<std::pair<std::size_t, double>> smallest;
  const double resident = median(start.residents);
  const double kubectl = median(start.kubectl_peaks);
  const std::string reference = "kubectl's peak " + in_mebibytes(kubectl);
  bench.table.add({.what = "resident memory at rest",
                   .size = bench.size(),
                   .figure = in_mebibytes(resident),
                   .reference = reference,
                   .ratio = resident / kubectl,
                   .goal = "<= 32 MiB",
                   .met = resident <= resident_goal});
  const double peak = median(start.peaks);
  bench.table.add({.what = "peak memory of a start",
                   .size = bench.size(),
                   .figure = in_mebibytes(peak),
                   .reference = reference,
                   .ratio = peak / kubectl,
                   .goal = "<= 48 MiB",
                   .met = peak <= peak_goal});
  if (!smallest) smallest = {bench.size(), resident};
  if (bench.size() == smallest->first) return;
  const double each =
      (resident - smallest->second) / static_cast<double>(bench.size() - smallest->first);
  bench.table.add({.what = "resident memory for each resource",
                   .size = bench.size(),
                   .figure = std::to_string(static_cast<int>(each * 1024 * 1024)) + " B"});
}

// The window is too short for the look at each resource that comes every half hour: what the same
// look costs after a start, where nothing changed either, is spread over that time and added.
void report_idle(Bench& bench, const ShippedOperator& running, double look) {
  const unsigned window = bench.quick ? 15 : 60;
  (void)bench.audit.read();
  clear_journal();
  const double own = running.cpu_seconds();
  const double api_server = api_server_cpu();
  const auto began = wall_now();
  sleep(window);
  const double elapsed = seconds_between(began, wall_now());
  const double quiet = (running.cpu_seconds() - own) / elapsed;
  const double share = quiet + look / look_interval;
  const double reference = (api_server_cpu() - api_server) / elapsed;
  bench.table.add({.what = "CPU at rest, of one core",
                   .size = bench.size(),
                   .figure = percent(share),
                   .reference = "API server " + percent(reference),
                   .ratio = share / reference,
                   .goal = "<= 0.1 %",
                   .met = share <= idle_goal});
  bench.table.add({.what = "… of it: looks at each resource every half hour",
                   .size = bench.size(),
                   .figure = percent(look / look_interval),
                   .reference = "one look at all of them " + in_seconds(look)});
  std::size_t requests = 0;
  for (const auto& entry : bench.audit.read()) requests += entry.user == cluster::operator_user;
  const double hourly = static_cast<double>(requests) * 3600 / elapsed;
  char text[64];
  (void)std::snprintf(text, sizeof text, "%.0f", hourly);
  char each[64];
  (void)std::snprintf(each, sizeof each, "%.2f for each resource",
                      hourly / static_cast<double>(bench.size()));
  bench.table.add({.what = "requests to the API server at rest, an hour",
                   .size = bench.size(),
                   .figure = text,
                   .reference = each});
  const std::size_t calls = journal().size();
  bench.table.add({.what = "requests to Quay at rest, without drift reads",
                   .size = bench.size(),
                   .figure = std::to_string(calls),
                   .goal = "0",
                   .met = calls == 0});
}

}  // namespace

void measure_scale(Bench& bench) {
  std::optional<ShippedOperator> running;
  const Start start = start_repeatedly(bench, running);
  const double seconds = median(start.seconds);
  const double kubectl = median(start.kubectl_seconds);
  bench.table.add({.what = "start to synced",
                   .size = bench.size(),
                   .figure = in_seconds(seconds),
                   .reference = "kubectl get -A -o json " + in_seconds(kubectl),
                   .ratio = seconds / kubectl,
                   .goal = "<= 5 s beyond it",
                   .met = seconds - kubectl <= sync_goal});
  report_memory(bench, start);
  report_idle(bench, *running, median(start.looks));
}

}  // namespace quay_rotator::bench
