// Which object is looked at next, and by how many workers at once for whom.
//
// A key is never with two workers: added while in work, it runs once more afterwards. Keys wait in
// four classes of urgency and, within each, in lanes: what may be slow or dead together, a
// connection. The lanes of a class take turns; within a lane first in, first out. A key that is
// added twice keeps the more urgent class and the earlier time. Failures are counted for each key.
//
// Whoever holds a worker may hold it for as long as a server keeps silent, so each lane and each
// namespace has a share (Shares), and what a run needs of its lane's rate limit is reserved before:
// a worker never waits for it.
//
// Taking a key drops the time it was to come back at: whoever works on it says when it is next due.
//
// Thread-safe. Must outlive its workers; `executor` must outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/backoff.h"
#include "base/executor.h"
#include "kube/object.h"
#include "runtime/lane.h"

namespace quay_rotator::runtime {

enum class Urgency {
  outage,   // an outage may be going on (a ledger)
  urgent,   // a person waits (rotate-now, an edit)
  normal,   // a due time, a damaged Secret
  initial,  // the first look at everything after a start
};

// When a key is to be looked at again, as a look at it ends.
struct Next {
  enum class When {
    changed,  // when something brings it back
    at,       // at `time`, or when something brings it back
    failed,   // after the key's back-off, which grows from look to look that ends so
    gone,     // there is no such object any more
  };
  When when = When::changed;
  base::MonotonicTime time{};
  Urgency urgency = Urgency::normal;

  static Next at(base::MonotonicTime time, Urgency urgency) { return {When::at, time, urgency}; }
  static Next failed() { return {When::failed}; }
  static Next gone() { return {When::gone}; }
  // The earlier of two times; `other` is one, or When::changed.
  [[nodiscard]] Next or_earlier(const Next& other) const;
};

// How many workers may be held at once. Keys without a lane are not counted: what they wait for
// (the API server) all others wait for too. A lane that does not answer, or of which it is not
// known yet, holds one.
struct Shares {
  int lane;        // by a lane
  int name_space;  // by a namespace
  int unproven;    // by all lanes that have not answered yet …
  int failing;     // … and by all that do not
  int doubtful;    // by a namespace's lanes of both kinds
  // By runs that nobody waits for (normal, initial) and that began within the last second: where
  // everything answers at once more of them only wait for each other, with whoever is urgent behind
  // them. One that waits for a server soon counts no more.
  int young;

  // A lane gets a third, but no more than a server likes; a namespace half, all failing lanes two;
  // young runs a quarter.
  static Shares of(int workers);
};

// What a worker takes.
enum class Serves {
  everything,
  ledgers,  // outages only, and only of lanes that answer: so a ledger never waits for others'
            // calls
};

class WorkQueue {
 public:
  struct Metrics {  // each may be empty; they must not call the queue
    std::function<void(std::size_t depth)> depth;
    std::function<void(base::Duration waited)> started;
    std::function<void(base::Duration worked)> finished;
  };

  // Delays after failures follow `backoff`.
  WorkQueue(base::Executor& executor, base::BackoffPolicy backoff, Metrics metrics = {},
            Shares shares = Shares::of(8));
  ~WorkQueue();

  void add(const kube::ObjectKey& key, Urgency urgency);
  // The key is of that lane from now on, until it is removed.
  void add(const kube::ObjectKey& key, Urgency urgency, const std::shared_ptr<Lane>& lane);
  // At that time, or earlier if something else adds the key earlier.
  void add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency);
  void add_at(const kube::ObjectKey& key, base::MonotonicTime time, Urgency urgency,
              const std::shared_ptr<Lane>& lane);
  // After the key's back-off, which grows with each call until the key is worked on without one.
  // Returns the delay.
  base::Duration add_after_failure(const kube::ObjectKey& key, Urgency urgency);
  // Drops a key that no longer exists.
  void remove(const kube::ObjectKey& key);

  // From now on only keys of that urgency, or a greater one, are handed out; at first all are.
  void admit(Urgency least);

  // Blocks for the next key; nothing when a stop was requested. Every key taken must be given to
  // done() by the same worker, who then takes the next or stops.
  std::optional<kube::ObjectKey> take(const std::stop_token& stop,
                                      Serves serves = Serves::everything);
  // Permits of the lane's rate limit for a run of `key`, which the caller works on and is about to
  // begin. False: not yet. Then the key comes back when they are there, before those of less
  // urgency in its lane; another add() may bring it back earlier without them.
  bool reserve(const kube::ObjectKey& key, int permits, Urgency urgency);
  void done(const kube::ObjectKey& key, const Next& next = {});

  // Keys ready to be worked on.
  [[nodiscard]] std::size_t depth() const;
  // The lanes of that health, and their keys that are due and wait for a worker or for permits.
  struct LaneLoad {
    std::size_t lanes = 0;
    std::size_t waiting = 0;
    base::Duration oldest{};  // since the first of them was due
  };
  // By Lane::Health. Looks at every lane: for a scrape.
  [[nodiscard]] std::map<Lane::Health, LaneLoad> lane_loads() const;

 private:
  struct State;
  void report_depth();

  base::Executor& executor_;
  base::BackoffPolicy backoff_;
  Metrics metrics_;
  std::unique_ptr<State> state_;
};

}  // namespace quay_rotator::runtime
