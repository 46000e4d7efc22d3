#include "base/json.h"

#include <limits>

#include <nlohmann/json.hpp>

namespace quay_rotator::base {
namespace {

using nlohmann::json;

// Nothing that the program reads nests this deep, and what walks a document may recurse.
constexpr int most_depth = 100;

Error mismatch(std::string_view expected, const json& value) {
  return {"expected " + std::string(expected) + ", got " + std::string(kind_of(value))};
}

template <class T>
Expected<T> value_or(const json& object, std::string_view path, T fallback,
                     Expected<T> (*value_of)(const json&)) {
  const json* found = find(object, path);
  if (found == nullptr) return fallback;
  Expected<T> value = value_of(*found);
  if (!value) return tl::unexpected(Error{std::string(path) + ": " + value.error().message});
  return value;
}

}  // namespace

Expected<json> parse_json(std::string_view text) {
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return tl::unexpected(Error{"not JSON: error at byte " + std::to_string(nul + 1)});
  }
  bool too_deep = false;
  using Event = json::parse_event_t;
  const auto keep = [&too_deep](int depth, Event event, const json& /*parsed*/) {
    const bool opens = event == Event::array_start || event == Event::object_start;
    too_deep = too_deep || (opens && depth >= most_depth);
    return !too_deep;
  };
  try {
    json document = json::parse(text, keep);
    if (!too_deep) return document;
    return tl::unexpected(
        Error{"JSON that nests deeper than " + std::to_string(most_depth) + " levels"});
  } catch (const json::parse_error& error) {
    // what() quotes the text, which may hold a secret.
    return tl::unexpected(Error{"not JSON: error at byte " + std::to_string(error.byte)});
  } catch (const json::exception&) {  // a number that fits no type
    return tl::unexpected(Error{"not JSON: a number is out of range"});
  }
}

const json* find(const json& object, std::string_view path) {
  const json* place = &object;
  for (;;) {
    if (!place->is_object()) return nullptr;
    const std::size_t dot = path.find('.');
    const auto member = place->find(path.substr(0, dot));
    if (member == place->end() || member->is_null()) return nullptr;
    place = &*member;
    if (dot == std::string_view::npos) return place;
    path.remove_prefix(dot + 1);
  }
}

Expected<std::string> string_of(const json& value) {
  if (!value.is_string()) return tl::unexpected(mismatch("a string", value));
  return value.get_ref<const std::string&>();
}

Expected<bool> bool_of(const json& value) {
  if (!value.is_boolean()) return tl::unexpected(mismatch("a boolean", value));
  return value.get<bool>();
}

Expected<std::int64_t> integer_of(const json& value) {
  if (!value.is_number_integer()) return tl::unexpected(mismatch("an integer", value));
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return tl::unexpected(Error{"expected an integer below 2^63"});
  }
  return value.get<std::int64_t>();
}

Expected<double> number_of(const json& value) {
  if (!value.is_number()) return tl::unexpected(mismatch("a number", value));
  return value.get<double>();
}

Expected<std::string> string_or(const json& object, std::string_view path,
                                std::string_view fallback) {
  return value_or(object, path, std::string(fallback), string_of);
}

Expected<bool> bool_or(const json& object, std::string_view path, bool fallback) {
  return value_or(object, path, fallback, bool_of);
}

Expected<std::int64_t> integer_or(const json& object, std::string_view path,
                                  std::int64_t fallback) {
  return value_or(object, path, fallback, integer_of);
}

Expected<std::string> required_string(const json& object, std::string_view path) {
  if (find(object, path) == nullptr) {
    return tl::unexpected(Error{std::string(path) + ": expected a string, it is missing"});
  }
  return string_or(object, path, "");
}

std::string_view kind_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a string";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      return "a number";
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return "no JSON value";
}

}  // namespace quay_rotator::base
