// Leader election on a Lease, as client-go does it: 15 s lease, 10 s renew deadline, 2 s retry.
//
// A lease is no fence: two leaders can overlap, so every write is safe under that by itself.
// Expiry is judged by our own monotonic clock since the record last changed, never by its stamps.
// We call ourselves leader for `renew_deadline` from the start of the last request that renewed
// the lease; others wait for `lease_duration` from when they saw that renewal, which is later.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"

namespace quay_rotator::runtime {

struct ElectionOptions {
  kube::ObjectKey lease;
  std::string identity;  // see election_identity
  base::Duration lease_duration = std::chrono::seconds(15);
  base::Duration renew_deadline = std::chrono::seconds(10);
  base::Duration retry_period = std::chrono::seconds(2);
  // The Lease that is read is older than the one that was known (kube::proves_lost_history). Called
  // from the election's thread, must not block. May be empty.
  std::function<void()> on_lost_history = {};
};

// Who we are in the Lease. The pod's name, which is unique, so that a container that restarts takes
// its own lease back at once; where there is no pod, "host_0123456789abcdef" with that number: two
// processes of one host are two.
std::string election_identity(const std::string& pod, const std::string& host,
                              std::uint64_t random);

// What the Lease says, as far as the election cares. Stamps are text: they are compared, not read.
struct LeaseRecord {
  std::string holder;  // "" when it was released
  base::Duration duration{};
  std::string acquire_time;
  std::string renew_time;
  int transitions = 0;
  bool operator==(const LeaseRecord&) const = default;
};

// The decision: pure. Not synchronized.
class ElectionState {
 public:
  enum class Verdict {
    create,   // there is no lease: create it
    acquire,  // it is ours, released or expired: write it with its resourceVersion
    wait,     // somebody holds it
  };
  explicit ElectionState(ElectionOptions options) : options_(std::move(options)) {}
  // The lease was read; nothing when there is none.
  Verdict observe(const std::optional<LeaseRecord>& record, base::MonotonicTime now);
  // What to write when the verdict is create or acquire; `stamp` is the wall clock's.
  [[nodiscard]] LeaseRecord claim(const std::string& stamp) const;
  // A write of ours went through.
  void renewed(const LeaseRecord& record, base::MonotonicTime request_started);
  // Until when we may act, unless the lease is renewed; nothing when we do not hold it.
  [[nodiscard]] std::optional<base::MonotonicTime> leading_until() const;
  [[nodiscard]] bool leading(base::MonotonicTime now) const;

 private:
  ElectionOptions options_;
  std::optional<LeaseRecord> record_;
  base::MonotonicTime changed_at_{};
  std::optional<base::MonotonicTime> renewed_at_;
};

// Owns its thread. `client` should have a connection of its own and a deadline of half the renew
// deadline. Thread-safe. A lease that was lost is not competed for again: the process is to end.
class Election {
 public:
  Election(ElectionOptions options, kube::Client& client, base::Executor& executor,
           const base::Log& log);
  ~Election();

  // Blocks until we lead; false when a stop was requested first.
  bool wait_until_leading(const std::stop_token& stop);
  // Judged by the clock at this instant: a process that was frozen past its lease sees false.
  [[nodiscard]] bool leading() const;
  // What keeps the election's thread from renewing or asking for the lease; empty when it gets on.
  [[nodiscard]] std::string stuck() const;
  // Called once, from the election's thread, when a lease that we held is lost; at once and from
  // this thread when it is lost already.
  void on_lost(std::function<void()> callback);
  // Gives the lease up so that another replica need not wait; leading() is false from the start of
  // this, and on_lost is not called. Blocks for a request or two; a failure only means that the
  // others wait. Call when all work has stopped.
  void release();

 private:
  struct Driver;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace quay_rotator::runtime
