#include "simulation/promises/knowledge.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "api/robot_token_rotation.h"

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

const json::json_pointer ledger_pointer("/status/rotation");

// Of one regenerate call: see ReplicaOptions.
constexpr base::Duration request_deadline = std::chrono::seconds(30);

bool is_restored(const json& rotation) {
  const json annotations = rotation["metadata"].value("annotations", json::object());
  return annotations.contains(std::string(api::initialized_annotation)) &&
         token_of(rotation).empty() && !has_ledger(rotation);
}

kube::ObjectKey key_of(const json& object) {
  return {text_at(object, "/metadata/namespace"), text_at(object, "/metadata/name")};
}

}  // namespace

namespace {

// The spec's robot and its standby, "" where there is none.
std::pair<std::string, std::string> robots_of(const json& rotation) {
  const std::string organization = text_at(rotation, "/spec/robot/organization");
  const std::string prefix = (organization.empty() ? "admin" : organization) + "+";
  const std::string standby = text_at(rotation, "/spec/strategy/alternate/standby/name");
  return {prefix + text_at(rotation, "/spec/robot/name"), standby.empty() ? "" : prefix + standby};
}

// What the status says of the robot whose token the targets hold; "" for nothing.
std::string of_active(const json& rotation, std::string_view member) {
  const json none = json::array();
  const json::json_pointer robots("/status/robots");
  for (const json& robot : rotation.contains(robots) ? rotation[robots] : none) {
    if (text_at(robot, "/role") == "Active") return text_at(robot, member);
  }
  return "";
}

}  // namespace

std::string robot_of(const json& rotation) {
  const auto [robot, standby] = robots_of(rotation);
  return !standby.empty() && of_active(rotation, "/name") == standby ? standby : robot;
}

std::string standby_of(const json& rotation) {
  const auto [robot, standby] = robots_of(rotation);
  return standby.empty() || of_active(rotation, "/name") != standby ? standby : robot;
}

bool retires(const json& ledger) {
  return ledger.value("reason", "") == "Retire";
}

std::string token_of(const json& rotation) {
  return of_active(rotation, "/fingerprint");
}

kube::ObjectKey connection_of(const json& rotation) {
  return {key_of(rotation).name_space, text_at(rotation, "/spec/connectionRef/name")};
}

std::vector<kube::ObjectKey> targets_of(const json& rotation) {
  std::vector<kube::ObjectKey> keys;
  for (const json& target : rotation["spec"]["targets"]) {
    keys.push_back({key_of(rotation).name_space, text_at(target, "/secret/name")});
  }
  return keys;
}

std::string request_of(const json& rotation) {
  const json annotations = rotation["metadata"].value("annotations", json::object());
  return annotations.value(std::string(api::rotate_requested_annotation), "");
}

bool has_ledger(const json& rotation) {
  return rotation.contains(ledger_pointer) && !rotation[ledger_pointer].is_null();
}

const json& ledger_of(const json& rotation) {
  return rotation[ledger_pointer];
}

bool begins_ledger(const Change& rotation) {
  if (!rotation.after || !has_ledger(*rotation.after)) return false;
  return !rotation.before || !has_ledger(*rotation.before) ||
         ledger_of(*rotation.before) != ledger_of(*rotation.after);
}

bool condition_is_true(const json& object, std::string_view type) {
  const json::json_pointer conditions("/status/conditions");
  if (!object.contains(conditions)) return false;
  return std::ranges::any_of(object[conditions], [&](const json& condition) {
    return condition.value("type", "") == type && condition.value("status", "") == "True";
  });
}

void Knowledge::take(const Change& change) {
  if (change.plural == api::connections.plural) take_connection(change);
  if (change.plural != api::rotations.plural) return;
  take_rotation(change.key, change.after);
  const bool edited =
      !change.before || !change.after || (*change.before)["spec"] != (*change.after)["spec"];
  if (change.caller == nullptr && edited) edited_[change.key] = world.now();
  if (!change.after) return;
  if (const std::string request = request_of(*change.after); !request.empty()) {
    const std::string uid = rotations_.at(change.key).uid();
    requested_[uid].insert(request);
    // Until it has a status nothing tells that from what it was asked for before its backup.
    if (is_restored(*change.after)) served_[uid].insert(request);
  }
  if (!begins_ledger(change)) return;
  const Rotation& rotation = rotations_.at(change.key);
  const RobotId of{rotation.robot.host, text_at(ledger_of(*change.after), "/robot")};
  ledgers_[{of, change.caller}] = {rotation.uid(), ledger_of(*change.after), world.now(),
                                   next_order()};
}

void Knowledge::take_rotation(const kube::ObjectKey& key, const SimulatedApiServer::Object& after) {
  std::optional<Rotation> before;
  if (const auto known = rotations_.find(key); known != rotations_.end()) {
    before = known->second;
    rotations_of_[known->second.robot].erase(key);
    rotations_of_[known->second.standby].erase(key);
    rotations_.erase(known);
  }
  if (!after) return;
  const RobotId robot{hosts_[connection_of(*after)], robot_of(*after)};
  const RobotId standby{robot.host, standby_of(*after)};
  rotations_of_[robot].insert(key);
  if (!standby.name.empty()) rotations_of_[standby].insert(key);
  Rotation rotation{key, robot, standby, text_at(*after, "/metadata/creationTimestamp"), after};
  const std::string quay = text_at(*after, "/status/ownership/quay");
  const std::string since = text_at(*after, "/status/ownership/since");
  rotation.by_own_name = quay == robot.host;
  if (!since.empty() && urls_[connection_of(*after)].ends_with("//" + quay)) {
    const bool same = before && before->proof > 0 && before->uid() == rotation.uid() &&
                      text_at(*before->object, "/status/ownership/quay") == quay &&
                      text_at(*before->object, "/status/ownership/since") == since;
    rotation.proof = same ? before->proof : next_order();
    rotation.proven_at = same ? before->proven_at : world.now();
  }
  rotations_[key] = std::move(rotation);
}

