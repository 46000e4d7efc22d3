#include "api/robot_token_rotation.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api/field_reader.h"
#include "base/json.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

SecretTarget read_target(FieldReader& element) {
  SecretTarget target;
  target.name = element.required_text("secret.name");
  target.labels = element.texts("secret.labels");
  target.annotations = element.texts("secret.annotations");
  element.each_text("registries", [&](std::string registry) {
    target.registries.push_back(std::move(registry));
  });
  return target;
}

RobotTokenRotationSpec read_spec(FieldReader& object) {
  RobotTokenRotationSpec spec;
  object.choice<bool>("spec.connectionRef.kind", true, {{"QuayConnection", true}});
  spec.connection = object.required_text("spec.connectionRef.name");
  spec.robot = {object.text("spec.robot.organization"), object.required_text("spec.robot.name")};

  if (const auto interval = object.duration("spec.schedule.interval")) {
    spec.interval = *interval;
  } else {
    object.fail("spec.schedule.interval", "expected a duration like 720h, it is missing");
  }
  spec.jitter = object.duration("spec.schedule.jitter").value_or(base::Duration::zero());
  if (spec.interval <= base::Duration::zero()) {
    object.fail("spec.schedule.interval", "expected more than 0s");
  }
  if (spec.jitter >= spec.interval) {
    object.fail("spec.schedule.jitter", "expected less than spec.schedule.interval");
  }

  spec.initial = object.choice<Initial>("spec.initial", Initial::adopt,
                                        {{"Adopt", Initial::adopt}, {"Rotate", Initial::rotate}});
  object.each("spec.targets", [&](FieldReader& element) {
    SecretTarget target = read_target(element);
    if (std::any_of(spec.targets.begin(), spec.targets.end(),
                    [&](const SecretTarget& other) { return other.name == target.name; })) {
      element.fail("secret.name", "expected a name of its own, another target has it too");
    }
    spec.targets.push_back(std::move(target));
  });
  if (spec.targets.empty()) object.fail("spec.targets", "expected at least one target");

  spec.verify =
      object.choice<VerifyLevel>("spec.verify.level", VerifyLevel::login,
                                 {{"None", VerifyLevel::none}, {"Login", VerifyLevel::login}});
  object.choice<bool>("spec.onForeignRotation", true, {{"Adopt", true}});
  spec.deletion_policy = object.choice<DeletionPolicy>(
      "spec.deletionPolicy", DeletionPolicy::retain,
      {{"Delete", DeletionPolicy::delete_}, {"Retain", DeletionPolicy::retain}});
  spec.suspend = object.boolean("spec.suspend", false);
  return spec;
}

int read_count(FieldReader& object, std::string_view path, int fallback) {
  const std::int64_t count = object.integer(path, fallback);
  // Nothing was counted that far, and whoever goes on counting must not overflow.
  constexpr std::int64_t most = 1'000'000'000;
  if (count >= 0) return static_cast<int>(std::min(count, most));
  object.fail(path, "expected a number from 0 on");
  return fallback;
}

std::optional<Ledger> read_ledger(FieldReader& object) {
  if (!object.has("status.rotation")) return std::nullopt;
  Ledger ledger;
  ledger.id = object.required_text("status.rotation.id");
  // Reason and start are for people: a newer version's reason is as good as any.
  const std::string reason = object.text("status.rotation.reason");
  if (reason == "Requested") ledger.reason = RotationReason::requested;
  if (reason == "Initial") ledger.reason = RotationReason::initial;
  ledger.started_at =
      base::parse_time(object.text("status.rotation.startedAt")).value_or(base::WallTime{});
  if (const auto previous = object.fingerprint("status.rotation.previousFingerprint")) {
    ledger.previous = *previous;
  } else {
    object.fail("status.rotation.previousFingerprint", "expected a fingerprint, it is missing");
  }
  ledger.attempt = read_count(object, "status.rotation.attempt", 1);
  ledger.rotate_request = object.text("status.rotation.rotateRequest");
  ledger.request_deadline =
      object.duration("status.rotation.requestDeadline").value_or(base::Duration{});
  return ledger;
}

