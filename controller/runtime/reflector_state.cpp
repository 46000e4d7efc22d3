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
  if (phase_ == Phase::watching) return Watch{version_};
  return ListPage{continue_token_, limit_, continue_token_.empty()};
}

void ReflectorState::on_page(const std::string& resource_version,
                             const std::string& continue_token) {
  version_ = resource_version;
  continue_token_ = continue_token;
  if (continue_token.empty()) phase_ = Phase::watching;
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
  if (lived >= healthy_life) failures_ = 0;
  if (lived < shortest_sound_life && events == 0) back_off(random);
}

void ReflectorState::on_watch_error(const kube::Error& error, base::Duration lived,
                                    std::uint64_t random) {
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

void ReflectorState::on_waited() {
  wait_ = base::Duration::zero();
}

void ReflectorState::back_off(std::uint64_t random,
                              const std::optional<base::Duration>& retry_after) {
  ++failures_;
  wait_ = std::max(base::backoff_delay(policy, failures_, random),
                   retry_after.value_or(base::Duration::zero()));
}

void ReflectorState::relist() {
  phase_ = Phase::listing;
  continue_token_.clear();
  limit_ = page_limit;
}

}  // namespace quay_rotator::runtime
