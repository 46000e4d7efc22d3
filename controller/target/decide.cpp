#include "target/decide.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"

namespace quay_rotator::target {

namespace {

// The value of a member whose name may hold dots.
std::string text_of(const nlohmann::json* object, std::string_view name) {
  if (object == nullptr || !object->is_object()) return {};
  const auto found = object->find(name);
  if (found == object->end()) return {};
  const auto* text = found->get_ptr<const std::string*>();
  return text == nullptr ? std::string{} : *text;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
  return list;
}

// "SealedSecret pull". Whoever writes the Secret chose the text.
std::string controller_of(const nlohmann::json& reference) {
  constexpr std::size_t longest = 253;
  const auto shown = [&](std::string_view member) {
    const std::string text = base::string_or(reference, member, "").value_or("");
    const bool plain = std::ranges::all_of(text, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '-';
    });
    return plain && !text.empty() && text.size() <= longest ? text : std::string("something");
  };
  return shown("kind") + " " + shown("name");
}

ForeignEntries entries_of(const nlohmann::json& live, const std::vector<std::string>& registries) {
  const std::string encoded = text_of(base::find(live, "data"), api::docker_config_key);
  const std::optional<base::SecretString> config = base::base64_decode(encoded);
  ForeignEntries entries;
  if (!config) {
    entries.unreadable = true;
    return entries;
  }
  return ForeignEntries::of(config->reveal(), registries);
}

// What to do about a Secret that may not be taken over yet; all of it at once. What it holds is not
// named: nobody who may write it has allowed this rotation's author to know.
std::string ways_out(const DesiredSecret& desired, const ExistingSecret& existing,
                     const std::string& take_over) {
  if (existing.shape != desired.shape) {
    return "choose another name or delete it; it cannot be taken over, because it is not of type " +
           std::string(api::type_of(desired.shape)) + " and Kubernetes does not let a type change";
  }
  if (existing.immutable) {
    return "choose another name or delete it; it cannot be taken over, because it is marked "
           "immutable";
  }
  if (existing.entries.unreadable) {
    return "choose another name, delete it, or empty it (it holds no .dockerconfigjson that can be "
           "read, and what is in it would be lost) and then " +
           take_over;
  }
  if (!existing.entries.empty()) {
    return "choose another name, delete it, or move what else it holds to a Secret of its own (a "
           "take-over would lose it, and is refused until then) and then " +
           take_over;
  }
  return "choose another name, delete it, or " + take_over;
}

std::string not_owned(const DesiredSecret& desired, const ExistingSecret& existing) {
  std::string who;
  if (existing.owner.name_space == desired.key.name_space) {
    who = "belongs to RobotTokenRotation " + existing.owner.text();
  } else if (!existing.owner.name.empty()) {
    who = "belongs to a RobotTokenRotation of another namespace (it is a copy, most likely)";
  } else if (!existing.managers.empty()) {
    who = "exists and is managed by " + list_of(existing.managers);
  } else {
    who = "exists and was not made by this rotation";
  }
  const std::string take_over = "let this rotation take it over with \"kubectl -n " +
                                desired.key.name_space + " annotate secret " + desired.key.name +
                                " " + std::string(api::take_over_annotation) + "=" +
                                desired.owner.key.name + "\"";
  return "Secret " + desired.key.text() + " " + who + ": " + ways_out(desired, existing, take_over);
}

}  // namespace

ExistingSecret ExistingSecret::of(const api::ManagedSecret& cached, const DesiredSecret& desired) {
  ExistingSecret existing;
  existing.uid = cached.meta.uid;
  existing.resource_version = cached.meta.resource_version;
  existing.owner = cached.owner;
  existing.shape = cached.shape;
  existing.immutable = cached.immutable;
  existing.take_over_allowed =
      std::binary_search(cached.marks.begin(), cached.marks.end(),
                         api::annotation_mark(api::take_over_annotation, desired.owner.key.name));
  return existing;
}

