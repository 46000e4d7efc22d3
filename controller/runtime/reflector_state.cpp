#include "runtime/reflector_state.h"

#include <algorithm>

#include "base/backoff.h"

namespace quay_rotator::runtime {

namespace {

using Kind = kube::Error::Kind;

constexpr int page_limit = 500;
constexpr base::Duration healthy_life = std::chrono::minutes(2);
constexpr base::Duration shortest_sound_life = std::chrono::seconds(1);
constexpr base::BackoffPolicy policy{std::chrono::milliseconds(800), std::chrono::seconds(30)};

}  // namespace

ReflectorState::Action ReflectorState::next() const {
  if (wait_ > base::Duration::zero()) return Wait{wait_};
  if (phase_ == Phase::listing) {
    return ListPage{continue_token_, limit_, continue_token_.empty(), history_};
  }
  if (must_check_ && last_) return Check{version_, *last_};
  return Watch{version_};
}

void ReflectorState::on_page(const std::string& resource_version,
                             const std::string& continue_token) {
  if (history_ == History::goes_on && kube::proves_lost_history(version_, resource_version)) {
    return start_over();
  }
  continue_token_ = continue_token;
  if (!continue_token.empty()) return;
  version_ = resource_version;
  phase_ = Phase::watching;
  history_ = History::goes_on;
  must_check_ = false;
}

void ReflectorState::on_list_error(const kube::Error& error, std::uint64_t random) {
  const bool in_the_middle = !continue_token_.empty();
  if (error.kind == Kind::expired && in_the_middle) {
    // Pages of two snapshots must not mix, and a new paged list could expire again: all at once.
    continue_token_.clear();
    limit_ = 0;
    return;
  }
  // A page that could not be had may be asked for again: its token holds the snapshot.
  const bool may_go_on = error.kind == Kind::unreachable || error.kind == Kind::server ||
                         error.kind == Kind::too_many_requests;
  if (!may_go_on) continue_token_.clear();
  back_off(random, error.retry_after);
}

bool ReflectorState::is_news(std::string_view resource_version) const {
  return !last_ || kube::compare_resource_versions(resource_version, last_->resource_version) > 0;
}

void ReflectorState::on_checked(const std::string& resource_version,
                                const std::optional<std::string>& last) {
  const bool as_told = !last_ || (last_->deleted ? !last : last == last_->resource_version);
  if (!as_told || kube::proves_lost_history(version_, resource_version)) return start_over();
  must_check_ = false;
}

void ReflectorState::on_check_error(const kube::Error& error, std::uint64_t random) {
  switch (error.kind) {
    case Kind::ahead:
      return start_over();
    case Kind::expired:
      return relist();
    case Kind::invalid:  // a server that knows no such question; a watch tells what it can
      must_check_ = false;
      return;
    default:
      back_off(random, error.retry_after);
  }
}

void ReflectorState::on_watch_version(const std::string& resource_version) {
  version_ = resource_version;
}

void ReflectorState::on_watch_status(int code, base::Duration lived, std::uint64_t random) {
  kube::Error error;
  // Any other Status may come again at this version for ever; only a relist gets past it.
  error.kind = code == 410   ? Kind::expired
               : code == 429 ? Kind::too_many_requests
                             : Kind::malformed;
  on_watch_error(error, lived, random);
}

void ReflectorState::on_watch_end(base::Duration lived, int events, std::uint64_t random) {
  check_first();
  if (lived >= healthy_life) failures_ = 0;
  if (lived < shortest_sound_life && events == 0) back_off(random);
}

void ReflectorState::on_watch_error(const kube::Error& error, base::Duration lived,
                                    std::uint64_t random) {
  check_first();
  if (lived >= healthy_life) failures_ = 0;
  switch (error.kind) {
    case Kind::expired:
      // At once, but not in a circle of lists whose versions are too old as soon as they come.
      relist();
      if (failures_ == 0) {
        failures_ = 1;
        return;
      }
      break;
    case Kind::invalid:
    case Kind::malformed:
      relist();
      break;
    default:  // nothing is wrong with the version
      break;
  }
  back_off(random, error.retry_after);
}

void ReflectorState::on_lost_history() {
  // A list that replaces everything is under way; begun anew each time it would never end.
  if (phase_ == Phase::listing && history_ == History::went_back) return;
  start_over();
}

void ReflectorState::on_waited() {
  wait_ = base::Duration::zero();
}

void ReflectorState::back_off(std::uint64_t random,
                              const std::optional<base::Duration>& retry_after) {
  ++failures_;
  wait_ = base::backoff_delay(policy, failures_, random);
  if (!retry_after || *retry_after <= wait_) return;
  // All whom the server sends away at one instant should not come back at one instant.
  const base::Duration asked = std::min(*retry_after, policy.most);
  wait_ = asked + base::Duration(static_cast<base::Duration::rep>(
                      random % static_cast<std::uint64_t>(asked.count() / 4 + 1)));
}

void ReflectorState::relist() {
  phase_ = Phase::listing;
  last_.reset();
  continue_token_.clear();
  limit_ = page_limit;
}

void ReflectorState::check_first() {
  must_check_ = true;
  if (!last_) relist();  // costs no more than to check would
}

void ReflectorState::start_over() {
  history_ = History::went_back;
  relist();
}

}  // namespace quay_rotator::runtime