void Knowledge::take_connection(const Change& change) {
  if (!change.after) return;  // its rotations do nothing until it is back
  const SimulatedQuay* quay = quay_at(quays, text_at(*change.after, "/spec/url"));
  const std::string host = quay == nullptr ? "" : quay->host();
  const std::string url = text_at(*change.after, "/spec/url");
  hosts_[change.key] = host;
  if (std::exchange(urls_[change.key], url) == url) return;
  const auto all = rotations_;
  for (const auto& [key, rotation] : all) {
    if (connection_of(*rotation.object) == change.key) take_rotation(key, rotation.object);
  }
}

Sent& Knowledge::take_post(const std::string& host, const SimulatedQuay::Post& post) {
  Sent& sent = sent_[{host, post.number}];
  sent.robot = {host, post.robot};
  sent.at = world.wall_now();
  const auto ledger = ledgers_.find({sent.robot, post.caller});
  if (ledger != ledgers_.end()) sent.ledger = ledger->second;
  if (post.held > base::Duration{} && sent.ledger &&
      world.now() - sent.ledger->time >= request_deadline) {
    sent.excused = true;
    // Others who try their targets know nothing of it: it counts from when it was to be sent.
    sent.order = sent.ledger->order;
    return sent;
  }
  sent.order = next_order();
  if (sent.ledger && std::exchange(ledger->second.used, true)) sent.ledger.reset();
  sent.undone = sent.ledger && sent.ledger->lost;
  return sent;
}

Sent Knowledge::take_commit(const std::string& host, const SimulatedQuay::Post& post,
                            const std::string& token) {
  Sent sent = std::move(sent_.extract({host, post.number}).mapped());
  sent.late = post.late;
  sent.token = token;
  sent.excused = sent.excused || sent.undone || post.beyond;
  if (sent.excused) excused_.insert(sent.robot);
  if (!sent.ledger) return sent;
  for (const Rotation& rotation : claimants(sent.robot)) {
    if (rotation.uid() == sent.ledger->uid) sent.holder = rotation;
  }
  return sent;
}

void Knowledge::settle(const Sent& sent) {
  if (!sent.holder || sent.excused) return;
  const std::string request = sent.ledger->content.value("rotateRequest", "");
  if (!request.empty()) served_[sent.ledger->uid].insert(request);
}

bool Knowledge::has_rate_limit(const Rotation& rotation) const {
  const auto connection = api.find(api::connections, connection_of(*rotation.object));
  return connection && (*connection)["spec"].contains("rateLimit");
}

void Knowledge::carry_over(const std::string& old_uid, const std::string& new_uid) {
  std::set<std::string>& served = served_[new_uid];
  for (const Requests* requests : {&requested_, &served_}) {
    const auto old = requests->find(old_uid);
    if (old != requests->end()) served.insert(old->second.begin(), old->second.end());
  }
}

void Knowledge::put_back(Requests done) {
  // What is under way cannot know: the ledger that it is for may be gone, and what that was for is
  // then served again.
  for (auto& [sender, ledger] : ledgers_) ledger.lost = true;
  for (auto& [post, sent] : sent_) sent.undone = true;
  // Where a ledger came back, the token of its POST, which was made since, is taken for its own.
  for (const auto& [key, rotation] : rotations_) {
    if (served_[rotation.uid()] == done[rotation.uid()]) continue;
    excused_.insert(rotation.robot);
    if (!rotation.standby.name.empty()) excused_.insert(rotation.standby);
  }
  served_ = std::move(done);
}

const Rotation* Knowledge::rotation(const kube::ObjectKey& key) const {
  const auto found = rotations_.find(key);
  return found == rotations_.end() ? nullptr : &found->second;
}

std::vector<Rotation> Knowledge::claimants(const RobotId& robot) const {
  std::vector<Rotation> all;
  const auto keys = rotations_of_.find(robot);
  if (keys == rotations_of_.end()) return all;
  for (const kube::ObjectKey& key : keys->second) all.push_back(rotations_.at(key));
  std::ranges::sort(all, [](const Rotation& left, const Rotation& right) {
    const auto seniority = [](const Rotation& rotation) {
      const bool by_word = rotation.proof > 0 && !rotation.by_own_name;
      return std::tuple(rotation.proof == 0, by_word, rotation.proof, rotation.created,
                        rotation.key);
    };
    return seniority(left) < seniority(right);
  });
  return all;
}

std::optional<Rotation> Knowledge::owner(const RobotId& robot) const {
  const std::vector<Rotation> all = claimants(robot);
  if (all.empty() || all.front().proof == 0) return std::nullopt;
  return all.front();
}

SimulatedQuay& Knowledge::quay_of(const RobotId& robot) const {
  return **std::ranges::find(quays, robot.host, [](const auto& quay) { return quay->host(); });
}

}  // namespace quay_rotator::simulation
