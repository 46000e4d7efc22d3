// Which object is looked at next.
//
// A key is never with two workers: added while in work, it runs once more afterwards. Keys wait in
// three classes; within a class first in, first out. A key that is added twice keeps the more
// urgent class and the earlier time. Failures are counted for each key.
//
// Taking a key drops the time it was to come back at: whoever works on it says when it is next due.
//
// Thread-safe. Must outlive its workers; `executor` must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/backoff.h"
#include "base/executor.h"
#include "kube/object.h"

namespace quay_rotator::runtime {

enum class Urgency {
  outage,   // an outage may be going on (a ledger)
  urgent,   // a person waits (rotate-now, an edit)
  normal,   // a due time, a damaged Secret
  initial,  // the first look at everything after a start
};

class WorkQueue {
 public:
  struct Metrics {  // each may be empty; they must not call the queue
    std::function<void(std::size_t depth)> depth;
    std::function<void(base::Duration waited)> started;
    std::function<void(base::Duration worked)> finished;
  };

  // Delays after failures follow `backoff`.
  WorkQueue(base::Executor& executor, base::BackoffPolicy backoff, Metrics metrics = {});
  ~WorkQueue();

  void add(const kube::ObjectKey& key, Urgency urgency);
  // At that time, or earlier if something else adds the key earlier.
  void add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency);
  // After the key's back-off, which grows with each call until forget(). Returns the delay.
  base::Duration add_after_failure(const kube::ObjectKey& key, Urgency urgency);
  void forget(const kube::ObjectKey& key);
  // Drops a key that no longer exists from the delay heap and the failure counts.
  void remove(const kube::ObjectKey& key);

  // From now on only keys of that urgency, or a greater one, are handed out; at first all are.
  void admit(Urgency least);

  // Blocks for the next key; nothing when a stop was requested. Every key taken must be given to
  // done() by the same worker.
  std::optional<kube::ObjectKey> take(const std::stop_token& stop);
  void done(const kube::ObjectKey& key);

  // Keys ready to be worked on.
  [[nodiscard]] std::size_t depth() const;

 private:
  struct State;
  void report_depth();

  base::Executor& executor_;
  base::BackoffPolicy backoff_;
  Metrics metrics_;
  std::unique_ptr<State> state_;
};

}  // namespace quay_rotator::runtime
