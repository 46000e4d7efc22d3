#include "rotation/memory.h"

#include <algorithm>
#include <utility>

namespace quay_rotator::rotation {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr base::Duration heals_forgotten = minutes(10);
constexpr base::Duration telling_pause = seconds(10);
constexpr base::BackoffPolicy watch_backoff{seconds(5), minutes(1)};
// A clock that is set right by then was ours.
constexpr base::Duration future_believed = minutes(30);

}  // namespace

base::Duration retry_delay(const base::BackoffPolicy& policy, int failures, std::uint64_t random,
                           std::optional<base::Duration> asked_for) {
  const base::Duration delay = base::backoff_delay(policy, std::max(1, failures), random);
  return std::max(delay, std::min(asked_for.value_or(base::Duration::zero()), policy.most));
}

std::string ledger_name(const std::optional<api::Ledger>& ledger) {
  return ledger ? ledger->id + "/" + std::to_string(ledger->attempt) : "";
}

void Memory::look(const std::string& uid, const api::RobotTokenRotationStatus& status,
                  base::MonotonicTime now) {
  if (!uid_.empty() && uid_ != uid) *this = Memory{};
  uid_ = uid;
  const std::string ledger = status.has_unreadable_ledger()
                                 ? "unreadable: " + status.unreadable->why
                                 : ledger_name(status.rotation);
  if (ledger_ != ledger) {
    ledger_ = ledger;
    ledger_seen_ = now;
    ledger_failures_ = 0;
  }
  if (!status.retry_after && not_before_ <= now) stop_waiting();
  if (healed_ && now - *healed_ >= heals_forgotten) {
    heals_ = 0;
    healed_.reset();
  }
  if (told_ && now >= *told_ + telling_pause) told_.reset();
  if (!watches(now)) watches_ = 0;
}

bool Memory::empty() const {
  return ledger_.empty() && not_before_ == base::MonotonicTime{} && inputs_.empty() && !drifted_ &&
         !stale_ && start_overs_ == 0 && !healed_ && watches_ == 0 && !future_since_ && !told_;
}

base::MonotonicTime Memory::tell(base::MonotonicTime now) {
  if (told_ && now < *told_ + telling_pause) return *told_ + telling_pause;
  told_ = now;
  return now;
}

void Memory::wait(base::MonotonicTime until, std::string inputs) {
  not_before_ = until;
  inputs_ = std::move(inputs);
}

void Memory::stop_waiting() {
  not_before_ = {};
  inputs_.clear();
}

void Memory::resume_waiting(base::WallTime retry_after, base::WallTime wall_now,
                            base::MonotonicTime now, std::string inputs) {
  if (!inputs_.empty() || !ledger_.empty()) return;
  // As times, not as their difference: any two wall times may be too far apart for one.
  const base::WallTime until =
      std::clamp(retry_after, wall_now,
                 wall_now + std::chrono::ceil<base::WallTime::duration>(ordinary_backoff.most));
  wait(now + (until - wall_now), std::move(inputs));
}

void Memory::note_news() {
  ++news_;
  not_before_ = {};  // but not its inputs: the status' retryAfter does not bring the wait back
}

void Memory::note_drift(std::optional<base::Fingerprint> listed) {
  const bool news = !drifted_ || listed_ != listed;
  drifted_ = true;
  listed_ = listed;
  if (news) note_news();
}

void Memory::settle_drift(std::uint64_t news) {
  if (news == news_) drifted_ = false;
}

void Memory::answered(std::optional<base::Fingerprint> stale, base::MonotonicTime now) {
  if (stale_ == stale) return;
  stale_ = stale;
  stale_since_ = now;
}

int Memory::count_heal(base::MonotonicTime now) {
  heals_ = healed_ && now - *healed_ < heals_forgotten ? heals_ + 1 : 0;
  healed_ = now;
  return heals_;
}

void Memory::watch(base::Duration hold, base::MonotonicTime now) {
  watched_until_ = now + hold;
  next_watch_ = now + watch_backoff.first;
  watches_ = 1;
}

void Memory::watched(base::MonotonicTime now, std::uint64_t random) {
  if (watches(now)) next_watch_ = now + base::backoff_delay(watch_backoff, ++watches_, random);
}

bool Memory::sees_future(bool future, base::MonotonicTime now) {
  if (!future) {
    future_since_.reset();
    return false;
  }
  if (!future_since_) future_since_ = now;
  return now - *future_since_ >= future_believed;
}

}  // namespace quay_rotator::rotation
