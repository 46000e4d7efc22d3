// One list of fields for each type of this folder. It serves whoever reads the type from JSON,
// writes it, keeps it packed or compares it with the CRD, so that none of them forgets a field that
// another knows:
//
//   template <class V>
//   void describe(V& v, kube::Is<Ledger> auto& ledger) {
//     v("id", ledger.id, {.required = true});
//     v("attempt", ledger.attempt, {.always = true});
//   }
//
// A field's name is its path in the JSON ("schedule.interval"). A field may be a text, a boolean, a
// number (an int is a count: not negative), a time, a duration, a fingerprint, an enumeration with
// spellings(), a map of texts, a described type, and a list or an optional of these. What is not
// part of the JSON is given to v.kept() instead.
//
// Who visits is in api/visitors.h.
// Assumption: a member's initial value is its default, and means "nothing there" to the writer.
#pragma once

#include <concepts>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include "kube/packing.h"

namespace quay_rotator::api {

using Texts = std::map<std::string, std::string>;

// What a field's type does not say of it.
struct As {
  bool required = false;  // it is a problem when it is missing or an empty text; always written
  bool always = false;    // written also when it is the default
  bool lenient = false;   // the default when it makes no sense
  bool shared = false;    // many objects have the same text: kept once
  bool repeated = false;  // the object has, most likely, just had that text: kept once in it
  bool digest = false;    // a number, or numbers, of which every bit is as likely
};

// An enumeration's words. Found by argument: `constexpr auto spellings(Initial)` returns an array
// of these.
template <class E>
struct Spelling {
  std::string_view text;
  E value;
};
template <class T>
concept Spelled = std::is_enum_v<T> && requires(T value) {
  spellings(value);
};
template <Spelled E>
constexpr std::string_view spelling(E value) {
  for (const auto& [text, one] : spellings(value)) {
    if (one == value) return text;
  }
  return {};
}

namespace internal {
struct AnyVisitor {
  template <class T>
  void operator()(std::string_view name, T& member, As as = {});
  template <class T>
  void kept(T& member, As as = {});
};
}  // namespace internal

template <class T>
concept Described = requires(internal::AnyVisitor v, T& object) {
  describe(v, object);
};
// A type that is a list or an optional of others to everybody who visits: `same_as(object)` gives
// that one.
template <class T>
concept Wrapper = requires(T& object) {
  same_as(object);
};

}  // namespace quay_rotator::api
