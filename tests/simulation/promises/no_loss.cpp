#include "simulation/promises/no_loss.h"

#include <algorithm>

#include "api/managed_secret.h"
#include "base/base64.h"
#include "support/pull_secret.h"

namespace quay_rotator::simulation {

using nlohmann::json;

void NoLoss::on_rotation(const Change& change) {
  if (!change.after) return;
  check_goes_on(change);
  const json& after = *change.after;
  std::vector<kube::ObjectKey>& promised = promised_[text_at(after, "/metadata/uid")];
  const std::vector<kube::ObjectKey> targets = targets_of(after);
  if (!change.before || !has_ledger(*change.before)) {
    promised = targets;
    return;
  }
  std::erase_if(promised, [&](const kube::ObjectKey& target) {
    return std::ranges::find(targets, target) == targets.end();
  });
  // With the API server's older state a rotation is not over, but never began.
  if (change.caller == nullptr) return;
  const std::string token = token_of(after);
  if (has_ledger(after) || token == token_of(*change.before)) return;
  for (const kube::ObjectKey& target : promised) {
    const std::vector<base::Fingerprint>& held = held_[target];
    const auto fingerprint = base::Fingerprint::parse(token);
    if (fingerprint && std::ranges::find(held, *fingerprint) != held.end()) continue;
    violate("I1 the rotation of " + change.key.text() + " is over and Secret " + target.text() +
            " never had its token");
  }
}

void NoLoss::check_goes_on(const Change& change) {
  const json& after = *change.after;
  std::set<std::string>& knew = knew_[text_at(after, "/metadata/uid")];
  const std::string token = token_of(after);
  const std::string before = change.before ? token_of(*change.before) : "";
  const bool changed = !before.empty() && before != token;
  // A backup that somebody brought back knows nothing of what came after it.
  if (changed && change.caller == nullptr && !token.empty()) knew.clear();
  const Rotation* rotation = known().rotation(change.key);
  if (changed && knew.contains(token) && rotation != nullptr && !rotation->robot.host.empty() &&
      !may_go_back(rotation->robot, token)) {
    violate("I1 " + change.key.text() + " takes " + token + ", which is older, for news");
  }
  if (!token.empty()) knew.insert(token);
  if (has_ledger(after)) knew.insert(text_at(ledger_of(after), "/previousFingerprint"));
}

// Quay was put back; or it holds that token, and, or a stale read had told of a token from before
// the operator's time, which nobody can tell from a new one.
bool NoLoss::may_go_back(const RobotId& robot, const std::string& fingerprint) const {
  const SimulatedQuay& quay = known().quay_of(robot);
  return quay.was_put_back(robot.name) ||
         fingerprint == base::Fingerprint::of(quay.token_seen(robot.name)).text();
}

void NoLoss::on_secret(const Change& change) {
  const std::string token = change.after ? testing::token_in(*change.after) : "";
  if (token.empty()) return;
  std::vector<base::Fingerprint>& held = held_[change.key];
  const auto fingerprint = base::Fingerprint::of(token);
  if (held.empty() || held.back() != fingerprint) held.push_back(fingerprint);
  if (change.caller != nullptr && !token.starts_with(token_mark)) {
    violate("I1 what the operator wrote in " + change.key.text() + " is no token");
  }
}

void NoLoss::add_unsettled(std::vector<std::string>& problems) const {
  const auto expect = [&](bool good, const std::string& otherwise) {
    if (!good) problems.push_back("I1 " + otherwise);
  };
  for (const auto& [key, rotation] : known().rotations()) {
    if (rotation.robot.host.empty()) continue;  // no Quay of this world
    if (known().claimants(rotation.robot).front().key != key) continue;
    const json& object = *rotation.object;
    const std::string who = key.text();
    SimulatedQuay& quay = known().quay_of(rotation.robot);
    expect(!has_ledger(object), who + " still has its ledger");
    expect(condition_is_true(object, "Ready") || spares_standby(rotation), who + " is not Ready");
    const std::string token = quay.token(rotation.robot.name);
    expect(token_of(object) == base::Fingerprint::of(token).text(),
           "the status of " + who + " knows another token than Quay");
    const std::string request = request_of(object);
    expect(text_at(object, "/status/lastHandledRotateRequest") == request,
           who + " has not handled " + request);
    // Whose new token it was that a lost answer left behind cannot be told apart.
    expect(request.empty() || known().served(rotation.uid(), request) ||
               known().had_excused(rotation.robot) || quay.regenerated_in_ui(rotation.robot.name),
           who + " says that it has handled " + request + " and has not");
    for (const kube::ObjectKey& target : targets_of(object)) {
      const std::string problem = check_target(rotation, target, token);
      expect(problem.empty(), "Secret " + target.text() + " " + problem);
    }
  }
}

// A process that slept through a turn may log in with the token of before when it wakes: a use like
// anybody's, which a person has to judge.
bool NoLoss::spares_standby(const Rotation& rotation) const {
  if (rotation.standby.name.empty()) return false;
  const json status = rotation.object->value("status", json::object());
  for (const json& robot : status.value("robots", json::array())) {
    if (robot.value("name", "") != rotation.standby.name) continue;
    const auto replaced = base::parse_time(robot.value("replacedAt", ""));
    const auto used = known().quay_of(rotation.standby).last_accessed(rotation.standby.name);
    return replaced && used && *used > *replaced;
  }
  return false;
}

std::string NoLoss::check_target(const Rotation& rotation, const kube::ObjectKey& target,
                                 const std::string& token) const {
  const auto secret = known().api.find(kube::secrets, target);
  if (!secret) return "is missing";
  const auto data =
      base::base64_decode((*secret)["data"].value(std::string(api::docker_config_key), ""));
  const json config =
      data ? json::parse(data->reveal(), nullptr, /*allow_exceptions=*/false) : json();
  const std::string& name = rotation.robot.name;
  const json wanted{{"auths",
                     {{rotation.robot.host,
                       {{"username", name},
                        {"password", token},
                        {"auth", base::base64_encode(name + ":" + token).reveal()}}}}}};
  return config == wanted ? "" : "does not hold Quay's token";
}

}  // namespace quay_rotator::simulation
