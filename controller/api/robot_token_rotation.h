// RobotTokenRotation: which robot, when, and where its token goes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "api/condition.h"
#include "api/group.h"
#include "base/error.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/object.h"
#include "kube/packing.h"

namespace quay_rotator::api {

// Set to any new value to rotate now; compared with status.lastHandledRotateRequest.
inline constexpr std::string_view rotate_requested_annotation =
    "quayrotator.dev/rotate-requested-at";
// The operator's own, see tenancy/cluster_mark.h: the cluster that looks after the resource, and
// when the beginning of its life was over.
inline constexpr std::string_view cluster_annotation = "quayrotator.dev/cluster";
inline constexpr std::string_view initialized_annotation = "quayrotator.dev/initialized-at";

enum class ConnectionKind { quay_connection };
enum class Initial { adopt, rotate };
enum class VerifyLevel { none, login };
enum class ForeignRotation { adopt };
enum class DeletionPolicy { delete_, retain };

struct RobotName {
  std::string organization;  // "": a robot of the user who owns the API token
  std::string name;          // the short name
  auto operator<=>(const RobotName&) const = default;
};

// How a new credential comes about: see credential/obtain.h.
enum class StrategyType { regenerate, alternate, federate };
enum class Retire { regenerate, keep };
// Two robots with equal permissions: the standby's token is regenerated and delivered, and the
// other's stays valid until it is retired.
struct Alternate {
  std::string standby = {};  // its short name; the organization is the robot's
  base::Duration overlap{};  // how long the replaced token stays valid; 0: until the next turn
  Retire retire = Retire::regenerate;
  bool operator==(const Alternate&) const = default;
};
// Keyless: a ServiceAccount's token is exchanged for a credential of an hour.
struct Federate {
  std::string service_account = {};  // of the resource's namespace
  std::string audience = {};         // "": the connection's host and port
  bool manage = true;                // keep the robot's federation entry in Quay
  bool burn_static_token = false;    // regenerate the static token once, to nowhere
  bool operator==(const Federate&) const = default;
};
struct Strategy {
  StrategyType type = StrategyType::regenerate;
  Alternate alternate = {};  // of that type alone, …
  Federate federate = {};    // … and of this
  bool operator==(const Strategy&) const = default;
};

struct SecretTarget {
  std::string name;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> registries;  // keys in `auths`; empty: the connection's host and port
  bool operator==(const SecretTarget&) const = default;
};

struct RobotTokenRotationSpec {
  ConnectionKind connection_kind = ConnectionKind::quay_connection;
  std::string connection;  // its name, in the same namespace
  RobotName robot;
  Strategy strategy;
  base::Duration interval{};  // none with Federate
  base::Duration jitter{};
  Initial initial = Initial::adopt;
  std::vector<SecretTarget> targets;
  VerifyLevel verify = VerifyLevel::login;
  ForeignRotation on_foreign_rotation = ForeignRotation::adopt;
  DeletionPolicy deletion_policy = DeletionPolicy::retain;
  bool suspend = false;
  bool operator==(const RobotTokenRotationSpec&) const = default;
};

// retire: the token that was replaced, or is not needed any more, is regenerated to nowhere.
enum class RotationReason { interval, requested, initial, retire };
std::string_view text(RotationReason reason);  // "Interval", "Requested", "Initial", "Retire"

// A robot whose token the operator looks after.
enum class RobotRole { active, standby };
struct RobotStatus {
  std::string name;                    // in full, "acme+puller"
  RobotRole role = RobotRole::active;  // one at most is active: the targets hold its token
  std::optional<base::Fingerprint> fingerprint = {};
  std::optional<base::WallTime> known_since = {};  // when the token was first seen, or made
  std::optional<base::WallTime> expires = {};      // Federate: when it ends by itself
  // Standby: since when no target holds its token any more, by Quay's clock, which last_accessed
  // goes by too; and when that was retired.
  std::optional<base::WallTime> replaced_at = {};
  std::optional<base::WallTime> retired_at = {};
  std::optional<base::WallTime> last_accessed = {};  // by Quay, when it was last asked for that
  bool operator==(const RobotStatus&) const = default;
};
inline constexpr std::size_t most_robots = 2;

// What will really happen next to the token: when, and what decides that.
// retire: the replaced token of Alternate; refresh: the credential of Federate; unknown: of a newer
// version.
enum class NextReason { unknown, interval, retire, refresh, backing_off };
struct Next {
  base::WallTime time{};
  NextReason reason = NextReason::unknown;
  bool operator==(const Next&) const = default;
};

// The ledger: in the status exactly while a regeneration may have happened and the targets may not
// have its token yet.
struct Ledger {
  std::string id;
  std::string robot;  // which is regenerated, in full
  RotationReason reason = RotationReason::interval;
  base::WallTime started_at{};  // for people; never trusted for a decision
  base::Fingerprint previous;
  int attempt = 1;                    // grows with each POST that the ledger covers
  std::string rotate_request;         // the annotation's value that this rotation serves, or ""
  base::Duration request_deadline{};  // of its writer's POST; 0: not known
  bool operator==(const Ledger&) const = default;
};

// What is known of the resource's claim to its robot: see tenancy/ownership.h.
struct Ownership {
  std::string connection;               // by which Quay was asked
  std::string quay;                     // host, or host:port, of that connection's url
  std::string alias;                    // digest of the name that Quay gives itself, if another
  bool forgeable = false;               // the connection's writer may have made up the answer
  std::optional<base::WallTime> since;  // Quay lets the resource read the robot; nothing: it is
                                        // not proven that it does …
  std::optional<base::WallTime> refused_since;  // … or no longer
  // The claim to Alternate's second robot, which is compared with the first to prove it.
  std::string standby = {};
  std::optional<base::WallTime> standby_since = {};
  bool operator==(const Ownership&) const = default;
};

// Our own entry in the robot's federation: there from before it is put in until it is taken out.
struct Federation {
  std::string issuer;
  std::string subject;
  bool operator==(const Federation&) const = default;
};

// What should hold the token and does not.
struct FailingTarget {
  std::string name_space;
  std::string name;
  std::string kind;    // Secret
  std::string reason;  // CamelCase
  std::string message;
  base::WallTime since{};
  bool operator==(const FailingTarget&) const = default;
};

inline constexpr std::size_t most_failing = 10;

struct Targets {
  int total = 0;
  int current = 0;
  std::vector<FailingTarget> failing;  // the first most_failing of them
  bool operator==(const Targets&) const = default;
};

struct HistoryEntry {
  base::WallTime time{};
  std::string robot;   // whose token, in full
  std::string reason;  // Interval, Requested, Initial, Adopted, Federated, ForeignRotation
  std::string result;  // Succeeded, Failed
  std::optional<base::Duration> outage;
  std::optional<base::Fingerprint> fingerprint;
  std::optional<base::Fingerprint> previous = {};  // what it replaced, unless the next tells it
  bool operator==(const HistoryEntry&) const = default;
};

inline constexpr std::size_t most_history = 10;

// What of a stored status makes no sense: somebody edited it, or a newer version wrote it.
struct Unreadable {
  std::vector<std::string> members;  // of status; what they hold is unknown, not absent
  std::string why;                   // of the first
  bool operator==(const Unreadable&) const = default;
};

struct RobotTokenRotationStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions;  // Ready, Reconciling, Stalled, Preflight, Published, Verified, Conflict
  std::vector<RobotStatus> robots;
  std::optional<base::WallTime> last_rotation_time;
  std::optional<Next> next;
  std::optional<Ledger> rotation;
  std::optional<Ownership> ownership;
  std::optional<Federation> federation;
  Targets targets;
  std::vector<HistoryEntry> history;  // newest first, at most most_history
  std::string last_handled_rotate_request;
  int consecutive_failures = 0;
  std::optional<base::WallTime> retry_after;
  // While this is set those members stay in the API server as they are, and are as if absent here.
  std::optional<Unreadable> unreadable;
  // There is a ledger, and nobody knows what it says.
  [[nodiscard]] bool has_unreadable_ledger() const;
  // The robot whose token the targets hold; null while not even its name is known.
  [[nodiscard]] const RobotStatus* active() const;
  RobotStatus* active();
  [[nodiscard]] const RobotStatus* standby() const;
  // Of the active robot; "", or nothing, while it is not known.
  [[nodiscard]] std::string active_name() const;
  [[nodiscard]] std::optional<base::Fingerprint> fingerprint() const;
  [[nodiscard]] std::optional<base::WallTime> known_since() const;
  bool operator==(const RobotTokenRotationStatus&) const = default;
};

