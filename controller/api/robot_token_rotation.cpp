#include "api/robot_token_rotation.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "api/status_patch.h"
#include "api/visitors.h"
#include "base/json.h"

namespace quay_rotator::api {

using nlohmann::json;
constexpr auto spellings(ConnectionKind /*which*/) {
  return std::array<Spelling<ConnectionKind>, 1>{
      {{"QuayConnection", ConnectionKind::quay_connection}}};
}
constexpr auto spellings(Initial /*which*/) {
  return std::array<Spelling<Initial>, 2>{{{"Adopt", Initial::adopt}, {"Rotate", Initial::rotate}}};
}
constexpr auto spellings(VerifyLevel /*which*/) {
  return std::array<Spelling<VerifyLevel>, 2>{
      {{"None", VerifyLevel::none}, {"Login", VerifyLevel::login}}};
}
constexpr auto spellings(ForeignRotation /*which*/) {
  return std::array<Spelling<ForeignRotation>, 1>{{{"Adopt", ForeignRotation::adopt}}};
}
constexpr auto spellings(DeletionPolicy /*which*/) {
  return std::array<Spelling<DeletionPolicy>, 2>{
      {{"Delete", DeletionPolicy::delete_}, {"Retain", DeletionPolicy::retain}}};
}
constexpr auto spellings(RobotRole /*which*/) {
  return std::array<Spelling<RobotRole>, 2>{
      {{"Active", RobotRole::active}, {"Standby", RobotRole::standby}}};
}
constexpr auto spellings(NextReason /*which*/) {
  return std::array<Spelling<NextReason>, 4>{{{"Interval", NextReason::interval},
                                              {"Retire", NextReason::retire},
                                              {"Refresh", NextReason::refresh},
                                              {"BackingOff", NextReason::backing_off}}};
}
constexpr auto spellings(RotationReason /*which*/) {
  return std::array<Spelling<RotationReason>, 4>{{{"Interval", RotationReason::interval},
                                                  {"Requested", RotationReason::requested},
                                                  {"Initial", RotationReason::initial},
                                                  {"Retire", RotationReason::retire}}};
}
constexpr auto spellings(StrategyType /*which*/) {
  return std::array<Spelling<StrategyType>, 3>{{{"Regenerate", StrategyType::regenerate},
                                                {"Alternate", StrategyType::alternate},
                                                {"Federate", StrategyType::federate}}};
}
constexpr auto spellings(Retire /*which*/) {
  return std::array<Spelling<Retire>, 2>{
      {{"Regenerate", Retire::regenerate}, {"Keep", Retire::keep}}};
}

template <class V>
void describe(V& v, kube::Is<RobotName> auto& robot) {
  v("organization", robot.organization);
  v("name", robot.name, {.required = true});
}

template <class V>
void describe(V& v, kube::Is<Alternate> auto& alternate) {
  v("standby.name", alternate.standby);
  v("overlap", alternate.overlap);
  v("retire", alternate.retire);
}
template <class V>
void describe(V& v, kube::Is<Federate> auto& federate) {
  v("serviceAccount", federate.service_account);
  v("audience", federate.audience, {.shared = true});
  v("manage", federate.manage);
  v("burnStaticToken", federate.burn_static_token);
}
template <class V>
void describe(V& v, kube::Is<Strategy> auto& strategy) {
  v("type", strategy.type);
  v("alternate", strategy.alternate);
  v("federate", strategy.federate);
}
void check(Reader& reader, const Strategy& strategy) {
  const bool alternates = strategy.type == StrategyType::alternate;
  const bool federates = strategy.type == StrategyType::federate;
  if (reader.has("alternate") && !alternates) {
    reader.fail("alternate", "expected only with type Alternate");
  }
  if (reader.has("federate") && !federates) {
    reader.fail("federate", "expected only with type Federate");
  }
  if (alternates && strategy.alternate.standby.empty()) {
    reader.fail("alternate.standby.name", "expected the other robot's short name, it is missing");
  }
  if (federates && strategy.federate.service_account.empty()) {
    reader.fail("federate.serviceAccount", "expected a ServiceAccount's name, it is missing");
  }
}

template <class V>
void describe(V& v, kube::Is<SecretTarget> auto& target) {
  v("secret.name", target.name, {.required = true});
  v("secret.labels", target.labels);
  v("secret.annotations", target.annotations);
  v("registries", target.registries, {.shared = true});
}

template <class V>
void describe(V& v, kube::Is<RobotTokenRotationSpec> auto& spec) {
  v("connectionRef.kind", spec.connection_kind);
  v("connectionRef.name", spec.connection, {.required = true});
  v("robot", spec.robot, {.required = true});
  v("strategy", spec.strategy);
  v("schedule.interval", spec.interval);
  v("schedule.jitter", spec.jitter);
  v("initial", spec.initial);
  v("targets", spec.targets, {.required = true});
  v("verify.level", spec.verify);
  v("onForeignRotation", spec.on_foreign_rotation);
  v("deletionPolicy", spec.deletion_policy);
  v("suspend", spec.suspend);
}
// What is beyond a field's type; found by describe.h.
void check(Reader& reader, const RobotTokenRotationSpec& spec) {
  const Alternate& alternate = spec.strategy.alternate;
  if (spec.strategy.type == StrategyType::federate) {
    if (reader.has("schedule")) {
      reader.fail("schedule",
                  "expected none with the strategy Federate, whose credentials end by "
                  "themselves");
    }
  } else if (!reader.has("schedule.interval")) {
    reader.fail("schedule.interval", "expected a duration like 720h, it is missing");
  } else if (spec.interval <= base::Duration::zero()) {
    reader.fail("schedule.interval", "expected more than 0s");
  } else if (spec.jitter >= spec.interval) {
    reader.fail("schedule.jitter", "expected less than spec.schedule.interval");
  } else if (alternate.overlap >= spec.interval) {
    reader.fail("strategy.alternate.overlap", "expected less than spec.schedule.interval");
  }
  if (alternate.standby == spec.robot.name) {
    reader.fail("strategy.alternate.standby.name", "expected another robot than spec.robot.name");
  }
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < spec.targets.size(); ++i) {
    if (names.insert(spec.targets[i].name).second) continue;
    reader.fail("targets[" + std::to_string(i) + "].secret.name",
                "expected a name of its own, another target has it too");
  }
  if (spec.targets.empty()) reader.fail("targets", "expected at least one target");
}

