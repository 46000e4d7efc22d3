// Who visits the fields that api/describe.h lets a type name: the JSON reader and writer, the CRD
// check and the packer. Included by the .cpp files of this folder and by tests.
//
// Guarantees: nothing here throws, whatever the JSON holds.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/describe.h"
#include "base/error.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/object.h"
#include "kube/packing.h"

namespace quay_rotator::api {

namespace internal {
template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
}  // namespace internal

// Reads an object's fields and remembers the first that is wrong: which, what was expected and what
// came. A missing (or null) field keeps its value. Refers to the object and to `name`, which must
// outlive it. Not thread-safe.
class Reader {
 public:
  // `name` begins every path in messages: "spec", or "".
  explicit Reader(const nlohmann::json& object, std::string_view name = "")
      : value_(object), name_(name), problem_(&own_problem_) {}
  Reader(const Reader&) = delete;

  template <class T>
  void operator()(std::string_view name, T& member, As as = {}) {
    const nlohmann::json* found = find(name);
    if (found == nullptr) {
      if (as.required) fail(name, "expected " + std::string(expected<T>()) + ", it is missing");
      return;
    }
    Reader field(*found, *this, name);
    const bool right = !*problem_;
    field.take(member);
    if (as.lenient && right && *problem_) {
      problem_->reset();
      member = T();
    }
    if constexpr (std::is_same_v<T, std::string>) {
      if (as.required && member.empty()) fail(name, "expected a string, it is empty");
    }
  }
  template <class T>
  void kept(T& /*member*/, As /*as*/ = {}) {}

  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }
  // Remembers "<path of name>: <what>" if it is the first problem; `name` may be "".
  void fail(std::string_view name, std::string_view what);
  [[nodiscard]] const std::optional<std::string>& problem() const { return *problem_; }

 private:
  Reader(const nlohmann::json& value, const Reader& parent, std::string_view name)
      : value_(value), parent_(&parent), name_(name), problem_(parent.problem_) {}
  [[nodiscard]] const nlohmann::json* find(std::string_view name) const;
  [[nodiscard]] std::string path() const;
  bool accept(bool right, std::string_view expected);
  template <class T>
  void accept(T& member, base::Expected<T> read) {
    if (read) {
      member = std::move(*read);
    } else {
      fail("", read.error().message);
    }
  }
  template <class T>
  void parse(T& member, base::Expected<T> (*parser)(std::string_view)) {
    std::string text;
    take(text);
    if (!*problem_) accept(member, parser(text));
  }

  void take(std::string& text);
  void take(bool& flag);
  void take(std::int64_t& number);
  void take(int& count);
  void take(double& number);
  void take(base::WallTime& time);
  void take(base::Duration& duration);
  void take(base::Fingerprint& fingerprint);
  void take(Texts& texts);
  template <Spelled E>
  void take(E& choice) {
    std::string text;
    take(text);
    std::string known;
    for (const auto& [name, value] : spellings(choice)) {
      if (name == text) {
        choice = value;
        return;
      }
      known += (known.empty() ? "" : " or ") + std::string(name);
    }
    fail("", "expected " + known + ", got \"" + text.substr(0, 64) + "\"");
  }
  template <class T>
  void take(std::optional<T>& optional) {
    take(optional.emplace());
  }
  template <class T>
  void take(std::vector<T>& list) {
    if (!accept(value_.is_array(), "an array")) return;
    list.resize(value_.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string index = "[" + std::to_string(i) + "]";
      Reader(value_[i], *this, index).take(list[i]);
    }
    if constexpr (requires { check(*this, list); }) check(*this, list);
  }
  template <Described T>
  void take(T& object) {
    if (!accept(value_.is_object(), "an object")) return;
    describe(*this, object);
    if constexpr (requires { check(*this, object); }) check(*this, object);
  }
  template <Wrapper T>
  void take(T& wrapper) {
    take(same_as(wrapper));
  }

  template <class T>
  static std::string_view expected() {
    if constexpr (std::is_same_v<T, base::Duration>) return "a duration like 720h";
    if constexpr (std::is_same_v<T, base::Fingerprint>) return "a fingerprint";
    if constexpr (std::is_same_v<T, std::string> || Spelled<T>) return "a string";
    return internal::is_list<T> ? "an array" : "an object";
  }

  const nlohmann::json& value_;
  const Reader* parent_ = nullptr;
  std::string_view name_;
  std::optional<std::string>* problem_;  // of the outermost reader
  std::optional<std::string> own_problem_;
};

// Writes an object's fields. Not thread-safe.
class Writer {
 public:
  template <class T>
  void operator()(std::string_view name, const T& member, As as = {}) {
    if (as.required || as.always || !(member == T())) place(name) = json_of(member);
  }
  template <class T>
  void kept(const T& /*member*/, As /*as*/ = {}) {}

  nlohmann::json take() { return std::move(object_); }

