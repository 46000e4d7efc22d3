// Reads the fields of one object one after the other and remembers the first that is wrong, so that
// a type's from_json is a list of its fields.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::api {

// Paths are dot-separated. A missing field gives the fallback; one of another type gives the
// fallback too and makes problem() say which, what was expected and what came. Refers to the
// object, which must outlive it. Not thread-safe.
class FieldReader {
 public:
  explicit FieldReader(const nlohmann::json& object) : object_(object) {}

  [[nodiscard]] bool has(std::string_view path) const;
  std::string text(std::string_view path, std::string_view fallback = "");
  std::string required_text(std::string_view path);  // missing or empty is wrong
  bool boolean(std::string_view path, bool fallback);
  std::int64_t integer(std::string_view path, std::int64_t fallback);
  double number(std::string_view path, double fallback);
  std::optional<base::WallTime> time(std::string_view path);
  std::optional<base::Duration> duration(std::string_view path);
  std::optional<base::Fingerprint> fingerprint(std::string_view path);
  std::map<std::string, std::string> texts(std::string_view path);  // an object of strings
  // One of the values' spellings.
  template <class T>
  T choice(std::string_view path, T fallback,
           std::initializer_list<std::pair<std::string_view, T>> choices) {
    const std::string chosen = text(path);
    if (chosen.empty() && !has(path)) return fallback;
    std::string known;
    for (const auto& [name, value] : choices) {
      if (name == chosen) return value;
      known += (known.empty() ? "" : " or ") + std::string(name);
    }
    fail(path, "expected " + known + ", got \"" + chosen.substr(0, 64) + "\"");
    return fallback;
  }
  // Calls `read` with a reader of each element of an array of objects.
  void each(std::string_view path, const std::function<void(FieldReader& element)>& read);
  // The same for an array of strings.
  void each_text(std::string_view path, const std::function<void(std::string)>& read);

  // Remembers "<path>: <what>" if it is the first problem.
  void fail(std::string_view path, std::string_view what);
  [[nodiscard]] const std::optional<std::string>& problem() const { return problem_; }

 private:
  FieldReader(const nlohmann::json& object, std::string prefix)
      : object_(object), prefix_(std::move(prefix)) {}
  template <class T>
  T accept(base::Expected<T> field, T fallback);
  template <class T>
  std::optional<T> parsed(std::string_view path, base::Expected<T> (*parse)(std::string_view));
  const nlohmann::json* array(std::string_view path);

  const nlohmann::json& object_;
  std::string prefix_;  // "" or "spec.targets[1]."
  std::optional<std::string> problem_;
};

// What the types of this folder keep of an object's metadata; its name must be there.
struct Metadata {
  kube::ObjectMeta meta;
  std::int64_t generation = 0;
  base::WallTime created{};
  bool deleting = false;
};
Metadata read_metadata(FieldReader& object);

}  // namespace quay_rotator::api
