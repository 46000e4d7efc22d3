#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/journal.h"

namespace quay_rotator::bench {

namespace {

constexpr unsigned drift_seconds = 5;          // of this measurement …
constexpr double shipped_drift_seconds = 600;  // … and by default

std::string number(double value) {
  char text[32];
  (void)std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

// Nothing has changed since the operator was here last: it has nothing to ask.
void report_start(Bench& bench) {
  clear_journal();
  {
    ShippedOperator running;
    running.wait_until_synced();
    running.wait_until_quiet();
  }
  const std::size_t calls = journal().size();
  bench.table.add({.what = "requests to Quay at a start where nothing changed",
                   .size = bench.size(),
                   .figure = std::to_string(calls),
                   .goal = "0",
                   .met = calls == 0});
}

// Drift reads, 120 times as often as by default, against the same time without any.
void report_drift(Bench& bench) {
  const unsigned window = bench.quick ? 10 : 60;
  const auto watch = [&](const std::string& interval) {
    ShippedOperator running({.drift_interval = interval});
    running.wait_until_synced();
    sleep(drift_seconds);  // its first reads are spread over the interval
    (void)bench.audit.read();
    clear_journal();
    const double before = running.cpu_seconds();
    sleep(window);
    return running.cpu_seconds() - before;
  };
  const double idle = watch("24h");
  const double used = watch(std::to_string(drift_seconds) + "s");
  const auto requests = journal();
  const auto lists = static_cast<double>(std::ranges::count_if(
      requests, [](const QuayRequest& request) { return request.endpoint == "robot-list"; }));
  const double rounds = lists / static_cast<double>(bench.population.organizations());
  const double hourly = lists * drift_seconds / shipped_drift_seconds * 3600 / window;
  // The interval varies by a tenth to either side, and a window cuts rounds in two.
  const double most =
      static_cast<double>(bench.population.organizations()) * 3600 / shipped_drift_seconds * 1.25;
  const bool others = lists != static_cast<double>(requests.size());
  bench.table.add(
      {.what = "requests to Quay at rest, an hour, drift reads every 10 min",
       .size = bench.size(),
       .figure = number(hourly) + (others ? ", not only lists" : ""),
       .reference = "one for each robot " +
                    number(static_cast<double>(bench.size()) * 3600 / shipped_drift_seconds),
       .ratio = hourly / (static_cast<double>(bench.size()) * 6),
       .goal = std::to_string(bench.population.organizations()) + " organizations, 6 an hour",
       .met = hourly <= most && !others});
  const double cost = std::max(0.0, used - idle) / std::max(rounds, 1.0);
  const double calls = static_cast<double>(bench.audit.read_work_of(cluster::operator_user).size());
  bench.table.add(
      {.what = "CPU of one round of drift reads",
       .size = bench.size(),
       .figure = in_seconds(cost),
       .reference = number(calls / std::max(rounds, 1.0)) + " requests to the API server with it"});
}

}  // namespace

void measure_load(Bench& bench) {
  report_start(bench);
  report_drift(bench);
}

}  // namespace quay_rotator::bench
