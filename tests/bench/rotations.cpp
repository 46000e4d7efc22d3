#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/journal.h"

namespace quay_rotator::bench {

namespace {

constexpr double flat = 1.2;             // times the CPU at the smallest size
constexpr double share_of_server = 0.2;  // of the API server's CPU
constexpr std::size_t many = 1000;
constexpr std::size_t crowd = 200;  // of …
constexpr std::size_t crowd_connections = 4;
constexpr double rate = 5;
constexpr double burst = 10;

// CPU seconds of both since it was made.
class Cost {
 public:
  explicit Cost(const ShippedOperator& running)
      : running_(running), own_(running.cpu_seconds()), server_(api_server_cpu()) {}
  [[nodiscard]] double own() const { return running_.cpu_seconds() - own_; }
  [[nodiscard]] double server() const { return api_server_cpu() - server_; }

 private:
  const ShippedOperator& running_;
  double own_;
  double server_;
};

// The requests are written while the operator is stopped: what they cost the API server is not
// counted. Without a lease, which it would lose while a busy machine takes its time.
void report_rounds(Bench& bench) {
  static Baseline smallest;
  ShippedOperator running({.leader_elect = false});
  running.wait_until_synced();
  const std::size_t rotations = std::min<std::size_t>(bench.size(), 50);
  std::vector<double> own;
  std::vector<double> server;
  for (int round = bench.quick ? 4 : 8; round > 0; --round) {
    running.wait_until_quiet();
    const std::size_t done = running.count("rotated");
    running.signal(SIGSTOP);
    bench.population.request(bench.population.next(rotations));
    const Cost cost(running);
    running.signal(SIGCONT);
    running.wait_for("rotated", done + rotations);
    running.wait_until_quiet();
    own.push_back(cost.own() / static_cast<double>(rotations));
    server.push_back(cost.server() / static_cast<double>(rotations));
  }
  const double each = median(own);
  const double reference = median(server);
  bench.table.add({.what = "CPU of one rotation, two Secrets",
                   .size = bench.size(),
                   .figure = in_seconds(each),
                   .reference = "API server " + in_seconds(reference),
                   .ratio = each / reference});
  if (smallest.value) {
    const double growth = smallest.compare(each);
    bench.table.add({.what = "CPU of one rotation, against the smallest size",
                     .size = bench.size(),
                     .figure = in_seconds(each),
                     .reference = in_seconds(*smallest.value),
                     .ratio = growth,
                     .goal = "<= 1.2",
                     .met = growth <= flat});
  }
  smallest.compare(each);
}

void report_all_at_once(Bench& bench) {
  const std::vector<std::size_t> due = bench.population.next(many);
  bench.population.request(due);
  ShippedOperator running;
  const auto began = running.wait_until_synced();
  const Cost cost(running);
  const auto ended = running.wait_for("rotated", due.size(), std::chrono::minutes(5));
  running.wait_until_quiet();
  const double own = cost.own();
  const double server = cost.server();
  const double seconds = seconds_between(began, ended);
  char text[64];
  (void)std::snprintf(text, sizeof text, "%.2f s CPU in %.1f s", own, seconds);
  bench.table.add({.what = std::to_string(due.size()) + " rotations due at once",
                   .size = bench.size(),
                   .figure = text,
                   .reference = "API server " + in_seconds(server) + " CPU",
                   .ratio = own / server,
                   .goal = "<= 0.2",
                   .met = own < share_of_server * server});
}

// Due at once in a few connections: how long pods are without a valid credential while all others
// of them are at work too.
void report_burst(Bench& bench) {
  std::vector<std::size_t> due;
  for (std::size_t i = 0; due.size() < crowd && i < bench.size(); ++i) {
    if (i % Population::namespaces < crowd_connections) due.push_back(i);
  }
  bench.population.request(due);
  clear_journal();
  (void)bench.audit.read();
  ShippedOperator running;
  running.wait_until_synced();
  const Cost cost(running);
  running.wait_for("rotated", due.size(), std::chrono::minutes(5));
  running.wait_until_quiet();
  const double rotations = static_cast<double>(due.size());
  const double own = cost.own() / rotations;
  const double server = cost.server() / rotations;
  std::map<std::string, base::WallTime> commits;
  for (const QuayRequest& request : journal("endpoint=regenerate&committed=true")) {
    commits[request.robot] = request.committed;
  }
  const auto log = bench.audit.read();
  std::vector<double> outages;
  for (const std::size_t resource : due) {
    const base::WallTime commit = commits.at(Population::robot(resource));
    if (const auto last = published(log, resource, commit)) {
      outages.push_back(seconds_between(commit, *last));
    }
  }
  if (outages.size() != due.size()) throw std::runtime_error("the audit log lacks a write");
  const std::string what = std::to_string(due.size()) + " due at once in " +
                           std::to_string(crowd_connections) + " connections, ";
  for (const double share : {0.5, 0.99}) {
    bench.table.add({.what = what + "Quay's commit to the last of two Secrets, " +
                             (share == 0.5 ? "p50" : "p99"),
                     .size = bench.size(),
                     .figure = in_seconds(percentile(outages, share))});
  }
  bench.table.add({.what = what + "CPU of one rotation",
                   .size = bench.size(),
                   .figure = in_seconds(own),
                   .reference = "API server " + in_seconds(server),
                   .ratio = own / server});
}

// How many requests more than a bucket of that size and rate allows, in the worst stretch of time.
double excess(const std::vector<QuayRequest>& requests) {
  double worst = 0;
  for (std::size_t first = 0; first < requests.size(); ++first) {
    for (std::size_t last = first; last < requests.size(); ++last) {
      const double allowed =
          burst + rate * seconds_between(requests[first].time, requests[last].time);
      worst = std::max(worst, static_cast<double>(last - first + 1) - allowed);
    }
  }
  return worst;
}

// All that one connection's Quay is asked while it allows five requests in a second.
void report_limited(Bench& bench) {
  const std::size_t rotations = bench.quick ? 15 : 50;
  ShippedOperator running;
  running.wait_until_synced();
  Population::limit_rate(0, {{"requestsPerSecond", rate}, {"burst", burst}});
  running.wait_until_quiet();
  sleep(static_cast<unsigned>(burst / rate) + 1);  // a new connection is tried: the bucket refills
  std::vector<std::size_t> due;
  for (std::size_t i = 0; i < rotations; ++i) due.push_back(i * Population::namespaces);
  clear_journal();
  bench.population.request(due);
  running.wait_for("rotated", rotations, std::chrono::minutes(5));
  const auto requests = journal();
  Population::limit_rate(0, nullptr);
  const double seconds = seconds_between(requests.front().time, requests.back().time);
  const double expected = (static_cast<double>(requests.size()) - burst) / rate;
  const double beyond = excess(requests);
  constexpr double jitter = 2;  // requests: they travel more or less fast
  char text[64];
  (void)std::snprintf(text, sizeof text, "%.1f s, %.0f over the limit", seconds, beyond);
  bench.table.add(
      {.what = std::to_string(rotations) + " rotations at 5 requests to Quay a second",
       .size = bench.size(),
       .figure = text,
       .reference = std::to_string(requests.size()) + " requests, expected " + in_seconds(expected),
       .ratio = seconds / expected,
       .goal = "limit held, <= 1.1",
       .met = beyond <= jitter && seconds <= 1.1 * expected});
}

}  // namespace

void measure_rotations(Bench& bench) {
  report_rounds(bench);
  if (bench.size() >= crowd) report_burst(bench);
  if (bench.size() >= many) report_limited(bench);
  if (bench.size() >= many) report_all_at_once(bench);
}

}  // namespace quay_rotator::bench
