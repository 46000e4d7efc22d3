// Objects as few bytes: what a cache of many objects keeps in place of them.
//
// A type has two members, which name its fields in the same order:
//   void pack(kube::Packer&) const;
//   void unpack(kube::Unpacker&);
// Both call one template, fields(archive, object), so that the order cannot differ; what an object
// consists of has such a template too, to be found by its namespace. A Packer writes what it is
// given and an Unpacker reads what a Packer wrote; nothing else is ever unpacked, so nothing is
// checked.
#pragma once

#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::kube {

// For fields(): the type, const or not.
template <class Self, class T>
concept Is = std::same_as<std::remove_const_t<Self>, T>;

// Texts that many objects have in common, each kept once for as long as it is used. Not
// synchronized.
class TextPool {
 public:
  using Id = std::uint32_t;
  // Every acquire needs a release.
  Id acquire(std::string_view text);
  void release(Id id);
  [[nodiscard]] std::string_view text(Id id) const { return *texts_[id]; }
  [[nodiscard]] std::size_t size() const { return uses_.size(); }

 private:
  struct Use {
    Id id = 0;
    std::uint32_t count = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, Use, Hash, std::equal_to<>> uses_;
  std::vector<const std::string*> texts_;  // by id; null: free
  std::vector<Id> free_;
};

// One object; made by a Packer, to be given to release() in the end.
using Packed = std::unique_ptr<char[]>;
// Gives back to the pool what `packed` has of it.
void release(Packed packed, TextPool& pool);

// What both directions share. `Derived` has number, bits, text and shared; each takes a reference.
template <class Derived>
class Archive {
 public:
  // Packs or unpacks each value in turn.
  template <class... Values>
  void operator()(Values&... values) {
    (value(values), ...);
  }
  // A text that many objects have in common.
  template <class... Texts>
  void shared(Texts&... texts) {
    (self().shared_text(texts), ...);
  }
  void shared_each(auto& texts) {
    resize(texts);
    for (auto& text : texts) self().shared_text(text);
  }
  // A text that is, most likely, the one that was given here before it.
  void repeated(auto& one) {
    bool again = one == kept_text;
    self().number(again);
    if (again) return set(one, kept_text);
    self().text(one);
    kept_text = one;
  }
  // A number of which every bit is as likely.
  void digest(auto& number) { self().bits(number); }
  void digests(auto& numbers) {
    resize(numbers);
    for (auto& number : numbers) self().bits(number);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  template <class Value>
  void value(Value& one) {
    using Plain = std::remove_const_t<Value>;
    if constexpr (std::is_same_v<Plain, std::string>) {
      self().text(one);
    } else if constexpr (std::is_integral_v<Plain> || std::is_enum_v<Plain>) {
      self().number(one);
    } else if constexpr (requires { fields(self(), one); }) {
      fields(self(), one);
    } else {
      members(one);
    }
  }
  void members(auto& duration) requires requires { duration.count(); }
  {
    auto count = duration.count();
    self().number(count);
    set(duration, std::remove_cvref_t<decltype(duration)>(count));
  }
  // Most are whole seconds.
  template <class T>
  requires std::is_same_v<std::remove_const_t<T>, base::WallTime>
  void members(T& time) {
    constexpr std::int64_t second = 1'000'000;
    std::int64_t count = time.time_since_epoch().count();
    bool whole = count % second == 0;
    self().number(whole);
    if (whole) count /= second;
    self().number(count);
    set(time, base::WallTime(std::chrono::microseconds(whole ? count * second : count)));
  }
  template <class T>
  requires std::is_same_v<std::remove_const_t<T>, base::Fingerprint>
  void members(T& fingerprint) {
    std::uint64_t bits = fingerprint.bits();
    self().bits(bits);
    set(fingerprint, base::Fingerprint::of_bits(bits));
  }
  template <class T>
  requires std::is_same_v < std::remove_const_t<T>,
  double > void members(T& number) {
    auto bits = std::bit_cast<std::uint64_t>(number);
    self().bits(bits);
    set(number, std::bit_cast<double>(bits));
  }
  void members(auto& optional) requires requires { optional.has_value(); }
  {
    bool there = optional.has_value();
    self().number(there);
    if constexpr (Derived::reads) {
      if (there) optional.emplace();
    }
    if (there) value(*optional);
  }
  template <class T>
  void members(std::vector<T>& list) {
    each(list);
  }
  template <class T>
  void members(const std::vector<T>& list) {
    each(list);
  }
  void each(auto& list) {
    resize(list);
    for (auto& one : list) value(one);
  }
  void members(std::map<std::string, std::string>& texts) {
    std::size_t size = 0;
    for (self().number(size); size > 0; --size) {
      std::string key;
      std::string text;
      shared(key, text);
      texts.emplace(std::move(key), std::move(text));
    }
  }
  void members(const std::map<std::string, std::string>& texts) {
    std::size_t size = texts.size();
    self().number(size);
    for (const auto& [key, text] : texts) shared(key, text);
  }

  void resize(auto& list) {
    std::size_t size = list.size();
    self().number(size);
    if constexpr (Derived::reads) list.resize(size);
  }
  template <class T>
  void set([[maybe_unused]] T& place, [[maybe_unused]] const std::remove_const_t<T>& read) {
    if constexpr (Derived::reads) place = read;
  }

 protected:
  std::string kept_text;
};

// Not synchronized; `pool` must outlive it.
class Packer : public Archive<Packer> {
 public:
  static constexpr bool reads = false;
  explicit Packer(TextPool& pool) : pool_(pool) {}