std::optional<Ownership> read_ownership(FieldReader& object) {
  if (!object.has("status.ownership")) return std::nullopt;
  Ownership ownership;
  ownership.connection = object.text("status.ownership.connection");
  ownership.quay = object.text("status.ownership.quay");
  ownership.alias = object.text("status.ownership.alias");
  ownership.forgeable = object.boolean("status.ownership.forgeable", false);
  ownership.since = object.time("status.ownership.since");
  ownership.refused_since = object.time("status.ownership.refusedSince");
  return ownership;
}

// Reads the members of a status one by one, so that one that makes no sense hides no other.
class StatusReader {
 public:
  explicit StatusReader(const json& whole) : whole_(whole) {}

  // `read` takes a reader of the whole object and "status.<name>".
  template <class T, class Read>
  void member(const char* name, T& place, Read read) {
    FieldReader object(whole_);
    T value = read(object, "status." + std::string(name));
    if (!object.problem()) {
      place = std::move(value);
      return;
    }
    if (!unreadable) unreadable = Unreadable{{}, *object.problem()};
    unreadable->members.emplace_back(name);
  }
  void time(const char* name, std::optional<base::WallTime>& place) {
    member(name, place, [](FieldReader& object, const auto& path) { return object.time(path); });
  }
  void text(const char* name, std::string& place) {
    member(name, place, [](FieldReader& object, const auto& path) { return object.text(path); });
  }

  std::optional<Unreadable> unreadable;

 private:
  const json& whole_;
};

struct Targets {
  int total = 0;
  int current = 0;
  std::vector<FailingTarget> failing;
};

Targets read_targets(FieldReader& object, const std::string& path) {
  Targets targets{
      read_count(object, path + ".total", 0), read_count(object, path + ".current", 0), {}};
  object.each(path + ".failing", [&](FieldReader& element) {
    targets.failing.push_back({element.text("secret"), element.text("reason"),
                               element.text("message"),
                               element.time("since").value_or(base::WallTime{})});
  });
  return targets;
}

std::vector<HistoryEntry> read_history(FieldReader& object, const std::string& path) {
  std::vector<HistoryEntry> history;
  object.each(path, [&](FieldReader& element) {
    history.push_back({element.time("time").value_or(base::WallTime{}), element.text("reason"),
                       element.text("result"), element.duration("outage"),
                       element.fingerprint("fingerprint"),
                       element.fingerprint("previousFingerprint")});
  });
  return history;
}

RobotTokenRotationStatus read_status(const json& whole) {
  RobotTokenRotationStatus status;
  StatusReader reader(whole);
  reader.member("observedGeneration", status.observed_generation,
                [](FieldReader& object, const auto& path) { return object.integer(path, 0); });
  // Conditions follow from all else and are always written whole: unreadable ones are none.
  if (const json* conditions = base::find(whole, "status.conditions")) {
    if (auto read = Conditions::from_json(*conditions)) status.conditions = std::move(*read);
  }
  reader.text("robot", status.robot);
  reader.member("tokenFingerprint", status.token_fingerprint,
                [](FieldReader& object, const auto& path) { return object.fingerprint(path); });
  reader.time("lastRotationTime", status.last_rotation_time);
  reader.time("nextRotationTime", status.next_rotation_time);
  reader.time("tokenKnownSince", status.token_known_since);
  reader.member("rotation", status.rotation,
                [](FieldReader& object, const auto& /*path*/) { return read_ledger(object); });
  reader.member("ownership", status.ownership,
                [](FieldReader& object, const auto& /*path*/) { return read_ownership(object); });
  Targets targets;
  reader.member("targets", targets,
                [](FieldReader& object, const auto& path) { return read_targets(object, path); });
  status.targets_total = targets.total;
  status.targets_current = targets.current;
  status.failing = std::move(targets.failing);
  reader.member("history", status.history,
                [](FieldReader& object, const auto& path) { return read_history(object, path); });
  reader.text("lastHandledRotateRequest", status.last_handled_rotate_request);
  reader.member("consecutiveFailures", status.consecutive_failures,
                [](FieldReader& object, const auto& path) { return read_count(object, path, 0); });
  reader.time("retryAfter", status.retry_after);
  status.unreadable = std::move(reader.unreadable);
  return status;
}

