#include "simulation/promises/no_bad_neighbour.h"

#include <algorithm>
#include <utility>

#include "support/pull_secret.h"

namespace quay_rotator::simulation {

using nlohmann::json;

namespace {

bool handled(const json& rotation, const std::string& request) {
  return text_at(rotation, "/status/lastHandledRotateRequest") == request;
}

}  // namespace

bool NoBadNeighbour::undisturbed(const Rotation& rotation, base::MonotonicTime since) const {
  const auto serving = serving_since ? serving_since() : std::nullopt;
  return serving && *serving + Calm::after < since &&
         known().disturbed(rotation) + Calm::after < since;
}

void NoBadNeighbour::on_rotation(const Change& change) {
  if (!change.after || !change.before) {
    waits_.erase(change.key);
    outages_.erase(change.key);
    return;
  }
  const json& after = *change.after;
  const std::string request = request_of(after);
  const auto wait = waits_.find(change.key);
  if (wait != waits_.end() && handled(after, wait->second.request)) {
    ++timed_;
    waits_.erase(wait);
  }
  if (change.caller != nullptr) return;
  // Somebody changed something: only what a healthy resource is asked for counts.
  waits_.erase(change.key);
  const Rotation& rotation = *known().rotation(change.key);
  const base::MonotonicTime now = known().world.now();
  const bool healthy = condition_is_true(after, "Ready") && !condition_is_true(after, "Conflict") &&
                       !has_ledger(after) && !after["spec"].value("suspend", false);
  if (request == request_of(*change.before) || request.empty() || !healthy) return;
  if (known().has_rate_limit(rotation) || !undisturbed(rotation, now)) return;
  waits_[change.key] = {rotation.uid(), request, now};
}

void NoBadNeighbour::look() {
  for (auto wait = waits_.begin(); wait != waits_.end();) {
    const Rotation* rotation = known().rotation(wait->first);
    if (rotation == nullptr || !undisturbed(*rotation, wait->second.since)) {
      wait = waits_.erase(wait);
    } else if (known().world.now() - wait->second.since > served_within) {
      violate("I8 " + wait->first.text() +
              " asked for a rotation, had nothing in its way and waits");
      wait = waits_.erase(wait);
    } else {
      ++wait;
    }
  }
}

void NoBadNeighbour::on_commit(const Sent& sent) {
  if (!sent.holder || retires(sent.ledger->content)) return;
  // Nobody waits for it any more, and it is found as drift is; or there are other targets now, that
  // are healed.
  if (sent.late || known().edited_since(sent.holder->key, sent.ledger->time)) {
    outages_.erase(sent.holder->key);
    return;
  }
  Outage outage{sent.ledger->uid, sent.token, known().world.now(), {}};
  for (const kube::ObjectKey& target : targets_of(*sent.holder->object)) {
    outage.pending.insert(target);
  }
  outages_[sent.holder->key] = std::move(outage);
}

void NoBadNeighbour::on_secret(const Change& change) {
  if (change.caller == nullptr || !change.after) return;
  for (auto outage = outages_.begin(); outage != outages_.end();) {
    const bool current = testing::token_in(*change.after) == outage->second.token;
    if (!current || outage->second.pending.erase(change.key) == 0 ||
        !outage->second.pending.empty()) {
      ++outage;
      continue;
    }
    end(outage->first, outage->second);
    outage = outages_.erase(outage);
  }
}

void NoBadNeighbour::end(const kube::ObjectKey& key, const Outage& outage) {
  const Rotation* rotation = known().rotation(key);
  const auto serving = serving_since ? serving_since() : std::nullopt;
  if (rotation == nullptr || rotation->uid() != outage.uid || !serving) return;
  const base::MonotonicTime calm = std::max({known().disturbed(*rotation), *serving, outage.began});
  const base::Duration took = known().world.now() - calm;
  if (took <= settled_within) return;
  violate("I8 the Secrets of " + key.text() + " held a dead token for " +
          base::format_duration(took) + " after all was calm");
}

}  // namespace quay_rotator::simulation
