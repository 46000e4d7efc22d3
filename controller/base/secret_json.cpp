#include "base/secret_json.h"

#include <algorithm>
#include <array>
#include <utility>

namespace quay_rotator::base {
namespace {

constexpr std::size_t most_depth = 32;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Of a string, what stands for itself in one byte.
bool is_plain(char c) {
  return c >= ' ' && c != '"' && c != '\\' && static_cast<unsigned char>(c) < 0x80;
}

}  // namespace

bool JsonReader::feed(std::string_view piece) {
  for (std::size_t at = 0; at < piece.size() && !failed_;) {
    const bool in_text = token_ == Token::text && following_ == 0 && surrogate_ == 0;
    if (in_text && is_plain(piece[at])) {
      const std::string_view rest = piece.substr(at);
      const auto end = std::find_if_not(rest.begin(), rest.end(), is_plain);
      keep(rest.substr(0, static_cast<std::size_t>(end - rest.begin())));
      at += static_cast<std::size_t>(end - rest.begin());
    } else {
      failed_ = !take(piece[at++]);
    }
  }
  return !failed_;
}

bool JsonReader::finish() {
  failed_ = failed_ || (token_ == Token::number && !end_number()) || token_ != Token::none ||
            expect_ != Expect::nothing;
  return !failed_;
}

bool JsonReader::take(char c) {
  switch (token_) {
    case Token::none:
      return begin_token(c);
    case Token::text:
      return take_text(c);
    case Token::escape:
      return take_escape(c);
    case Token::hex:
      return take_hex(c);
    case Token::number:
      return take_number(c);
    case Token::literal:
      return take_literal(c);
    case Token::mark:
      break;
  }
  if (c == byte_order_mark[mark_]) {
    if (++mark_ == byte_order_mark.size()) token_ = Token::none;
    return true;
  }
  token_ = Token::none;
  return mark_ == 0 && begin_token(c);
}

bool JsonReader::begin_token(char c) {
  if (is_blank(c)) return true;
  switch (expect_) {
    case Expect::value:
      return begin_value(c);
    case Expect::element_or_end:
      return c == ']' ? close(true) : begin_value(c);
    case Expect::key_or_end:
      if (c == '}') return close(false);
      [[fallthrough]];
    case Expect::key:
      is_key_ = true;
      token_ = Token::text;
      return c == '"';
    case Expect::colon:
      expect_ = Expect::value;
      return c == ':';
    case Expect::comma_or_end:
      if (c == ']' || c == '}') return close(c == ']');
      expect_ = in_array_.back() ? Expect::value : Expect::key;
      return c == ',';
    case Expect::nothing:
      break;
  }
  return false;
}

bool JsonReader::begin_value(char c) {
  switch (c) {
    case '{':
    case '[':
      return open(c == '[');
    case '"':
      token_ = Token::text;
      return true;
    case 't':
      literal_ = "rue";
      break;
    case 'f':
      literal_ = "alse";
      break;
    case 'n':
      literal_ = "ull";
      break;
    default:
      token_ = Token::number;
      number_ = c == '-' ? Number::minus : c == '0' ? Number::zero : Number::integer;
      return c == '-' || is_digit(c);
  }
  token_ = Token::literal;
  return true;
}

bool JsonReader::open(bool array) {
  if (in_array_.size() == most_depth) return false;
  visitor_.on_begin(path_);
  in_array_.push_back(array);
  if (array) path_.emplace_back("[]");
  expect_ = array ? Expect::element_or_end : Expect::key_or_end;
  return true;
}

bool JsonReader::close(bool array) {
  if (in_array_.back() != array) return false;
  in_array_.pop_back();
  if (array) path_.pop_back();
  visitor_.on_end(path_);
  return end_value();
}

// Behind a value its key is left; all elements of an array share one.
bool JsonReader::end_value() {
  if (!in_array_.empty() && !in_array_.back()) path_.pop_back();
  expect_ = in_array_.empty() ? Expect::nothing : Expect::comma_or_end;
  return true;
}

void JsonReader::keep(std::string_view part) {
  const std::size_t room = most_text_ - text_.size();
  too_long_ = too_long_ || part.size() > room;
  text_.append(part.substr(0, room));
}

bool JsonReader::take_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (following_ > 0) return take_in_character(byte);
  if (surrogate_ != 0 && c != '\\') return false;
  if (c == '"') return end_text();
  if (c == '\\') {
    token_ = Token::escape;
    return true;
  }
  return byte >= 0x80 && begin_character(byte);
}

// RFC 3629: no overlong form, no surrogate, nothing beyond U+10FFFF.
bool JsonReader::begin_character(unsigned char byte) {
  if (byte < 0xC2 || byte > 0xF4) return false;
  following_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  lowest_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  highest_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  const char c = static_cast<char>(byte);
  keep({&c, 1});
  return true;
}

