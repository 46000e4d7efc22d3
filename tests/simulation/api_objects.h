// What a kube-apiserver does to an object, without its storage: addresses, merge patches and
// server-side apply, simplified to what matters for the resources of this operator.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "kube/object.h"

namespace quay_rotator::simulation {

// What a request's target names: "/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/status?a=b".
struct Address {
  std::string api_version;
  std::string plural;
  kube::ObjectKey key;  // name "": the collection; name_space "": all of them
  bool status = false;
  std::map<std::string, std::string> query;

  static std::optional<Address> parse(std::string_view target);
  [[nodiscard]] std::string option(const std::string& name) const;
};

// A field that somebody owns: the JSON pointer of its map, a literal, and its key in it.
using Field = std::pair<std::string_view, std::string>;
using Fields = std::map<Field, const nlohmann::json*>;
// The fields by their managers.
using Owners = std::map<std::string, std::set<Field>>;

// The leaves that ownership is kept for: type, immutable, data, labels, annotations, owner
// references (by uid). Points into the object.
Fields fields_of(const nlohmann::json& object);
bool is_owned_by(const nlohmann::json& object, const std::string& uid);

// The text at a JSON pointer of plain keys, "/metadata/name"; "" when there is none.
std::string text_at(const nlohmann::json& object, std::string_view pointer);

struct ApplyConflict {
  std::string manager;
  std::string field;  // ".data..dockerconfigjson"
};

// Brings `object` and `owners` to what `manifest` says. A conflict changes nothing.
std::optional<ApplyConflict> apply(nlohmann::json& object, Owners& owners,
                                   const nlohmann::json& manifest, const std::string& manager,
                                   bool force);
// Somebody wrote `after` over `before` with another verb: what they changed is theirs.
void take_ownership(Owners& owners, const nlohmann::json& before, const nlohmann::json& after,
                    const std::string& manager);

}  // namespace quay_rotator::simulation
