#include "simulation/promises/short_outage.h"

#include "api/managed_secret.h"
#include "simulation/api_objects.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

// The way back of Quay's answer, and there of the writes: at most 5 ms each.
constexpr base::Duration one_round = std::chrono::milliseconds(10);

// What the operator's cache holds.
bool labelled(const json& secret) {
  const json labels = secret["metadata"].value("labels", json::object());
  return labels.value(std::string(api::managed_by_label), "") == api::managed_by_value;
}

bool has_former_owner(const json& secret, const std::string& uid) {
  const json owners = secret["metadata"].value("ownerReferences", json::array());
  return !owners.empty() && !is_owned_by(secret, uid);
}

}  // namespace

void ShortOutage::on_commit(const Sent& sent) {
  if (sent.holder && !sent.excused) check_turn(sent);
  if (!sent.holder || sent.late || retires(sent.ledger->content)) {
    outages_.erase(sent.robot);
    return;
  }
  Outage outage{*sent.holder, known().world.now(), one_round, sent.token, {}};
  outage.same_targets = !known().edited_since(sent.holder->key, sent.ledger->time);
  for (const kube::ObjectKey& target : targets_of(*sent.holder->object)) {
    outage.pending.insert(target);
    // Whether there is one that is not ours takes a look at it, all at once again; so does it to
    // take a former owner off.
    const auto secret = known().api.find(kube::secrets, target);
    if (!secret || !labelled(*secret) || has_former_owner(*secret, sent.holder->uid())) {
      outage.allowed = 2 * one_round;
    }
  }
  outages_[sent.robot] = std::move(outage);
}

// Where two robots take turns no target holds the token that dies.
void ShortOutage::check_turn(const Sent& sent) {
  if (sent.holder->standby.name.empty() || known().had_excused(sent.robot)) return;
  // Another leader that was slow may just have written what it knew before the last turn.
  if (known().world.now() - known().disturbed(*sent.holder) <= Calm::after) return;
  for (const kube::ObjectKey& target : targets_of(*sent.holder->object)) {
    const auto secret = known().api.find(kube::secrets, target);
    if (secret && testing::user_in(*secret) == sent.robot.name) {
      violate("I6 a turn killed the token of " + sent.robot.text() + ", which " + target.text() +
              " holds");
    }
  }
}

void ShortOutage::on_secret(const Change& change) {
  if (change.caller == nullptr || !change.after) return;
  for (auto& [robot, outage] : outages_) {
    if (!outage.pending.contains(change.key) || testing::token_in(*change.after) != outage.token) {
      continue;
    }
    outage.pending.erase(change.key);
    if (!outage.pending.empty()) continue;
    // One that somebody replaced, and that a backup of Quay brought back, is a new token again.
    outage.began =
        known().quay_of(robot).has_since(robot.name, outage.token).value_or(outage.began);
    const base::Duration took = known().world.now() - outage.began;
    if (outage.same_targets) measured_[robot] = {outage.token, took};
    if (outage.began - known().disturbed(outage.rotation) <= Calm::after) continue;
    ++timed_;
    if (took > outage.allowed) {
      violate("I6 the outage of " + robot.text() + " was " + base::format_duration(took));
    }
  }
}

void ShortOutage::on_rotation(const Change& change) {
  const Rotation* rotation = known().rotation(change.key);
  if (!change.after || rotation == nullptr || known().clocks_lie) return;
  const auto measured = measured_.find(rotation->robot);
  if (measured == measured_.end()) return;
  const auto& [token, took] = measured->second;
  const json status = change.after->value("status", json::object());
  for (const json& entry : status.value("history", json::array())) {
    if (entry.value("fingerprint", "") != base::Fingerprint::of(token).text()) continue;
    const auto told = base::parse_duration(entry.value("outage", ""));
    if (told && *told < took) {
      violate("I6 the outage of " + rotation->robot.text() + " was " + base::format_duration(took) +
              ", and " + base::format_duration(*told) + " is told");
    }
    measured_.erase(measured);
    return;
  }
}

}  // namespace quay_rotator::simulation
