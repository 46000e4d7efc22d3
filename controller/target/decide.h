// May a rotation write that Secret, and how? Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <tl/expected.hpp>

#include "api/managed_secret.h"
#include "kube/object.h"
#include "target/foreign_entries.h"
#include "target/problem.h"
#include "target/target.h"

namespace quay_rotator::target {

// What is known of a Secret that exists, as much as the decision needs.
struct ExistingSecret {
  std::string uid;
  std::string resource_version;
  kube::ObjectKey owner;                  // api::owner_named(); without a name: nobody
  std::optional<std::string> controller;  // "SealedSecret pull": who else is in charge of it
  std::optional<api::SecretShape> shape;  // by its type
  bool immutable = false;
  bool take_over_allowed = false;     // take_over_annotation names this rotation
  ForeignEntries entries;             // that taking it over would lose; of a live one
  std::vector<std::string> managers;  // of its fields, for people: managers_of

  // Only where the cache knows enough.
  static ExistingSecret of(const api::ManagedSecret& cached, const DesiredSecret& desired);
  // A whole Secret as the API server answers it.
  static ExistingSecret of(const nlohmann::json& live, const DesiredSecret& desired);
};

// Of a Secret that is this rotation's alone, or another's for certain. One that another controller
// has its hands in, that may be taken over or that names a former owner must be looked at.
bool knows_enough(const api::ManagedSecret& cached, const DesiredSecret& desired);

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

// `existing` null: there is no such Secret.
tl::expected<WriteMode, Problem> decide_write(const DesiredSecret& desired,
                                              const ExistingSecret* existing);

}  // namespace quay_rotator::target
