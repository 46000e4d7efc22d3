// May this rotation write that Secret, and how? Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <tl/expected.hpp>

#include "api/managed_secret.h"
#include "kube/client.h"
#include "kube/object.h"
#include "target/foreign_entries.h"

namespace quay_rotator::target {

// One Secret as it should be.
struct DesiredSecret {
  kube::ObjectKey key;
  std::vector<std::string> registries;  // never empty
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

struct Problem {
  std::string secret;
  std::string reason;     // NotOwned, ControlledByAnother, WouldLoseEntries, ContentUnreadable,
                          // WrongType, Immutable, QuotaExceeded, AdmissionDenied, Forbidden,
                          // NamespaceTerminating, NamespaceNotFound, Invalid, ApiServerUnavailable
  std::string message;    // what happened and what to do
  bool permanent = true;  // false: trying again at once may help
};

// What is known of a Secret that exists, as much as the decision needs.
struct ExistingSecret {
  std::string uid;
  std::string resource_version;
  std::string owner;                      // owner_annotation's value
  std::optional<std::string> controller;  // "SealedSecret pull": who else is in charge of it
  bool docker_config = false;
  bool immutable = false;
  bool take_over_allowed = false;     // take_over_annotation names this rotation
  ForeignEntries entries;             // that taking it over would lose; of a live one
  std::vector<std::string> managers;  // of its fields, for people: managers_of

  // Only where the cache knows enough.
  static ExistingSecret of(const api::ManagedSecret& cached, std::string_view rotation);
  // A whole Secret as the API server answers it, for a target with these registries.
  static ExistingSecret of(const nlohmann::json& live, std::string_view rotation,
                           const std::vector<std::string>& registries);
};

// Of a Secret that is this rotation's alone, or another's for certain. One that another controller
// has its hands in, that may be taken over or that names a former owner must be looked at. `owned`:
// it is to be collected with the rotation of that uid.
bool knows_enough(const api::ManagedSecret& cached, std::string_view rotation,
                  std::string_view rotation_uid, bool owned);

// Of a live Secret's owner references those that are to stay; nothing when all of them are. One to
// a RobotTokenRotation stays only if it is `wanted_uid`'s: others are of a rotation that is gone (a
// Secret that was restored from a backup names the former uid) or that had the Secret before.
std::optional<nlohmann::json> owners_to_keep(const nlohmann::json& live,
                                             std::string_view wanted_uid);

// How to apply.
struct WriteMode {
  bool force = false;            // over the fields of other managers
  std::string uid;               // precondition; "": the Secret is to be created
  std::string resource_version;  // precondition of a take-over: what was looked at is overwritten
  bool operator==(const WriteMode&) const = default;
};

// `existing` null: there is no such Secret. `rotation` is the name of the RobotTokenRotation.
tl::expected<WriteMode, Problem> decide_write(const DesiredSecret& desired,
                                              std::string_view rotation,
                                              const ExistingSecret* existing);

// Who holds the fields that an apply without force was refused, in the order of the conflicts.
std::vector<std::string> managers_of(const kube::Error& conflict);

// What a refused read or write of the Secret means for the target.
Problem problem_of(const kube::ObjectKey& secret, const kube::Error& error);

}  // namespace quay_rotator::target
