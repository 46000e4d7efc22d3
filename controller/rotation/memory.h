// What a process remembers about one resource between two looks, as a value: no clock, no lock.
//
// A process that starts with an empty memory decides the same, later at the most. All times are of
// one process's monotonic clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/robot_token_rotation.h"
#include "base/backoff.h"
#include "base/fingerprint.h"
#include "base/time.h"

namespace quay_rotator::rotation {

// Nothing is broken but a rotation cannot be done: no hurry. With a ledger pods may be failing;
// unless Quay has just said that the token of before is there: that one works.
inline constexpr base::BackoffPolicy ordinary_backoff{std::chrono::seconds(5),
                                                      std::chrono::minutes(5)};
inline constexpr base::BackoffPolicy ledger_backoff{std::chrono::milliseconds(250),
                                                    std::chrono::seconds(15)};
inline constexpr base::BackoffPolicy hold_backoff{std::chrono::milliseconds(250),
                                                  std::chrono::minutes(1)};

// The wait before the next try after `failures` of them (at least 1). What another party asks for
// (`Retry-After`) counts up to the policy's own longest wait.
base::Duration retry_delay(const base::BackoffPolicy& policy, int failures, std::uint64_t random,
                           std::optional<base::Duration> asked_for);

// Tells one POST's ledger from the next one's; "": there is none.
std::string ledger_name(const std::optional<api::Ledger>& ledger);

// Not synchronized.
class Memory {
 public:
  // A look begins: drops what is of no use any more. Another uid is another resource.
  void look(const std::string& uid, const api::RobotTokenRotationStatus& status,
            base::MonotonicTime now);
  // Most resources rest, and need no memory.
  [[nodiscard]] bool empty() const;

  // The ledger: how long ago this process first saw it. Each attempt is another one.
  [[nodiscard]] base::Duration ledger_age(base::MonotonicTime now) const {
    return now - ledger_seen_;
  }
  // … and how many runs have failed to settle it.
  [[nodiscard]] int ledger_failures() const { return ledger_failures_; }
  void count_ledger_failure() { ++ledger_failures_; }

  // What has failed once more is tried again by this policy, after `failures` before it. A ledger
  // that stays `open` counts its own; else the status does.
  struct Patience {
    base::BackoffPolicy policy;
    int failures = 0;
  };
  [[nodiscard]] Patience patience(bool open, const api::RobotTokenRotationStatus& status) const {
    return open ? Patience{ledger_backoff, ledger_failures_}
                : Patience{ordinary_backoff, status.consecutive_failures};
  }

  // Back-off. `inputs` is what a person can change to end it early.
  void wait(base::MonotonicTime until, std::string inputs);
  void stop_waiting();
  [[nodiscard]] bool waits(const std::string& inputs, base::MonotonicTime now) const {
    return not_before_ > now && inputs_ == inputs;
  }
  [[nodiscard]] base::MonotonicTime not_before() const { return not_before_; }
  // A restart does not end a back-off; a clock that jumped does not make it longer.
  void resume_waiting(base::WallTime retry_after, base::WallTime wall_now, base::MonotonicTime now,
                      std::string inputs);

  // Something has changed that ends a wait.
  void note_news();
  // The organization's list shows another token than the status, or none. What was not listed
  // before is news, which ends a wait; `news` tells whether anything came since.
  void note_drift(std::optional<base::Fingerprint> listed);
  [[nodiscard]] bool drifted() const { return drifted_; }
  [[nodiscard]] std::uint64_t news() const { return news_; }
  // A run that began at `news` has looked at Quay: what came meanwhile is still to be looked at.
  void settle_drift(std::uint64_t news);

  // What Quay answered to a run: an older token, or nothing but the newest.
  void answered(std::optional<base::Fingerprint> stale, base::MonotonicTime now);
  [[nodiscard]] const std::optional<base::Fingerprint>& stale() const { return stale_; }
  [[nodiscard]] base::Duration stale_for(base::MonotonicTime now) const {
    return now - stale_since_;
  }

  // Something new is to be told of a resource at rest: from when on. Not twice without a pause, for
  // two processes that know different things would tell them in turns.
  base::MonotonicTime tell(base::MonotonicTime now);

  // Runs in a row that had to start over.
  int count_start_over() { return ++start_overs_; }
  void no_start_over() { start_overs_ = 0; }
  [[nodiscard]] int start_overs() const { return start_overs_; }

  // Healed in a row: something undoes what we write. How often by now, 0 the first time.
  int count_heal(base::MonotonicTime now);

  // An earlier POST may still be carried out: the robot is read again for so long.
  void watch(base::Duration hold, base::MonotonicTime now);
  [[nodiscard]] bool watches(base::MonotonicTime now) const { return now < watched_until_; }
  [[nodiscard]] base::MonotonicTime next_watch() const { return next_watch_; }
  void watched(base::MonotonicTime now, std::uint64_t random);

  // Its status speaks of times to come: perhaps it is our clock that is wrong. True once that has
  // lasted.
  bool sees_future(bool future, base::MonotonicTime now);

 private:
  std::string uid_;
  std::string ledger_;  // id and attempt
  base::MonotonicTime ledger_seen_{};
  int ledger_failures_ = 0;
  base::MonotonicTime not_before_{};
  std::string inputs_;
  bool drifted_ = false;
  std::optional<base::Fingerprint> listed_;
  std::uint64_t news_ = 0;
  std::optional<base::Fingerprint> stale_;
  base::MonotonicTime stale_since_{};
  int start_overs_ = 0;
  int heals_ = 0;
  std::optional<base::MonotonicTime> healed_;
  base::MonotonicTime watched_until_{};
  base::MonotonicTime next_watch_{};
  int watches_ = 0;
  std::optional<base::MonotonicTime> future_since_;
  std::optional<base::MonotonicTime> told_;
};

}  // namespace quay_rotator::rotation
