#include <filesystem>
#include <set>
#include <sstream>
#include <stdexcept>

#include "bench/bench.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;

namespace {

constexpr double start_goal = 0.05;  // s

// From a process's start to the first request by that user.
double first_request(Bench& bench, base::WallTime started, const std::string& user) {
  for (const auto& entry : bench.audit.read()) {
    if (entry.user == user && entry.received >= started) {
      return seconds_between(started, entry.received);
    }
  }
  throw std::runtime_error("no request of " + user);
}

void report_start(Bench& bench) {
  std::vector<double> own;
  std::vector<double> kubectl;
  for (int run = bench.quick ? 5 : 15; run > 0; --run) {
    (void)bench.audit.read();
    {
      ShippedOperator running;
      running.wait_until_synced();
      own.push_back(first_request(bench, running.started(), cluster::operator_user));
    }
    (void)bench.audit.read();
    const auto began = wall_now();
    cluster().kubectl_ok({"get", "--raw=/version"});
    kubectl.push_back(first_request(bench, began, "admin"));
  }
  const double figure = median(own);
  const double reference = median(kubectl);
  bench.table.add({.what = "start of the process to its first request",
                   .figure = in_seconds(figure),
                   .reference = "kubectl " + in_seconds(reference),
                   .ratio = figure / reference,
                   .goal = "<= 50 ms",
                   .met = figure <= start_goal});
}

// What ldd names, each file once.
double linked_mebibytes(const std::string& program, std::size_t& count) {
  std::set<std::filesystem::path> files;
  std::istringstream words(cluster::run_program({"ldd", program}).output);
  for (std::string word; words >> word;) {
    if (word.starts_with("/")) files.insert(std::filesystem::canonical(word));
  }
  double bytes = 0;
  for (const auto& file : files) bytes += static_cast<double>(std::filesystem::file_size(file));
  count = files.size();
  return bytes / 1024 / 1024;
}

void report_size(Bench& bench) {
  const std::string program = cluster().program("quay-rotator");
  const double size = static_cast<double>(std::filesystem::file_size(program)) / 1024 / 1024;
  std::size_t count = 0;
  const double linked = linked_mebibytes(program, count);
  bench.table.add(
      {.what = "size of the program",
       .figure = in_mebibytes(size),
       .reference = "with " + std::to_string(count) + " libraries " + in_mebibytes(size + linked)});
}

}  // namespace

void measure_start(Bench& bench) {
  report_start(bench);
  report_size(bench);
}

}  // namespace quay_rotator::bench
