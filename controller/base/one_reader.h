// What several want to read at once is read once.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "base/executor.h"
#include "base/mutex.h"

namespace quay_rotator::base {

// Of one thing that can be read: whoever comes while somebody reads it waits until that is over,
// and then looks at what came of it.
//
// Guarantees: nobody waits twice; who waited and finds nothing reads by itself, beside the others.
// Assumptions: reading ends by its own deadline, so that waiting takes no longer than reading would
// have. Thread-safe.
class OneReader {
 public:
  explicit OneReader(Executor& executor) : executor_(executor), signal_(executor.make_signal()) {}

  // Calls `read`, or waits while somebody else does. `read` may throw.
  template <class Read>
  void read(const Read& read, const std::stop_token& stop) {
    if (!begin(stop)) return;
    const End end{*this};
    read();
  }

 private:
  struct End {
    OneReader& reader;
    ~End() {
      const Lock lock(reader.mutex_);
      reader.reading_ = false;
      ++reader.reads_;
      reader.signal_->notify_all();
    }
  };
  // False: somebody else has read.
  bool begin(const std::stop_token& stop);

  Executor& executor_;
  Mutex mutex_;
  const std::unique_ptr<Signal> signal_;
  bool reading_ GUARDED_BY(mutex_) = false;
  std::uint64_t reads_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quay_rotator::base
