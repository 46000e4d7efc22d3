// The three JSON readers, which must agree, whole and in pieces, and base64.
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "base/secret_json.h"
#include "fuzz/target.h"
#include "kube/object.h"

namespace quay_rotator::fuzz {
namespace {

using nlohmann::json;

constexpr std::size_t most_depth = 32;  // of visit_json

using Texts = std::vector<std::pair<base::JsonPath, std::string>>;

class Collector final : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    texts.emplace_back(path, value);
  }
  void on_other(const base::JsonPath& /*path*/) override { ++others; }
  void on_begin(const base::JsonPath& path) override { open.push_back(path); }
  void on_end(const base::JsonPath& path) override {
    expect(!open.empty() && open.back() == path, "what begins ends, at the same place");
    open.pop_back();
  }

  Texts texts;
  std::size_t others = 0;
  std::vector<base::JsonPath> open;
};

std::size_t depth_of(const json& value) {
  std::size_t deepest = 0;
  if (!value.is_structured()) return deepest;
  for (const json& member : value) deepest = std::max(deepest, depth_of(member));
  return deepest + 1;
}

void collect(const json& value, base::JsonPath& path, Texts& texts) {
  if (value.is_string()) texts.emplace_back(path, value.get_ref<const std::string&>());
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items()) {
    path.push_back(value.is_array() ? "[]" : key);
    collect(member, path, texts);
    path.pop_back();
  }
}

// However it comes, and with a bound that lets long strings go by.
void check_pieces(std::string_view text, const Collector& expected, bool whole) {
  for (const std::size_t size : {1U, 2U, 7U}) {
    Collector seen;
    base::JsonReader reader(seen, text.size());
    Collector bounded;
    base::JsonReader bounded_reader(bounded, 4);
    bool readable = true;
    for (std::size_t at = 0; at < text.size() && readable; at += size) {
      readable = reader.feed(text.substr(at, size));
      expect(bounded_reader.feed(text.substr(at, size)) == readable, "a bound refuses nothing");
    }
    expect((readable && reader.finish()) == whole && bounded_reader.finish() == whole,
           "pieces make no difference");
    expect(!whole || seen.texts == expected.texts, "what comes in pieces is the same");
    expect(
        std::ranges::all_of(bounded.texts, [](const auto& one) { return one.second.size() <= 4; }),
        "nothing longer than the bound is seen");
  }
}

void check_visitor(std::string_view text, const base::Expected<json>& document) {
  Collector seen;
  const bool whole = base::visit_json(text, seen);
  check_pieces(text, seen, whole);
  // The reader looks at no number's value.
  if (!document && document.error().message.ends_with("out of range")) return;
  const bool expected = document && depth_of(*document) <= most_depth;
  expect(whole == expected, "both readers accept the same documents");
  if (!whole) return;
  expect(seen.open.empty(), "everything ends");
  Texts texts;
  base::JsonPath path;
  collect(*document, path, texts);
  std::sort(seen.texts.begin(), seen.texts.end());
  std::sort(texts.begin(), texts.end());
  // A repeated key is visited each time, and only one of its values is in the document.
  expect(std::includes(seen.texts.begin(), seen.texts.end(), texts.begin(), texts.end()),
         "the visitor sees every string where it is");
}

void remove_managed_fields(json& value) {
  if (!value.is_structured()) return;
  if (value.is_object()) {
    if (const auto metadata = value.find("metadata");
        metadata != value.end() && metadata->is_object()) {
      metadata->erase("managedFields");
    }
  }
  for (json& member : value) remove_managed_fields(member);
}

void check_object(std::string_view text, const base::Expected<json>& document) {
  const auto object = kube::parse_object(text);
  expect(object.has_value() == document.has_value(), "both parsers accept the same documents");
  if (!object) return expect_message(object.error().message);
  json expected = *document;
  remove_managed_fields(expected);
  expect(*object == expected, "an object lacks its managedFields and nothing else");
}

void check_base64(std::string_view text) {
  const base::SecretString encoded = base::base64_encode(text);
  const auto decoded = base::base64_decode(encoded.reveal());
  expect(decoded && decoded->reveal() == text, "bytes come back from base64");
  if (const auto bytes = base::base64_decode(text)) {
    expect(bytes->size() <= text.size() / 4 * 3, "base64 only ever shrinks");
    expect(base::base64_encode(bytes->reveal()).size() == text.size(), "no byte is lost");
  }
}

}  // namespace

void run(std::string_view text) {
  check_base64(text);
  const auto document = base::parse_json(text);
  if (!document) expect_message(document.error().message);
  check_visitor(text, document);
  check_object(text, document);
  if (!document) return;
  for (const char* path : {"a", "metadata.name", "spec.schedule.interval"}) {
    const auto string = base::string_or(*document, path, "fallback");
    const json* found = base::find(*document, path);
    const auto number = found == nullptr ? 1 : base::number_of(*found);
    const auto integer = base::integer_or(*document, path, 1);
    const auto boolean = base::bool_or(*document, path, true);
    if (!string) expect_message(string.error().message);
    expect(!integer || number, "an integer is a number");
    expect(found == nullptr || string.has_value() + number.has_value() + boolean.has_value() <= 1,
           "a value has one type");
  }
}

}  // namespace quay_rotator::fuzz
