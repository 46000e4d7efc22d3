// Lines to a descriptor by a thread of its own: who has something to say never waits for a reader.
//
// Lines are kept in order while nobody takes them, up to a number of bytes. Beyond it the oldest is
// given up, and where lines are missing `gap` says how many: what was said last is worth the most.
// The descriptor's flags are left alone, others may share it: a write is no larger than what a pipe
// that is ready takes at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/mutex.h"

namespace quay_rotator::base {

struct LineLimits {
  std::size_t most_bytes = 256U << 10U;         // that wait
  Duration farewell = std::chrono::seconds(1);  // the most that its end waits for a reader
};

// Does not own the descriptor. Thread-safe.
class LineWriter {
 public:
  // The line that stands where `lines` were dropped.
  using Gap = std::function<std::string(std::uint64_t lines)>;
  LineWriter(int descriptor, Gap gap, Executor& executor, LineLimits limits = {});
  // Writes what it still can within `farewell`.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // With its line feed. Never blocks.
  void write(std::string line);
  // Waits until everything is written; false when that did not happen in time.
  bool flush(Duration limit);
  // Lines that nobody will read: the queue was full, or the descriptor refused them.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  void run(const std::stop_token& stop);
  void drop_oldest() REQUIRES(mutex_);
  // The oldest line, after what is missing before it.
  std::string take() REQUIRES(mutex_);
  // False when the descriptor refuses it or the end has come.
  bool write_whole(std::string_view text, const std::stop_token& stop) const;
  [[nodiscard]] bool is_over(const std::stop_token& stop) const;

  const int descriptor_;
  const Gap gap_;
  Executor& executor_;
  const LineLimits limits_;

  mutable Mutex mutex_;
  std::unique_ptr<Signal> changed_;
  std::deque<std::string> lines_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;  // of lines_
  bool writing_ GUARDED_BY(mutex_) = false;
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  std::uint64_t untold_ GUARDED_BY(mutex_) =
      0;  // dropped, all before lines_, and no gap has said so
  // Set before the stop is requested, and looked at after.
  MonotonicTime end_ = MonotonicTime::max();
  std::unique_ptr<Thread> thread_;
};

}  // namespace quay_rotator::base