template <class V>
void describe(V& v, kube::Is<RobotStatus> auto& robot) {
  v("name", robot.name, {.required = true, .repeated = true});
  v("role", robot.role, {.required = true});
  v("fingerprint", robot.fingerprint);
  v("knownSince", robot.known_since);
  v("expires", robot.expires);
  v("replacedAt", robot.replaced_at);
  v("retiredAt", robot.retired_at);
  v("lastAccessed", robot.last_accessed);
}
void check(Reader& reader, const std::vector<RobotStatus>& robots) {
  if (robots.size() > most_robots) {
    reader.fail("", "expected at most " + std::to_string(most_robots) + " robots");
  }
  std::set<std::string_view> names;
  int active = 0;
  for (const RobotStatus& robot : robots) {
    if (!names.insert(robot.name).second) reader.fail("", "expected each robot once");
    if (robot.role == RobotRole::active && ++active > 1)
      reader.fail("", "expected one Active robot");
  }
}

template <class V>
void describe(V& v, kube::Is<Next> auto& next) {
  v("time", next.time, {.always = true, .lenient = true});
  v("reason", next.reason, {.always = true, .lenient = true});
}

template <class V>
void describe(V& v, kube::Is<Ledger> auto& ledger) {
  v("id", ledger.id, {.required = true});
  v("robot", ledger.robot, {.required = true, .repeated = true});
  // Reason and start are for people: a newer version's reason is as good as any.
  v("reason", ledger.reason, {.always = true, .lenient = true});
  v("startedAt", ledger.started_at, {.always = true, .lenient = true});
  v("previousFingerprint", ledger.previous, {.required = true});
  v("attempt", ledger.attempt, {.always = true});
  v("rotateRequest", ledger.rotate_request);
  v("requestDeadline", ledger.request_deadline);
}