  static nlohmann::json json_of(const std::string& text) { return text; }
  static nlohmann::json json_of(bool flag) { return flag; }
  static nlohmann::json json_of(std::int64_t number) { return number; }
  static nlohmann::json json_of(int number) { return number; }
  static nlohmann::json json_of(double number) { return number; }
  static nlohmann::json json_of(base::WallTime time) { return base::format_time(time); }
  static nlohmann::json json_of(base::Duration duration) { return base::format_duration(duration); }
  static nlohmann::json json_of(base::Fingerprint fingerprint) { return fingerprint.text(); }
  static nlohmann::json json_of(const Texts& texts) { return texts; }
  template <Spelled E>
  static nlohmann::json json_of(E choice) {
    return spelling(choice);
  }
  template <class T>
  static nlohmann::json json_of(const std::optional<T>& optional) {
    return optional ? json_of(*optional) : nlohmann::json();
  }
  template <class T>
  static nlohmann::json json_of(const std::vector<T>& list) {
    nlohmann::json array = nlohmann::json::array();
    for (const T& one : list) array.push_back(json_of(one));
    return array;
  }
  template <Described T>
  static nlohmann::json json_of(const T& object) {
    Writer writer;
    describe(writer, object);
    return writer.take();
  }
  template <Wrapper T>
  static nlohmann::json json_of(const T& wrapper) {
    return json_of(same_as(wrapper));
  }

 private:
  nlohmann::json& place(std::string_view name);

  nlohmann::json object_ = nlohmann::json::object();
};

// Every field of a type with its type in the CRD: "spec.targets[].registries[]: string".
class Shape {
 public:
  template <class T>
  static std::set<std::string> of(std::string_view name) {
    std::set<std::string> fields;
    Shape("", fields).add<T>(std::string(name));
    return fields;
  }

  template <class T>
  void operator()(std::string_view name, const T& /*member*/, As /*as*/ = {}) {
    add<T>(path_.empty() ? std::string(name) : path_ + "." + std::string(name));
  }
  template <class T>
  void kept(const T& /*member*/, As /*as*/ = {}) {}

 private:
  Shape(std::string path, std::set<std::string>& fields)
      : path_(std::move(path)), fields_(fields) {}

  template <class T>
  void add(const std::string& path) {
    if constexpr (internal::is_optional<T>) {
      add<typename T::value_type>(path);
    } else if constexpr (internal::is_list<T>) {
      add<typename T::value_type>(path + "[]");
    } else if constexpr (Wrapper<T>) {
      add<std::remove_cvref_t<decltype(same_as(std::declval<T&>()))>>(path);
    } else if constexpr (Described<T>) {
      Shape inner(path, fields_);
      const T object{};
      describe(inner, object);
    } else {
      fields_.insert(path + ": " + std::string(type_of<T>()));
    }
  }
  template <class T>
  static std::string_view type_of() {
    if constexpr (std::is_same_v<T, bool>) return "boolean";
    if constexpr (std::is_same_v<T, double>) return "number";
    if constexpr (std::is_integral_v<T>) return "integer";
    return std::is_same_v<T, Texts> ? "object" : "string";
  }

  std::string path_;
  std::set<std::string>& fields_;
};

// Packs and unpacks (see kube/packing.h): every field, and what is kept besides.
template <class Archive>
class Keeper {
 public:
  explicit Keeper(Archive& archive) : archive_(archive) {}
  template <class T>
  void operator()(std::string_view /*name*/, T& member, As as = {}) {
    kept(member, as);
  }
  template <class T>
  void kept(T& member, As as = {}) {
    using Plain = std::remove_const_t<T>;
    if constexpr (std::is_same_v<Plain, std::string>) {
      if (as.shared) return archive_.shared(member);
      if (as.repeated) return archive_.repeated(member);
    } else if constexpr (std::is_same_v<Plain, std::vector<std::string>>) {
      if (as.shared) return archive_.shared_each(member);
    } else if constexpr (std::is_same_v<Plain, std::uint64_t>) {
      if (as.digest) return archive_.digest(member);
    } else if constexpr (std::is_same_v<Plain, std::vector<std::uint64_t>>) {
      if (as.digest) return archive_.digests(member);
    }
    archive_(member);
  }

 private:
  Archive& archive_;
};
template <class Archive, class T>
requires Described<std::remove_const_t<T>>
void fields(Archive& archive, T& object) {
  Keeper<Archive> keeper(archive);
  describe(keeper, object);
}
template <class Archive, class T>
requires Wrapper<std::remove_const_t<T>>
void fields(Archive& archive, T& wrapper) {
  archive(same_as(wrapper));
}

// What the types of this folder keep of an object's metadata; its name must be there.
struct Metadata {
  kube::ObjectMeta meta;
  std::int64_t generation = 0;
  base::WallTime created{};
  bool deleting = false;
};
base::Expected<Metadata> read_metadata(const nlohmann::json& object);

}  // namespace quay_rotator::api
