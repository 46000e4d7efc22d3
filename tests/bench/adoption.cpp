#include <algorithm>
#include <optional>
#include <stdexcept>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/journal.h"

namespace quay_rotator::bench {

namespace {

constexpr double prompt_goal = 1;  // s

// A person asks for a resource that was there before, in the midst of the adoption of all others.
double rotate_while_queued(Bench& bench, ShippedOperator& running, std::size_t before) {
  const std::size_t resource = before / 2;
  clear_journal();
  const auto asked = wall_now();
  bench.population.request(resource);
  const double seconds = seconds_between(asked, commit_of(Population::robot(resource)));
  running.wait_for("rotated");
  return seconds;
}

// Each resource that was adopted is marked as this cluster's. On a busy machine the operator may
// seem to rest while it waits for answers; another that is started then does the rest of them.
void wait_until_marked(Bench& bench) {
  constexpr unsigned window = 2;  // s
  constexpr int most = 15 * 60 / window;
  for (int waited = 0; waited < most; ++waited) {
    (void)bench.audit.read();
    sleep(window);
    if (bench.audit.read_work_of(cluster::operator_user).empty()) return;
  }
  throw std::runtime_error("the operator never rests");
}

}  // namespace

void adopt(Bench& bench, std::size_t before) {
  const std::size_t fresh = bench.size() - before;
  ShippedOperator running;
  const auto began = running.wait_until_synced();
  const double own = running.cpu_seconds();
  const double server = api_server_cpu();
  running.wait_for("synchronized", fresh / 4, std::chrono::minutes(15));
  std::optional<double> prompt;
  if (before != 0) prompt = rotate_while_queued(bench, running, before);
  const std::size_t left = fresh - std::min(fresh, running.count("synchronized"));
  const auto ended = running.wait_for("synchronized", fresh, std::chrono::minutes(15));
  wait_until_marked(bench);
  const double used = running.cpu_seconds() - own;
  const double reference = api_server_cpu() - server;
  bench.table.add(
      {.what = std::to_string(fresh) + " adopted at once",
       .size = bench.size(),
       .figure = in_seconds(used) + " CPU in " + in_seconds(seconds_between(began, ended)),
       .reference = "API server " + in_seconds(reference) + " CPU",
       .ratio = used / reference});
  if (prompt) {
    bench.table.add({.what = "rotate-now while others are queued: to Quay's commit",
                     .size = bench.size(),
                     .figure = in_seconds(*prompt),
                     .reference = std::to_string(left) + " were still queued",
                     .goal = "<= 1 s",
                     .met = *prompt <= prompt_goal});
  }
  const std::size_t wrong = bench.population.wrong_secrets();
  if (wrong != 0) throw std::runtime_error(std::to_string(wrong) + " Secrets are wrong");
}

}  // namespace quay_rotator::bench