template <class V>
void describe(V& v, kube::Is<Ownership> auto& ownership) {
  v("connection", ownership.connection, {.shared = true});
  v("quay", ownership.quay, {.shared = true});
  v("alias", ownership.alias, {.shared = true});
  v("forgeable", ownership.forgeable);
  v("since", ownership.since);
  v("refusedSince", ownership.refused_since);
  v("standby", ownership.standby);
  v("standbySince", ownership.standby_since);
}

template <class V>
void describe(V& v, kube::Is<Federation> auto& federation) {
  v("issuer", federation.issuer, {.required = true, .shared = true});
  v("subject", federation.subject, {.required = true});
}

template <class V>
void describe(V& v, kube::Is<FailingTarget> auto& target) {
  v("namespace", target.name_space, {.always = true, .shared = true});
  v("name", target.name, {.always = true});
  v("kind", target.kind, {.always = true, .shared = true});
  v("reason", target.reason, {.always = true, .shared = true});
  v("message", target.message, {.always = true});
  v("since", target.since, {.always = true});
}

template <class V>
void describe(V& v, kube::Is<Targets> auto& targets) {
  v("total", targets.total, {.always = true});
  v("current", targets.current, {.always = true});
  v("failing", targets.failing);
}

template <class V>
void describe(V& v, kube::Is<HistoryEntry> auto& entry) {
  v("time", entry.time, {.always = true});
  v("robot", entry.robot, {.always = true, .repeated = true});
  v("reason", entry.reason, {.always = true, .shared = true});
  v("result", entry.result, {.always = true, .shared = true});
  v("outage", entry.outage);
  v("fingerprint", entry.fingerprint);
  v("previousFingerprint", entry.previous);
}

template <class V>
void describe(V& v, kube::Is<Unreadable> auto& unreadable) {
  v.kept(unreadable.members);
  v.kept(unreadable.why);
}

template <class V>
void describe(V& v, kube::Is<RobotTokenRotationStatus> auto& status) {
  v("observedGeneration", status.observed_generation);
  // What follows from all else and is always written whole: unreadable ones are none.
  v("conditions", status.conditions, {.lenient = true});
  v("robots", status.robots);
  v("lastRotationTime", status.last_rotation_time);
  v("next", status.next, {.lenient = true});
  v("rotation", status.rotation);
  v("ownership", status.ownership);
  v("federation", status.federation);
  v("targets", status.targets);
  v("history", status.history);
  v("lastHandledRotateRequest", status.last_handled_rotate_request);
  v("consecutiveFailures", status.consecutive_failures);
  v("retryAfter", status.retry_after);
  v.kept(status.unreadable);
}

template <class V>
void describe(V& v, kube::Is<RobotTokenRotation> auto& rotation) {
  v.kept(rotation.meta);
  v.kept(rotation.generation);
  v.kept(rotation.created);
  v.kept(rotation.deleting);
  v.kept(rotation.rotate_request);
  v.kept(rotation.cluster, {.shared = true});
  v.kept(rotation.initialized);
  v("spec", rotation.spec, {.required = true});
  v("status", rotation.status);
  v.kept(rotation.invalid);
}

namespace {

// Reads the members of a status one by one, so that one that makes no sense hides no other.
class StatusReader {
 public:
  explicit StatusReader(const json& status) : status_(status) {}

  template <class T>
  void operator()(std::string_view name, T& member, As as = {}) {
    Reader reader(status_, "status");
    T value{};
    reader(name, value, as);
    if (!reader.problem()) {
      member = std::move(value);
      return;
    }
    if (!unreadable) unreadable = Unreadable{{}, *reader.problem()};
    unreadable->members.emplace_back(name);
  }
  template <class T>
  void kept(T& /*member*/, As /*as*/ = {}) {}

  std::optional<Unreadable> unreadable;

 private:
  const json& status_;
};

RobotTokenRotationStatus read_status(const json& object) {
  RobotTokenRotationStatus status;
  if (const json* stored = base::find(object, "status")) {
    StatusReader reader(*stored);
    describe(reader, status);
    status.unreadable = std::move(reader.unreadable);
  }
  return status;
}

}  // namespace

std::string_view text(RotationReason reason) {
  return spelling(reason);
}

