// Reading JSON that holds secrets, or that a stranger sends: as events, while it comes, without a
// document in memory.
//
// Values go from the text to the visitor in a buffer that is wiped. base/json.h is for all else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret_string.h"

namespace quay_rotator::base {

// The keys from the root to a value; an element of an array has the key "[]". The root's is empty.
using JsonPath = std::vector<std::string>;

class JsonVisitor {
 public:
  virtual ~JsonVisitor() = default;
  // `value` lives as long as the call.
  virtual void on_string(const JsonPath& path, std::string_view value) = 0;
  // A number, a boolean or null; or a string that is longer than the reader holds.
  virtual void on_other(const JsonPath& path) = 0;
  // An object or array begins and ends at `path`.
  virtual void on_begin(const JsonPath& path) = 0;
  virtual void on_end(const JsonPath& path) = 0;
};

// One document, in pieces. Not synchronized. Holds one string of at most `most_text` bytes, and a
// key for each of at most 32 levels, cut off at that length; all else goes by. Duplicate keys are
// visited as they come.
class JsonReader {
 public:
  JsonReader(JsonVisitor& visitor, std::size_t most_text)
      : visitor_(visitor), most_text_(most_text) {}

  // False, from then on, when what came is the beginning of no JSON document (RFC 8259, UTF-8) or
  // nests too deep; the visitor has then seen what came before the mistake.
  bool feed(std::string_view piece);
  // Nothing more comes. False unless the document is whole.
  bool finish();

 private:
  enum class Expect { value, element_or_end, key_or_end, key, colon, comma_or_end, nothing };
  enum class Token { none, text, escape, hex, number, literal, mark };
  // Where in a number it may go on, and whether it may end there.
  enum class Number { minus, zero, integer, dot, fraction, e, e_sign, exponent };

  bool take(char c);
  bool begin_token(char c);
  bool begin_value(char c);
  bool open(bool array);
  bool close(bool array);
  bool end_value();
  bool take_text(char c);
  bool take_in_character(unsigned char byte);
  bool begin_character(unsigned char byte);
  bool take_escape(char c);
  bool take_hex(char c);
  bool take_number(char c);
  bool end_number();
  bool take_literal(char c);
  bool end_text();
  void keep(std::string_view part);
  void keep_code_point(std::uint32_t code);

  JsonVisitor& visitor_;
  const std::size_t most_text_;
  JsonPath path_;
  std::vector<bool> in_array_;  // of what is open, the innermost last
  bool failed_ = false;
  Expect expect_ = Expect::value;
  Token token_ = Token::mark;  // the byte order mark that a document may begin with
  std::size_t mark_ = 0;       // how much of it came
  SecretString text_;
  bool too_long_ = false;  // the text that is being read
  bool is_key_ = false;
  unsigned following_ = 0;  // bytes of a UTF-8 character that are still to come
  unsigned char lowest_ = 0x80;
  unsigned char highest_ = 0xBF;
  unsigned digits_ = 0;  // of \uXXXX
  std::uint32_t code_ = 0;
  std::uint32_t surrogate_ = 0;  // the first half of a pair; its second must come next
  Number number_ = Number::zero;
  std::string_view literal_;  // what is to come of it
};

// False when `text` is not one JSON document or nests deeper than 32; the visitor has then seen
// what came before the mistake.
bool visit_json(std::string_view text, JsonVisitor& visitor);

}  // namespace quay_rotator::base