struct RobotTokenRotation {
  kube::ObjectMeta meta;
  std::int64_t generation = 0;
  base::WallTime created{};
  bool deleting = false;
  std::string rotate_request;  // the annotation's value, or ""
  std::string cluster;         // likewise
  bool initialized = false;    // it has the annotation
  RobotTokenRotationSpec spec;
  RobotTokenRotationStatus status;
  // A spec of a newer schema or otherwise unusable: what is wrong, and `spec` is not to be used.
  // The status is read all the same, so that a ledger is never overlooked.
  std::optional<std::string> invalid;
  bool operator==(const RobotTokenRotation&) const = default;

  // An error only when the metadata is unreadable.
  static base::Expected<RobotTokenRotation> from_json(const nlohmann::json& object);
  // "spec.robot.name: string", …: for the check against the CRD.
  static std::set<std::string> described();
  void pack(kube::Packer& packer) const;
  void unpack(kube::Unpacker& unpacker);
};

// The QuayConnection that it names: in its own namespace. The key of a connection for the whole
// cluster has no namespace, so that keys tell the kinds apart wherever connections meet.
kube::ObjectKey connection_of(const RobotTokenRotation& rotation);

// "puller" of "acme+puller".
std::string_view short_name(std::string_view full_name);
// Whose token the targets (are to) hold: the Active robot where the spec still names that, else the
// spec's robot. By short names; the other of two robots is "" where the strategy has but one.
std::string_view active_robot(const RobotTokenRotation& rotation);
std::string_view standby_robot(const RobotTokenRotation& rotation);
// What the targets hold, where that is a credential as the spec's strategy makes it: null while
// nothing is known, and after another robot or strategy was put into the spec.
const RobotStatus* held(const RobotTokenRotation& rotation);

nlohmann::json to_json(const RobotTokenRotationStatus& status);

// See api/status_patch.h; what is unreadable in both is left alone, and replaced where
// `after` is readable.
nlohmann::json status_patch(const RobotTokenRotationStatus& before,
                            const RobotTokenRotationStatus& after);

}  // namespace quay_rotator::api