base::Expected<RobotTokenRotation> RobotTokenRotation::from_json(const json& object) {
  const auto metadata = read_metadata(object);
  if (!metadata) return tl::unexpected(metadata.error());
  RobotTokenRotation rotation;
  rotation.meta = metadata->meta;
  rotation.generation = metadata->generation;
  rotation.created = metadata->created;
  rotation.deleting = metadata->deleting;
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
  Reader spec(object);
  spec("spec", rotation.spec, {.required = true});
  rotation.invalid = spec.problem();
  return rotation;
}

void RobotTokenRotation::pack(kube::Packer& packer) const {
  fields(packer, *this);
}

void RobotTokenRotation::unpack(kube::Unpacker& unpacker) {
  fields(unpacker, *this);
}

json to_json(const RobotTokenRotationStatus& status) {
  return Writer::json_of(status);
}

kube::ObjectKey connection_of(const RobotTokenRotation& rotation) {
  return {rotation.meta.key.name_space, rotation.spec.connection};
}

std::string_view short_name(std::string_view full_name) {
  const std::size_t plus = full_name.find('+');
  return plus == std::string_view::npos ? full_name : full_name.substr(plus + 1);
}

std::string_view active_robot(const RobotTokenRotation& rotation) {
  const Alternate& alternate = rotation.spec.strategy.alternate;
  const RobotStatus* active = rotation.status.active();
  const bool turned = active != nullptr && !alternate.standby.empty() &&
                      short_name(active->name) == alternate.standby;
  return turned ? alternate.standby : rotation.spec.robot.name;
}

std::string_view standby_robot(const RobotTokenRotation& rotation) {
  const std::string& standby = rotation.spec.strategy.alternate.standby;
  return active_robot(rotation) == standby ? rotation.spec.robot.name : standby;
}

const RobotStatus* held(const RobotTokenRotation& rotation) {
  const RobotStatus* active = rotation.status.active();
  if (active == nullptr || short_name(active->name) != active_robot(rotation)) return nullptr;
  const bool federated = rotation.spec.strategy.type == StrategyType::federate;
  return active->expires.has_value() == federated ? active : nullptr;
}

std::set<std::string> RobotTokenRotation::described() {
  return Shape::of<RobotTokenRotation>("");
}

bool RobotTokenRotationStatus::has_unreadable_ledger() const {
  return unreadable &&
         std::ranges::find(unreadable->members, "rotation") != unreadable->members.end();
}

namespace {

const RobotStatus* robot_with(RobotRole role, const std::vector<RobotStatus>& robots) {
  const auto found = std::ranges::find(robots, role, &RobotStatus::role);
  return found == robots.end() ? nullptr : &*found;
}

}  // namespace

const RobotStatus* RobotTokenRotationStatus::active() const {
  return robot_with(RobotRole::active, robots);
}

const RobotStatus* RobotTokenRotationStatus::standby() const {
  return robot_with(RobotRole::standby, robots);
}

RobotStatus* RobotTokenRotationStatus::active() {
  return const_cast<RobotStatus*>(std::as_const(*this).active());
}

std::string RobotTokenRotationStatus::active_name() const {
  const RobotStatus* robot = active();
  return robot != nullptr ? robot->name : "";
}

std::optional<base::Fingerprint> RobotTokenRotationStatus::fingerprint() const {
  const RobotStatus* robot = active();
  return robot != nullptr ? robot->fingerprint : std::nullopt;
}

std::optional<base::WallTime> RobotTokenRotationStatus::known_since() const {
  const RobotStatus* robot = active();
  return robot != nullptr ? robot->known_since : std::nullopt;
}

namespace {

// The fields of a member of the status that is an object.
std::set<std::string> names_within(const std::string& member) {
  std::set<std::string> names;
  const std::string prefix = member + ".";
  for (const std::string& field : Shape::of<RobotTokenRotationStatus>("")) {
    if (!field.starts_with(prefix)) continue;
    const std::string rest = field.substr(prefix.size());
    names.insert(rest.substr(0, rest.find_first_of(".[:")));
  }
  return names;
}

}  // namespace

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
    for (const std::string& name : names_within(member)) {
      if (!patch[member].contains(name)) patch[member][name] = nullptr;
    }
  }
  return patch;
}

}  // namespace quay_rotator::api
