// The program's log: lines on standard error, one an event, written whole.
//
// Format json: {"time","level","message",...fields}; text: `TIME LEVEL message key=value …`.
// Nobody who logs waits for whoever reads: see line_writer.h for what happens to lines that nobody
// takes.
#pragma once

#include <cstdint>
#include <memory>

#include "base/executor.h"
#include "base/line_writer.h"
#include "base/log.h"

namespace quay_rotator::base {

enum class LogFormat { json, text };

class LogWriter : public LogSink {
 public:
  // Waits until all that was logged is written; false when that did not happen in time. For whoever
  // is about to end the process.
  virtual bool flush(Duration limit) = 0;
  // Lines that nobody will read.
  [[nodiscard]] virtual std::uint64_t dropped() const = 0;
};

// Levels below `level` cost nothing. Destroying it writes what it can in a second. `executor` must
// outlive it.
std::unique_ptr<LogWriter> make_log_writer(LogLevel level, LogFormat format, Executor& executor);

}  // namespace quay_rotator::base
