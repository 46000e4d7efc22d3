#include <algorithm>
#include <cstdio>
#include <map>

#include "bench/bench.h"
#include "bench/journal.h"

namespace quay_rotator::bench {

namespace {

// For one Secret they are 4 and 5, which a cluster test checks; each further one has a dry run and
// a write of its own.
constexpr double quay_goal = 4;
constexpr double api_goal = 7;

// How often each kind of request was made for one rotation.
class Kinds {
 public:
  explicit Kinds(std::size_t rotations) : each_(1 / static_cast<double>(rotations)) {}
  void count(const std::string& kind) { counts_[kind] += each_; }
  [[nodiscard]] double total() const {
    double sum = 0;
    for (const auto& [kind, count] : counts_) sum += count;
    return sum;
  }
  // "get 1, patch 3"
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const auto& [kind, count] : counts_) {
      char number[32];
      (void)std::snprintf(number, sizeof number, " %.3g", count);
      all.append(all.empty() ? "" : ", ").append(kind).append(number);
    }
    return all;
  }

 private:
  double each_;
  std::map<std::string, double> counts_;
};

void report(Bench& bench, const std::string& whom, const Kinds& kinds, double goal) {
  char figure[32];
  (void)std::snprintf(figure, sizeof figure, "%.2f", kinds.total());
  char most[32];
  (void)std::snprintf(most, sizeof most, "<= %.0f", goal);
  bench.table.add({.what = "requests to " + whom + " for a rotation, two Secrets",
                   .size = bench.size(),
                   .figure = figure,
                   .reference = kinds.text(),
                   .goal = most,
                   .met = kinds.total() <= goal * 1.001});
}

}  // namespace

void measure_requests(Bench& bench) {
  ShippedOperator running;
  running.wait_until_synced();
  running.wait_until_quiet();
  const std::size_t rotations = bench.quick ? 20 : 100;
  // Each connection's first rotation reads the API token and the CA and learns the challenge.
  const std::size_t first = std::min(bench.size(), Population::namespaces);
  bench.population.request(bench.population.next(first));
  running.wait_for("rotated", first);
  running.wait_until_quiet();
  (void)bench.audit.read();
  clear_journal();
  for (std::size_t done = 1; done <= rotations; ++done) {
    bench.population.request(bench.population.next(1));
    running.wait_for("rotated", first + done);
  }
  running.wait_until_quiet();
  Kinds quay(rotations);
  for (const QuayRequest& request : journal()) quay.count(request.endpoint);
  Kinds api(rotations);
  for (const auto& entry : bench.audit.read_work_of(cluster::operator_user)) {
    api.count(entry.verb + " " + entry.resource + (entry.dry_run ? " (dry run)" : ""));
  }
  report(bench, "Quay", quay, quay_goal);
  report(bench, "the API server", api, api_goal);
}

}  // namespace quay_rotator::bench
