// Whether a thread gets on with its work, told by the thread itself and asked by whoever looks
// after the process.
//
//   worker:   const runtime::Heartbeat::Work work(heartbeat, executor.now()); … one look …
//   watcher:  heartbeat.trouble(executor.now())   // "" or "no sign of life for 31m"
//
// A thread that waits for work may do so for ever; one that has some and does not come to its next
// beat within `limit` is stuck. Thread-safe; a beat is one store.
#pragma once

#include <atomic>
#include <deque>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"

namespace quay_rotator::runtime {

class Heartbeat {
 public:
  explicit Heartbeat(base::Duration limit) : limit_(limit) {}

  // It is at something that began, or got on, now …
  void beat(base::MonotonicTime now) { since_ = now.time_since_epoch().count(); }
  // … and has nothing to do.
  void rest() { since_ = resting; }

  // Empty when all is well.
  [[nodiscard]] std::string trouble(base::MonotonicTime now) const;

  // One piece of work, for as long as it lives.
  class Work {
   public:
    Work(Heartbeat& heartbeat, base::MonotonicTime now) : heartbeat_(heartbeat) {
      heartbeat_.beat(now);
    }
    ~Work() { heartbeat_.rest(); }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

   private:
    Heartbeat& heartbeat_;
  };

 private:
  static constexpr base::Duration::rep resting =
      base::MonotonicTime::max().time_since_epoch().count();

  const base::Duration limit_;
  std::atomic<base::Duration::rep> since_ = resting;
};

// Those of several threads. Thread-safe.
class Heartbeats {
 public:
  // Lives as long as this.
  Heartbeat& add(std::string name, base::Duration limit);
  // "worker: no sign of life for 31m": the first that is stuck, or nothing.
  [[nodiscard]] std::string trouble(base::MonotonicTime now) const;

 private:
  struct Named {
    std::string name;
    Heartbeat heartbeat;
    Named(std::string name_, base::Duration limit) : name(std::move(name_)), heartbeat(limit) {}
  };

  mutable base::Mutex mutex_;
  std::deque<Named> all_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::runtime
