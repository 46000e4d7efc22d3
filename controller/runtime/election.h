// Leader election on a Lease, as client-go does it: 15 s lease, 10 s renew deadline, 2 s retry.
//
// A lease is no fence: two leaders can overlap, so every write is safe under that by itself.
// Expiry is judged by our own monotonic clock since the record last changed, never by its stamps.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"

namespace quay_rotator::runtime {

struct ElectionOptions {
  kube::ObjectKey lease;
  std::string identity;  // the pod's name: a container that restarts takes its own lease at once
  base::Duration lease_duration = std::chrono::seconds(15);
  base::Duration renew_deadline = std::chrono::seconds(10);
  base::Duration retry_period = std::chrono::seconds(2);
};

// What the Lease says, as far as the election cares.
struct LeaseRecord {
  std::string holder;
  base::Duration duration{};
  std::string acquire_time;
  std::string renew_time;
  int transitions = 0;
  std::string resource_version;
  bool operator==(const LeaseRecord&) const = default;
};

// The decision: pure.
class ElectionState {
 public:
  enum class Verdict {
    create,   // there is no lease: create it
    acquire,  // it is ours, released or expired: write it with its resourceVersion
    wait,     // somebody holds it
  };
  explicit ElectionState(ElectionOptions options) : options_(std::move(options)) {}
  Verdict observe(const std::optional<LeaseRecord>& record, base::MonotonicTime now);
  // A write of ours went through.
  void renewed(const LeaseRecord& record, base::MonotonicTime request_started);
  // We hold the lease and may act on it.
  [[nodiscard]] bool leading(base::MonotonicTime now) const;
  [[nodiscard]] const std::optional<LeaseRecord>& record() const { return record_; }

 private:
  ElectionOptions options_;
  std::optional<LeaseRecord> record_;
  base::MonotonicTime changed_at_{};
  std::optional<base::MonotonicTime> renewed_at_;
};

// Owns its thread. `client` should have a connection of its own. Thread-safe.
class Election {
 public:
  Election(ElectionOptions options, kube::Client& client, base::Executor& executor, base::Log log);
  ~Election();

  // Blocks until we lead; false when a stop was requested first.
  bool wait_until_leading(const std::stop_token& stop);
  // Judged by the clock at this instant: a process that was frozen past its lease sees false.
  [[nodiscard]] bool leading() const;
  // Called once, from the election's thread, when a lease that we held is lost.
  void on_lost(std::function<void()> callback);
  // Gives the lease up so that another replica need not wait; after this leading() is false. Call
  // when all work has stopped.
  void release();

 private:
  struct State;
  void run(const std::stop_token& stop);
  std::shared_ptr<State> state_;
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace quay_rotator::runtime
