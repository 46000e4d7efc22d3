// What happened in a world, told line by line, and what went against a promise.
#pragma once

#include <string>
#include <vector>

#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

class Journal {
 public:
  // Must outlive it.
  explicit Journal(const testing::VirtualExecutor& world) : world_(world) {}

  // A line for the trace, with the virtual time.
  void note(const std::string& text) {
    trace_.push_back(base::format_micro_time(world_.wall_now()) + " " + text);
  }
  // "I2 …"
  void violate(const std::string& what) {
    note("VIOLATION " + what);
    violations_.push_back(what);
  }
  void forget_trace() { trace_.clear(); }
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }
  // The oldest first.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  const testing::VirtualExecutor& world_;
  std::vector<std::string> trace_;
  std::vector<std::string> violations_;
};

}  // namespace quay_rotator::simulation