void put(json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

void put(json& object, const char* key, std::int64_t value) {
  if (value != 0) object[key] = value;
}

void put(json& object, const char* key, const std::optional<base::WallTime>& value) {
  if (value) object[key] = base::format_time(*value);
}

void put(json& object, const char* key, const std::optional<base::Fingerprint>& value) {
  if (value) object[key] = value->text();
}

// Not for objects: an empty one says something.
void put(json& object, const char* key, json::array_t value) {
  if (!value.empty()) object[key] = std::move(value);
}

json ledger_json(const Ledger& ledger) {
  json object{{"id", ledger.id},
              {"reason", text(ledger.reason)},
              {"startedAt", base::format_time(ledger.started_at)},
              {"previousFingerprint", ledger.previous.text()},
              {"attempt", ledger.attempt}};
  put(object, "rotateRequest", ledger.rotate_request);
  if (ledger.request_deadline > base::Duration::zero()) {
    object["requestDeadline"] = base::format_duration(ledger.request_deadline);
  }
  return object;
}

json ownership_json(const Ownership& ownership) {
  json object = json::object();
  put(object, "connection", ownership.connection);
  put(object, "quay", ownership.quay);
  put(object, "alias", ownership.alias);
  if (ownership.forgeable) object["forgeable"] = true;
  put(object, "since", ownership.since);
  put(object, "refusedSince", ownership.refused_since);
  return object;
}

json targets_json(const RobotTokenRotationStatus& status) {
  json object{{"total", status.targets_total}, {"current", status.targets_current}};
  json::array_t failing;
  for (const FailingTarget& target : status.failing) {
    failing.push_back({{"secret", target.secret},
                       {"reason", target.reason},
                       {"message", target.message},
                       {"since", base::format_time(target.since)}});
  }
  put(object, "failing", std::move(failing));
  return object;
}

json::array_t history_json(const std::vector<HistoryEntry>& history) {
  json::array_t entries;
  for (const HistoryEntry& entry : history) {
    json object{{"time", base::format_time(entry.time)},
                {"reason", entry.reason},
                {"result", entry.result}};
    if (entry.outage) object["outage"] = base::format_duration(*entry.outage);
    put(object, "fingerprint", entry.fingerprint);
    put(object, "previousFingerprint", entry.previous);
    entries.push_back(std::move(object));
  }
  return entries;
}

}  // namespace

std::string_view text(RotationReason reason) {
  switch (reason) {
    case RotationReason::interval:
      return "Interval";
    case RotationReason::requested:
      return "Requested";
    case RotationReason::initial:
      break;
  }
  return "Initial";
}

base::Expected<RobotTokenRotation> RobotTokenRotation::from_json(const json& object) {
  FieldReader rest(object);
  RobotTokenRotation rotation;
  const Metadata metadata = read_metadata(rest);
  rotation.meta = metadata.meta;
  rotation.generation = metadata.generation;
  rotation.created = metadata.created;
  rotation.deleting = metadata.deleting;
  if (const json* annotations = base::find(object, "metadata.annotations")) {
    const auto text = [&](std::string_view name) {
      const auto value = annotations->find(name);
      const bool there = value != annotations->end() && value->is_string();
      return there ? value->get<std::string>() : std::string();
    };
    rotation.rotate_request = text(rotate_requested_annotation);
    rotation.cluster = text(cluster_annotation);
    rotation.initialized = !text(initialized_annotation).empty();
  }
  rotation.status = read_status(object);
  if (rest.problem()) return tl::unexpected(base::Error{*rest.problem()});

  FieldReader spec(object);
  rotation.spec = read_spec(spec);
  rotation.invalid = spec.problem();
  return rotation;
}

template <class Archive>
void fields(Archive& archive, kube::Is<SecretTarget> auto& target) {
  archive(target.name, target.labels, target.annotations);
  archive.shared_each(target.registries);
}

template <class Archive>
void fields(Archive& archive, kube::Is<RobotTokenRotationSpec> auto& spec) {
  archive(spec.connection, spec.robot.organization, spec.robot.name, spec.interval, spec.jitter,
          spec.initial, spec.targets, spec.verify, spec.deletion_policy, spec.suspend);
}

template <class Archive>
void fields(Archive& archive, kube::Is<Ledger> auto& ledger) {
  archive(ledger.id, ledger.reason, ledger.started_at, ledger.previous, ledger.attempt,
          ledger.rotate_request, ledger.request_deadline);
}

template <class Archive>
void fields(Archive& archive, kube::Is<Ownership> auto& ownership) {
  archive.shared(ownership.connection, ownership.quay, ownership.alias);
  archive(ownership.forgeable, ownership.since, ownership.refused_since);
}

