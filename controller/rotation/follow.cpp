#include "rotation/follow.h"

#include <algorithm>

namespace quay_rotator::rotation {

namespace {

constexpr base::Duration often = std::chrono::milliseconds(20);
// What has not come by then is not on its way: a right is missing.
constexpr base::Duration long_enough = std::chrono::seconds(30);
constexpr base::Duration seldom = std::chrono::seconds(1);

std::string waits_for(const runtime::Reflector& reflector) {
  if (reflector.synced()) return "";
  std::string trouble = reflector.trouble();
  return trouble.empty() ? "listing" : trouble;
}

}  // namespace

std::string NamespaceCaches::waits_for() const {
  std::string waits = rotation::waits_for(*connections);
  for (auto other = others.begin(); waits.empty() && other != others.end(); ++other) {
    waits = rotation::waits_for(**other);
  }
  return waits.empty() || name.empty() ? waits : "namespace " + name + ": " + waits;
}

void follow(const std::vector<NamespaceCaches>& caches, Wake& wake, base::Executor& executor,
            const base::Log& log, const std::function<void()>& first_complete,
            const std::stop_token& stop) {
  std::vector<const NamespaceCaches*> incomplete;
  for (const NamespaceCaches& each : caches) incomplete.push_back(&each);
  const base::MonotonicTime began = executor.now();
  bool told = false;
  for (;;) {
    std::erase_if(incomplete, [&](const NamespaceCaches* each) {
      if (!each->connections->synced()) return false;
      const bool complete = each->waits_for().empty();
      wake.see(each->name, complete ? Sight::Extent::everything : Sight::Extent::connections);
      return complete;
    });
    if (incomplete.size() < caches.size() && !told) {
      told = true;
      first_complete();
    }
    if (incomplete.empty()) return;
    const bool late = executor.now() - began >= long_enough;
    if (late && executor.now() - began < long_enough + often) {
      for (const NamespaceCaches* each : incomplete) {
        log.error(
            "a namespace cannot be read: nothing is rotated in it, and in the others only for "
            "resources that have found before that nobody else owns their robot",
            {{"namespace", each->name}, {"error", each->waits_for()}});
        wake.cannot_see(each->name, each->waits_for());
      }
    }
    if (!executor.sleep_for(late ? seldom : often, stop)) return;
  }
}

}  // namespace quay_rotator::rotation
