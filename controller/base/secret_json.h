// Reading JSON that holds secrets: as events, without a document in memory.
//
// Values go from the text to the visitor in buffers that are wiped. base/json.h is for all else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quay_rotator::base {

// The keys from the root to a value; an element of an array has the key "[]". The root's is empty.
using JsonPath = std::vector<std::string>;

class JsonVisitor {
 public:
  virtual ~JsonVisitor() = default;
  // `value` lives as long as the call.
  virtual void on_string(const JsonPath& path, std::string_view value) = 0;
  // A number, a boolean or null.
  virtual void on_other(const JsonPath& path) = 0;
  // An object or array begins and ends at `path`.
  virtual void on_begin(const JsonPath& path) = 0;
  virtual void on_end(const JsonPath& path) = 0;
};

// False when `text` is not one JSON document or nests deeper than 32; the visitor has then seen
// what came before the mistake. Duplicate keys are visited as they come.
bool visit_json(std::string_view text, JsonVisitor& visitor);

}  // namespace quay_rotator::base