  void operator()(const ObjectMeta& meta);
  template <class... Values>
  void operator()(const Values&... values) {
    Archive::operator()(values...);
  }

  // What was packed; the packer is then empty.
  Packed take();

 private:
  friend Archive;
  // Small numbers of either sign take one byte.
  template <class T>
  void number(const T& value) {
    if constexpr (std::is_signed_v<T>) {
      const auto wide = static_cast<std::uint64_t>(value);
      put(own_, (wide << 1U) ^ (value < 0 ? ~std::uint64_t{0} : 0));
    } else {
      put(own_, static_cast<std::uint64_t>(value));
    }
  }
  void bits(const std::uint64_t& value);
  void text(const std::string& value);
  void shared_text(const std::string& value);
  static void put(std::string& bytes, std::uint64_t number);

  TextPool& pool_;
  std::string own_;
  std::vector<TextPool::Id> shared_;
};

class Unpacker : public Archive<Unpacker> {
 public:
  static constexpr bool reads = true;
  // `packed` and `pool` must outlive it.
  Unpacker(const char* packed, const TextPool& pool);

  void operator()(ObjectMeta& meta);
  using Archive::operator();

  // What is compared most often, without a copy: an object begins with its ObjectMeta.
  struct Key {
    std::string_view name_space;
    std::string_view name;
    auto operator<=>(const Key&) const = default;
  };
  static Key key(const char* packed);

 private:
  friend Archive;
  template <class T>
  void number(T& value) {
    const std::uint64_t read = get(own_);
    if constexpr (std::is_signed_v<T>) {
      value = static_cast<T>((read >> 1U) ^ (~(read & 1U) + 1U));
    } else {
      value = static_cast<T>(read);
    }
  }
  void bits(std::uint64_t& value);
  void text(std::string& value);
  void shared_text(std::string& value);
  friend void release(Packed packed, TextPool& pool);
  static std::uint64_t get(const char*& place);
  static std::string_view get_text(const char*& place);

  const char* own_;
  const char* shared_;
  const TextPool& pool_;
};

// A bit of every packed object that is its keeper's own, false at first.
bool marked(const Packed& packed);
void mark(const Packed& packed, bool set);

}  // namespace quay_rotator::kube