ExistingSecret ExistingSecret::of(const nlohmann::json& live, const DesiredSecret& desired) {
  ExistingSecret existing;
  const auto* annotations = base::find(live, "metadata.annotations");
  existing.uid = base::string_or(live, "metadata.uid", "").value_or("");
  existing.resource_version = base::string_or(live, "metadata.resourceVersion", "").value_or("");
  existing.owner = api::owner_named(text_of(annotations, api::owner_annotation),
                                    text_of(base::find(live, "metadata"), "namespace"));
  existing.shape = api::shape_of(text_of(&live, "type"));
  existing.immutable = base::bool_or(live, "immutable", false).value_or(false);
  existing.take_over_allowed =
      text_of(annotations, api::take_over_annotation) == desired.owner.key.name;
  if (const auto* owners = base::find(live, "metadata.ownerReferences")) {
    for (const auto& owner : *owners) {
      if (api::names_controller(owner) && !api::names_rotation(owner)) {
        existing.controller = controller_of(owner);
      }
    }
  }
  if (existing.shape == desired.shape && existing.owner != desired.owner.key) {
    existing.entries = entries_of(live, desired.registries);
  }
  return existing;
}

bool knows_enough(const api::ManagedSecret& cached, const DesiredSecret& desired) {
  if (cached.controlled || cached.owner.name.empty()) return false;
  if (cached.owner != desired.owner.key) {
    return !ExistingSecret::of(cached, desired).take_over_allowed;
  }
  const bool wanted = desired.owned && std::binary_search(cached.marks.begin(), cached.marks.end(),
                                                          api::owner_mark(desired.owner.uid));
  return cached.rotations == (wanted ? 1 : 0);
}

std::optional<nlohmann::json> owners_to_keep(const nlohmann::json& live,
                                             std::string_view wanted_uid) {
  const auto* owners = base::find(live, "metadata.ownerReferences");
  if (owners == nullptr || !owners->is_array()) return std::nullopt;
  auto kept = nlohmann::json::array();
  for (const auto& owner : *owners) {
    const bool wanted =
        !wanted_uid.empty() && base::string_or(owner, "uid", "").value_or("") == wanted_uid;
    if (wanted || !api::names_rotation(owner)) kept.push_back(owner);
  }
  if (kept.size() == owners->size()) return std::nullopt;
  return kept;
}

tl::expected<WriteMode, Problem> decide_write(const DesiredSecret& desired,
                                              const ExistingSecret* existing) {
  const auto refuse = [&](std::string_view reason, std::string message) {
    return tl::unexpected(Problem{desired.key, std::string(kube::secrets.kind), std::string(reason),
                                  std::move(message), true});
  };
  if (existing == nullptr) return WriteMode{};
  if (existing->controller) {
    return refuse("ControlledByAnother",
                  "Secret " + desired.key.text() + " is controlled by " + *existing->controller +
                      ", which would undo what is written here: choose another name, or take its "
                      "entry out of the Secret's metadata.ownerReferences and stop it from "
                      "writing the Secret (deleting it first would delete the Secret too)");
  }
  const bool ours = existing->owner == desired.owner.key;
  if (!ours && !existing->take_over_allowed) {
    return refuse("NotOwned", not_owned(desired, *existing));
  }
  if (existing->shape != desired.shape) {
    return refuse("WrongType", "Secret " + desired.key.text() + " is not of type " +
                                   std::string(api::type_of(desired.shape)) +
                                   ", and Kubernetes does not let a type change: delete the "
                                   "Secret yourself or choose another name");
  }
  if (existing->immutable) {
    return refuse("Immutable", "Secret " + desired.key.text() +
                                   " is marked immutable, so no new token can be written: delete "
                                   "it yourself or choose another name");
  }
  if (ours) return WriteMode{true, existing->uid, ""};
  if (existing->entries.unreadable) {
    return refuse("ContentUnreadable",
                  "Secret " + desired.key.text() +
                      " holds no .dockerconfigjson that can be read, "
                      "and what is in it would be lost: empty it, delete it yourself or choose "
                      "another name");
  }
  if (!existing->entries.empty()) {
    return refuse("WouldLoseEntries",
                  "Secret " + desired.key.text() + " also holds " + existing->entries.text() +
                      ", which taking it over would lose: move them to a Secret of their own (a "
                      "pod may name several in imagePullSecrets), or choose another name");
  }
  return WriteMode{true, existing->uid, existing->resource_version};
}

}  // namespace quay_rotator::target
