#include "api/field_reader.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::api {

using nlohmann::json;

template <class T>
T FieldReader::accept(base::Expected<T> field, T fallback) {
  if (field) return std::move(*field);
  if (!problem_) problem_ = prefix_ + field.error().message;
  return fallback;
}

template <class T>
std::optional<T> FieldReader::parsed(std::string_view path,
                                     base::Expected<T> (*parse)(std::string_view)) {
  if (!has(path)) return std::nullopt;
  const std::string field = text(path);
  if (problem_) return std::nullopt;
  base::Expected<T> value = parse(field);
  if (!value) {
    fail(path, value.error().message);
    return std::nullopt;
  }
  return *value;
}

bool FieldReader::has(std::string_view path) const {
  return base::find(object_, path) != nullptr;
}

std::string FieldReader::text(std::string_view path, std::string_view fallback) {
  return accept(base::string_or(object_, path, fallback), std::string(fallback));
}

std::string FieldReader::required_text(std::string_view path) {
  std::string value = accept(base::required_string(object_, path), std::string());
  if (value.empty()) fail(path, "expected a string, it is empty");
  return value;
}

bool FieldReader::boolean(std::string_view path, bool fallback) {
  return accept(base::bool_or(object_, path, fallback), fallback);
}

std::int64_t FieldReader::integer(std::string_view path, std::int64_t fallback) {
  return accept(base::integer_or(object_, path, fallback), fallback);
}

double FieldReader::number(std::string_view path, double fallback) {
  return accept(base::number_or(object_, path, fallback), fallback);
}

std::optional<base::WallTime> FieldReader::time(std::string_view path) {
  return parsed(path, base::parse_time);
}

std::optional<base::Duration> FieldReader::duration(std::string_view path) {
  return parsed(path, base::parse_duration);
}

std::optional<base::Fingerprint> FieldReader::fingerprint(std::string_view path) {
  if (!has(path)) return std::nullopt;
  const std::optional<base::Fingerprint> value = base::Fingerprint::parse(text(path));
  if (!value) fail(path, "expected sha256: and 16 hex digits");
  return value;
}

std::map<std::string, std::string> FieldReader::texts(std::string_view path) {
  std::map<std::string, std::string> values;
  const json* object = base::find(object_, path);
  if (object == nullptr) return values;
  if (!object->is_object()) {
    fail(path, "expected an object, got " + std::string(base::kind_of(*object)));
    return values;
  }
  for (const auto& [key, value] : object->items()) {
    if (value.is_string()) {
      values.emplace(key, value.get_ref<const std::string&>());
    } else {
      fail(std::string(path) + "[\"" + key + "\"]",
           "expected a string, got " + std::string(base::kind_of(value)));
    }
  }
  return values;
}

const json* FieldReader::array(std::string_view path) {
  const json* found = base::find(object_, path);
  if (found == nullptr || found->is_array()) return found;
  fail(path, "expected an array, got " + std::string(base::kind_of(*found)));
  return nullptr;
}

void FieldReader::each(std::string_view path,
                       const std::function<void(FieldReader& element)>& read) {
  const json* elements = array(path);
  if (elements == nullptr) return;
  for (std::size_t i = 0; i < elements->size(); ++i) {
    const std::string place = std::string(path) + "[" + std::to_string(i) + "]";
    const json& value = (*elements)[i];
    if (!value.is_object()) {
      fail(place, "expected an object, got " + std::string(base::kind_of(value)));
      continue;
    }
    FieldReader element(value, prefix_ + place + ".");
    read(element);
    if (!problem_) problem_ = element.problem_;
  }
}

void FieldReader::each_text(std::string_view path, const std::function<void(std::string)>& read) {
  const json* elements = array(path);
  if (elements == nullptr) return;
  for (std::size_t i = 0; i < elements->size(); ++i) {
    const json& value = (*elements)[i];
    if (value.is_string()) {
      read(value.get_ref<const std::string&>());
    } else {
      fail(std::string(path) + "[" + std::to_string(i) + "]",
           "expected a string, got " + std::string(base::kind_of(value)));
    }
  }
}

void FieldReader::fail(std::string_view path, std::string_view what) {
  if (!problem_) problem_ = prefix_ + std::string(path) + ": " + std::string(what);
}

Metadata read_metadata(FieldReader& object) {
  Metadata metadata;
  metadata.meta.key = {object.text("metadata.namespace"), object.required_text("metadata.name")};
  metadata.meta.uid = object.text("metadata.uid");
  metadata.meta.resource_version = object.text("metadata.resourceVersion");
  metadata.generation = object.integer("metadata.generation", 0);
  metadata.created = object.time("metadata.creationTimestamp").value_or(base::WallTime{});
  metadata.deleting = object.has("metadata.deletionTimestamp");
  return metadata;
}

}  // namespace quay_rotator::api
