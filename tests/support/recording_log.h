// A LogSink that keeps its lines for a test to look at.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"

namespace quay_rotator::testing {

// Safe for any number of threads.
class RecordingLog final : public base::LogSink {
 public:
  void write(base::LogLevel level, std::string_view message,
             const std::vector<base::LogField>& fields) override;
  [[nodiscard]] base::Log log() { return {*this, base::LogLevel::debug}; }
  // "warning message key=value …", the oldest first.
  [[nodiscard]] std::vector<std::string> lines() const;
  [[nodiscard]] std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace quay_rotator::testing
