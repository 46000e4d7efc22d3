// The program as it is shipped, as a process with the chart's rights and flags.
#pragma once

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "bench/meter.h"
#include "cluster/child_process.h"

namespace quay_rotator::bench {

struct OperatorFlags {
  // A day: the organizations are not read while something else is measured.
  std::string drift_interval = "24h";
  bool leader_elect = true;
};

// Not synchronized. Looking at it costs it nothing: its log and /proc are read, not its metrics.
class ShippedOperator {
 public:
  explicit ShippedOperator(const OperatorFlags& flags = {});
  // Ends it in order, so that the next one need not wait for the lease.
  ~ShippedOperator();
  ShippedOperator(const ShippedOperator&) = delete;
  ShippedOperator& operator=(const ShippedOperator&) = delete;

  [[nodiscard]] pid_t pid() const { return process_->pid(); }
  [[nodiscard]] base::WallTime started() const { return started_; }
  void signal(int number) const { process_->signal(number); }
  void kill9();

  // Lines of its log with that message, since the start.
  std::size_t count(std::string_view message);
  // Waits for `lines` of them; when the last one of them was written. Throws when that takes too
  // long, or it ends.
  base::WallTime wait_for(std::string_view message, std::size_t lines = 1,
                          std::chrono::seconds limit = std::chrono::minutes(5));
  base::WallTime wait_until_synced() {
    return wait_for("caches are complete", 1, std::chrono::minutes(5));
  }
  // Seconds of each rotation's outage as it tells them itself.
  std::vector<double> outages();
  // Until it uses next to no CPU.
  void wait_until_quiet();

  [[nodiscard]] double cpu_seconds() const { return Seconds(cpu_of(pid())).count(); }
  [[nodiscard]] Memory memory() const { return memory_of(pid()); }

 private:
  struct Line {
    std::string message;
    base::WallTime time;
    std::string outage;
  };
  void read_log();

  base::WallTime started_;
  std::unique_ptr<cluster::ChildProcess> process_;
  std::string log_file_;
  std::ifstream log_;
  std::string partial_;
  std::vector<Line> lines_;
};

base::WallTime wall_now();
double seconds_between(base::WallTime from, base::WallTime to);

}  // namespace quay_rotator::bench