template <class Archive>
void fields(Archive& archive, kube::Is<FailingTarget> auto& target) {
  archive(target.secret, target.message, target.since);
  archive.shared(target.reason);
}

template <class Archive>
void fields(Archive& archive, kube::Is<HistoryEntry> auto& entry) {
  archive(entry.time, entry.outage, entry.fingerprint, entry.previous);
  archive.shared(entry.reason, entry.result);
}

template <class Archive>
void fields(Archive& archive, kube::Is<Unreadable> auto& unreadable) {
  archive(unreadable.members, unreadable.why);
}

template <class Archive>
void fields(Archive& archive, kube::Is<RobotTokenRotationStatus> auto& status) {
  archive(status.observed_generation, status.conditions, status.robot, status.token_fingerprint,
          status.last_rotation_time, status.next_rotation_time, status.token_known_since,
          status.rotation, status.ownership, status.targets_total, status.targets_current,
          status.failing, status.history, status.last_handled_rotate_request,
          status.consecutive_failures, status.retry_after, status.unreadable);
}

template <class Archive>
void fields(Archive& archive, kube::Is<RobotTokenRotation> auto& rotation) {
  archive(rotation.meta);
  archive(rotation.generation, rotation.created, rotation.deleting, rotation.rotate_request);
  archive.shared(rotation.cluster);
  archive(rotation.initialized, rotation.spec, rotation.status, rotation.invalid);
}

void RobotTokenRotation::pack(kube::Packer& packer) const {
  fields(packer, *this);
}

void RobotTokenRotation::unpack(kube::Unpacker& unpacker) {
  fields(unpacker, *this);
}

json to_json(const RobotTokenRotationStatus& status) {
  json object = json::object();
  put(object, "observedGeneration", status.observed_generation);
  if (json conditions = status.conditions.to_json(); !conditions.empty()) {
    object["conditions"] = std::move(conditions);
  }
  put(object, "robot", status.robot);
  put(object, "tokenFingerprint", status.token_fingerprint);
  put(object, "lastRotationTime", status.last_rotation_time);
  put(object, "nextRotationTime", status.next_rotation_time);
  put(object, "tokenKnownSince", status.token_known_since);
  if (status.rotation) object["rotation"] = ledger_json(*status.rotation);
  if (status.ownership) object["ownership"] = ownership_json(*status.ownership);
  if (status.targets_total != 0 || status.targets_current != 0 || !status.failing.empty()) {
    object["targets"] = targets_json(status);
  }
  put(object, "history", history_json(status.history));
  put(object, "lastHandledRotateRequest", status.last_handled_rotate_request);
  put(object, "consecutiveFailures", status.consecutive_failures);
  put(object, "retryAfter", status.retry_after);
  return object;
}

bool RobotTokenRotationStatus::has_unreadable_ledger() const {
  return unreadable &&
         std::ranges::find(unreadable->members, "rotation") != unreadable->members.end();
}

json status_patch(const RobotTokenRotationStatus& before, const RobotTokenRotationStatus& after) {
  const json wanted = to_json(after);
  json patch = status_patch(to_json(before), wanted);
  if (!before.unreadable) return patch;
  for (const std::string& member : before.unreadable->members) {
    if (after.unreadable && std::ranges::count(after.unreadable->members, member) > 0) {
      patch.erase(member);
      continue;
    }
    patch[member] = wanted.value(member, json());
    if (!patch[member].is_object()) continue;
    // A merge patch keeps what it does not name of an object.
    for (const char* optional : {"failing", "alias", "since", "refusedSince", "rotateRequest"}) {
      if (!patch[member].contains(optional)) patch[member][optional] = nullptr;
    }
  }
  return patch;
}

json status_patch(const json& before, const json& after) {
  json patch = json::object();
  const bool any_before = before.is_object();
  if (any_before) {
    for (const auto& [key, value] : before.items()) {
      if (!after.contains(key)) patch[key] = nullptr;
    }
  }
  for (const auto& [key, value] : after.items()) {
    const json* old = any_before ? base::find(before, key) : nullptr;
    if (old != nullptr && *old == value) continue;
    const bool merges = old != nullptr && old->is_object() && value.is_object();
    patch[key] = merges ? status_patch(*old, value) : value;
  }
  return patch;
}

}  // namespace quay_rotator::api