bool JsonReader::take_in_character(unsigned char byte) {
  if (byte < lowest_ || byte > highest_) return false;
  --following_;
  lowest_ = 0x80;
  highest_ = 0xBF;
  const char c = static_cast<char>(byte);
  keep({&c, 1});
  return true;
}

bool JsonReader::take_escape(char c) {
  token_ = Token::text;
  if (c == 'u') {
    token_ = Token::hex;
    digits_ = 0;
    code_ = 0;
    return true;
  }
  constexpr std::string_view names = "\"\\/bfnrt";
  constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
  const std::size_t place = names.find(c);
  if (surrogate_ != 0 || place == std::string_view::npos) return false;
  keep(meanings.substr(place, 1));
  return true;
}

bool JsonReader::take_hex(char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  const std::size_t digit = digits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 0x20) : c);
  if (digit == std::string_view::npos) return false;
  code_ = code_ * 16 + static_cast<std::uint32_t>(digit);
  if (++digits_ < 4) return true;
  token_ = Token::text;
  const bool second = code_ >= 0xDC00 && code_ <= 0xDFFF;
  if (second != (surrogate_ != 0)) return false;
  if (code_ >= 0xD800 && code_ <= 0xDBFF) {
    surrogate_ = code_;
    return true;
  }
  if (second) code_ = 0x10000 + ((surrogate_ - 0xD800) << 10U) + (code_ - 0xDC00);
  surrogate_ = 0;
  keep_code_point(code_);
  return true;
}

void JsonReader::keep_code_point(std::uint32_t code) {
  const auto part = [code](unsigned shift, unsigned lead) {
    return static_cast<char>(lead | ((code >> shift) & 0x3FU));
  };
  if (code < 0x80) {
    const char c = static_cast<char>(code);
    return keep({&c, 1});
  }
  const std::array<char, 4> four{static_cast<char>(0xF0U | (code >> 18U)), part(12, 0x80),
                                 part(6, 0x80), part(0, 0x80)};
  const std::array<char, 3> three{static_cast<char>(0xE0U | (code >> 12U)), part(6, 0x80),
                                  part(0, 0x80)};
  const std::array<char, 2> two{static_cast<char>(0xC0U | (code >> 6U)), part(0, 0x80)};
  if (code >= 0x10000) return keep({four.data(), four.size()});
  if (code >= 0x800) return keep({three.data(), three.size()});
  keep({two.data(), two.size()});
}

bool JsonReader::end_text() {
  token_ = Token::none;
  const bool too_long = std::exchange(too_long_, false);
  if (std::exchange(is_key_, false)) {
    path_.emplace_back(text_.reveal());
    text_.clear();
    expect_ = Expect::colon;
    return true;
  }
  if (too_long) {
    visitor_.on_other(path_);
  } else {
    visitor_.on_string(path_, text_.reveal());
  }
  text_.clear();
  return end_value();
}

bool JsonReader::take_number(char c) {
  const bool digit = is_digit(c);
  const bool e = c == 'e' || c == 'E';
  switch (number_) {
    case Number::minus:
      number_ = c == '0' ? Number::zero : Number::integer;
      return digit;
    case Number::zero:
    case Number::integer:
      if (digit) return number_ == Number::integer;
      if (c == '.' || e) {
        number_ = e ? Number::e : Number::dot;
        return true;
      }
      break;
    case Number::dot:
      number_ = Number::fraction;
      return digit;
    case Number::fraction:
      if (digit) return true;
      if (e) {
        number_ = Number::e;
        return true;
      }
      break;
    case Number::e:
      number_ = digit ? Number::exponent : Number::e_sign;
      return digit || c == '+' || c == '-';
    case Number::e_sign:
      number_ = Number::exponent;
      return digit;
    case Number::exponent:
      if (digit) return true;
      break;
  }
  return end_number() && begin_token(c);
}

bool JsonReader::end_number() {
  const bool whole = number_ == Number::zero || number_ == Number::integer ||
                     number_ == Number::fraction || number_ == Number::exponent;
  if (!whole) return false;
  token_ = Token::none;
  visitor_.on_other(path_);
  return end_value();
}

bool JsonReader::take_literal(char c) {
  if (c != literal_.front()) return false;
  literal_.remove_prefix(1);
  if (!literal_.empty()) return true;
  token_ = Token::none;
  visitor_.on_other(path_);
  return end_value();
}

bool visit_json(std::string_view text, JsonVisitor& visitor) {
  JsonReader reader(visitor, text.size());
  return reader.feed(text) && reader.finish();
}

}  // namespace quay_rotator::base
