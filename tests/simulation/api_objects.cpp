#include "simulation/api_objects.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace quay_rotator::simulation {

namespace {

using nlohmann::json;

constexpr std::string_view owner_references = "/metadata/ownerReferences";

json::json_pointer pointer_of(const Field& field) {
  return json::json_pointer(std::string(field.first));
}

// Null when there is none.
const json* member(const json* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto found = object->find(name);
  return found == object->end() ? nullptr : &*found;
}

std::string decoded(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned code = 0;
    if (text[at] == '%' && at + 2 < text.size() &&
        std::from_chars(&text[at + 1], &text[at + 3], code, 16).ec == std::errc{}) {
      result += static_cast<char>(code);
      at += 2;
    } else {
      result += text[at];
    }
  }
  return result;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

void put(json& object, const Field& field, const json& value) {
  if (field.first != owner_references) {
    object[pointer_of(field)][field.second] = value;
    return;
  }
  json& list = object[pointer_of(field)];
  for (json& reference : list) {
    if (reference.value("uid", "") == field.second) {
      reference = value;
      return;
    }
  }
  list.push_back(value);
}

void erase(json& object, const Field& field) {
  const json::json_pointer place = pointer_of(field);
  if (!object.contains(place)) return;
  json& map = object[place];
  if (field.first != owner_references) {
    map.erase(field.second);
  } else {
    for (std::size_t at = map.size(); at-- > 0;) {
      if (map[at].value("uid", "") == field.second) map.erase(at);
    }
  }
  if (map.empty() && !field.first.empty()) {
    object[place.parent_pointer()].erase(place.back());
  }
}

// ".metadata.labels.app"
std::string path_of(const Field& field) {
  std::string path(field.first);
  for (char& c : path) c = c == '/' ? '.' : c;
  return path + "." + field.second;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view target) {
  Address address;
  const std::size_t question = target.find('?');
  if (question != std::string_view::npos) {
    for (const std::string_view option : split(target.substr(question + 1), '&')) {
      const std::size_t equals = option.find('=');
      if (equals == std::string_view::npos) return std::nullopt;
      address.query[std::string(option.substr(0, equals))] = decoded(option.substr(equals + 1));
    }
  }
  const auto parts = split(target.substr(0, question), '/');
  std::size_t at = 1;
  const auto next = [&] { return at < parts.size() ? decoded(parts[at++]) : std::string(); };
  const std::string root = next();
  if (root != "api" && root != "apis") return std::nullopt;
  address.api_version = next();
  if (root == "apis") address.api_version += "/" + next();
  address.plural = next();
  if (address.plural == "namespaces" && at + 1 < parts.size()) {
    address.key.name_space = next();
    address.plural = next();
  }
  address.key.name = next();
  const std::string subresource = next();
  address.status = subresource == "status";
  if (address.plural.empty() || at < parts.size()) return std::nullopt;
  if (!subresource.empty() && !address.status) return std::nullopt;
  return address;
}

std::string Address::option(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

std::string text_at(const json& object, std::string_view pointer) {
  const json* place = &object;
  for (pointer.remove_prefix(1);;) {
    const std::size_t end = pointer.find('/');
    if (!place->is_object()) return "";
    const auto found = place->find(pointer.substr(0, end));
    if (found == place->end()) return "";
    place = &*found;
    if (end == std::string_view::npos) break;
    pointer.remove_prefix(end + 1);
  }
  return place->is_string() ? place->get<std::string>() : "";
}

Fields fields_of(const json& object) {
  Fields fields;
  for (const char* name : {"type", "immutable"}) {
    if (const json* value = member(&object, name)) fields[{"", name}] = value;
  }
  const json* metadata = member(&object, "metadata");
  const auto take = [&](std::string_view pointer, const json* map) {
    if (map == nullptr || !map->is_object()) return;
    for (const auto& [key, value] : map->items()) fields[{pointer, key}] = &value;
  };
  take("/data", member(&object, "data"));
  take("/metadata/labels", member(metadata, "labels"));
  take("/metadata/annotations", member(metadata, "annotations"));
  if (const json* references = member(metadata, "ownerReferences")) {
    for (const json& reference : *references) {
      fields[{owner_references, reference.value("uid", "")}] = &reference;
    }
  }
  return fields;
}

bool is_owned_by(const json& object, const std::string& uid) {
  const json* references = member(member(&object, "metadata"), "ownerReferences");
  return references != nullptr && std::ranges::any_of(*references, [&](const json& reference) {
           return reference.value("uid", "") == uid;
         });
}

std::optional<ApplyConflict> apply(json& object, Owners& owners, const json& manifest,
                                   const std::string& manager, bool force) {
  const Fields live = fields_of(object);
  const Fields wanted = fields_of(manifest);
  for (const auto& [field, value] : wanted) {
    const auto present = live.find(field);
    if (present == live.end() || *present->second == *value) continue;
    for (auto& [other, theirs] : owners) {
      if (other == manager || !theirs.contains(field)) continue;
      if (!force) return ApplyConflict{other, path_of(field)};
      theirs.erase(field);
    }
  }
  std::set<Field>& ours = owners[manager];
  const std::set<Field> former = std::exchange(ours, {});
  for (const auto& [field, value] : wanted) {
    put(object, field, *value);
    ours.insert(field);
  }
  // What we owned and no longer name goes, unless somebody else owns it too.
  for (const Field& field : former) {
    if (ours.contains(field)) continue;
    bool owned = false;
    for (const auto& [other, theirs] : owners) owned = owned || theirs.contains(field);
    if (!owned) erase(object, field);
  }
  return std::nullopt;
}

void take_ownership(Owners& owners, const json& before, const json& after,
                    const std::string& manager) {
  const Fields old = fields_of(before);
  const Fields now = fields_of(after);
  for (const auto& [field, value] : now) {
    const auto present = old.find(field);
    if (present != old.end() && *present->second == *value) continue;
    for (auto& [other, theirs] : owners) theirs.erase(field);
    owners[manager].insert(field);
  }
  for (auto& [other, theirs] : owners) {
    std::erase_if(theirs, [&](const Field& field) { return !now.contains(field); });
  }
}

}  // namespace quay_rotator::simulation
