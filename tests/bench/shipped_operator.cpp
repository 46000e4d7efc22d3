#include "bench/shipped_operator.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;
using std::chrono::steady_clock;

ShippedOperator::ShippedOperator(const OperatorFlags& flags) {
  static int count = 0;
  log_file_ = cluster().directory() + "/bench-operator-" + std::to_string(++count) + ".log";
  const std::vector<std::string> command{
      cluster().program("quay-rotator"),
      "--kubeconfig=" + cluster().operator_kubeconfig(),
      "--leader-election-namespace=quay-rotator",
      "--health-probe-bind-address=127.0.0.1:0",
      "--metrics-bind-address=127.0.0.1:0",
      "--drift-interval=" + flags.drift_interval,
      "--allowed-quay-hosts=localhost",
      std::string("--leader-elect=") + (flags.leader_elect ? "true" : "false")};
  started_ = wall_now();
  process_ = std::make_unique<cluster::ChildProcess>(
      command, log_file_, std::map<std::string, std::string>{{"POD_NAME", "quay-rotator-0"}});
  log_.open(log_file_);
}

ShippedOperator::~ShippedOperator() {
  if (!process_->poll()) {
    process_->signal(SIGCONT);
    process_->signal(SIGTERM);
    process_->wait();
  }
}

void ShippedOperator::kill9() {
  process_->signal(SIGKILL);
  process_->wait();
}

void ShippedOperator::read_log() {
  log_.clear();
  for (std::string text; std::getline(log_, text);) {
    partial_ += text;
    if (log_.eof()) return;
    const auto line = nlohmann::json::parse(std::exchange(partial_, {}), nullptr, false);
    if (!line.is_object()) continue;
    lines_.push_back({line.value("message", ""),
                      base::parse_time(line.value("time", "")).value_or(wall_now()),
                      line.value("outage", "")});
  }
}

std::size_t ShippedOperator::count(std::string_view message) {
  read_log();
  return static_cast<std::size_t>(std::ranges::count(lines_, message, &Line::message));
}

base::WallTime ShippedOperator::wait_for(std::string_view message, std::size_t lines,
                                         std::chrono::seconds limit) {
  const auto deadline = steady_clock::now() + limit;
  while (count(message) < lines) {
    if (process_->poll() || steady_clock::now() > deadline) {
      const std::string log = cluster::read_file(log_file_);
      throw std::runtime_error("the operator did not log \"" + std::string(message) + "\" " +
                               std::to_string(lines) + " times but " +
                               std::to_string(count(message)) + "; its log ends with\n" +
                               log.substr(log.size() - std::min<std::size_t>(log.size(), 2000)));
    }
    usleep(2'000);  // another process writes that file: there is nothing to wait on
  }
  for (const Line& line : lines_) {
    if (line.message == message && --lines == 0) return line.time;
  }
  return {};
}

std::vector<double> ShippedOperator::outages() {
  read_log();
  std::vector<double> all;
  for (const Line& line : lines_) {
    if (const auto outage = base::parse_duration(line.outage)) {
      all.push_back(Seconds(*outage).count());
    }
  }
  return all;
}

void ShippedOperator::wait_until_quiet() {
  constexpr int enough = 5;
  const auto deadline = steady_clock::now() + std::chrono::minutes(2);
  double before = cpu_seconds();
  for (int quiet = 0; quiet < enough;) {
    usleep(50'000);
    const double now = cpu_seconds();
    quiet = now - before < 0.003 ? quiet + 1 : 0;
    before = now;
    if (steady_clock::now() > deadline) throw std::runtime_error("the operator never rests");
  }
}

base::WallTime wall_now() {
  return std::chrono::time_point_cast<base::WallTime::duration>(std::chrono::system_clock::now());
}

double seconds_between(base::WallTime from, base::WallTime to) {
  return Seconds(to - from).count();
}

}  // namespace quay_rotator::bench
