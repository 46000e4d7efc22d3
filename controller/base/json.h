// Reading JSON that others wrote: by path, typed, with errors that name the place.
//
// The only way the program reads a nlohmann::json: it never throws. Include
// <nlohmann/json_fwd.hpp> in headers, the whole library in .cpp files only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"

namespace quay_rotator::base {

// One document, of at most 100 levels. The error says what is wrong and never quotes the text.
// Where nlohmann's own parser takes a NUL for the end of the text, this one refuses it.
Expected<nlohmann::json> parse_json(std::string_view text);

// `path` is dot-separated: "metadata.name". A missing or null member is nullptr.
const nlohmann::json* find(const nlohmann::json& object, std::string_view path);

// A value as what it must be, or "expected a boolean, got a string".
Expected<std::string> string_of(const nlohmann::json& value);
Expected<bool> bool_of(const nlohmann::json& value);
Expected<std::int64_t> integer_of(const nlohmann::json& value);
Expected<double> number_of(const nlohmann::json& value);

// Missing (or null): the fallback. Of another type: the same error, after "spec.suspend: ".
Expected<std::string> string_or(const nlohmann::json& object, std::string_view path,
                                std::string_view fallback);
Expected<bool> bool_or(const nlohmann::json& object, std::string_view path, bool fallback);
Expected<std::int64_t> integer_or(const nlohmann::json& object, std::string_view path,
                                  std::int64_t fallback);
// Missing is an error too.
Expected<std::string> required_string(const nlohmann::json& object, std::string_view path);

// "a string", "an object", … for messages.
std::string_view kind_of(const nlohmann::json& value);

}  // namespace quay_rotator::base
