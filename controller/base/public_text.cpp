#include "base/public_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/base64.h"
#include "base/secret_string.h"

namespace quay_rotator::base {
namespace {

constexpr std::size_t most_text = 1024;
constexpr std::size_t piece = 16;
constexpr std::size_t shortest_secret = 8;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

SecretString mapped(std::string_view text, char (*map)(char)) {
  SecretString result;
  for (const char c : text) {
    const char other = map(c);
    result.append({&other, 1});
  }
  return result;
}

// What is compared: letters, in lower case, and digits.
SecretString essence(std::string_view text) {
  SecretString result;
  for (const char c : text) {
    const char small = lower(c);
    if (is_digit(small) || (small >= 'a' && small <= 'z')) result.append({&small, 1});
  }
  return result;
}

std::optional<unsigned> hex_value(std::string_view digits) {
  unsigned value = 0;
  for (const char c : digits) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(lower(c));
    if (digit == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return value;
}

// With each `mark` and `digits` hexadecimal digits behind it replaced by the ASCII character that
// they name; also where the mark itself was written so, or doubled.
SecretString decoded(std::string_view text, std::string_view mark, std::size_t digits) {
  SecretString result;
  while (!text.empty()) {
    const std::size_t place = text.find(mark);
    result.append(text.substr(0, place));
    if (place == std::string_view::npos) break;
    text.remove_prefix(place + mark.size());
    const auto value = text.size() < digits ? std::nullopt : hex_value(text.substr(0, digits));
    if (!value || *value >= 0x80) continue;
    const char c = static_cast<char>(*value);
    result.append({&c, 1});
    text.remove_prefix(digits);
  }
  return result;
}

SecretString in_hexadecimal(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  SecretString result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    result.append(digits.substr(byte >> 4U, 1));
    result.append(digits.substr(byte & 0xFU, 1));
  }
  return result;
}

// Of base64 of something with `text` in it, `before` bytes from a boundary, what `text` decides.
SecretString in_base64(std::string_view text, std::size_t before) {
  SecretString padded = SecretString::copy_of(std::string_view("...").substr(0, before));
  padded.append(text);
  const SecretString encoded = base64_encode(padded.reveal());
  const std::size_t begin = (before * 8 + 5) / 6;
  const std::size_t end = padded.size() * 8 / 6;
  return SecretString::copy_of(encoded.reveal().substr(begin, end - begin));
}

bool shares(std::string_view text, std::string_view secret) {
  const std::size_t size = std::min(piece, secret.size());
  if (size < shortest_secret) return false;
  for (std::size_t at = 0; at + size <= text.size(); ++at) {
    if (secret.find(text.substr(at, size)) != std::string_view::npos) return true;
  }
  return false;
}

bool shares_essence(std::string_view text, std::string_view secret) {
  if (shares(text, essence(secret).reveal())) return true;
  for (const auto map : {+[](char c) { return c; }, lower, upper}) {
    const SecretString written = mapped(secret, map);
    const SecretString hexadecimal = in_hexadecimal(written.reveal());
    for (std::size_t at = 0; at + 2 * piece <= text.size(); ++at) {
      if (hexadecimal.reveal().find(text.substr(at, 2 * piece)) != std::string_view::npos) {
        return true;
      }
    }
    for (const std::size_t before : {0U, 1U, 2U}) {
      if (shares(text, essence(in_base64(written.reveal(), before).reveal()).reveal())) return true;
    }
  }
  return false;
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};
// Controls, what has no width, what changes the direction, what breaks lines, tags.
constexpr std::array hidden{Range{0, 0x1F},        Range{0x7F, 0x9F},     Range{0xAD, 0xAD},
                            Range{0x61C, 0x61C},   Range{0x180E, 0x180E}, Range{0x200B, 0x200F},
                            Range{0x2028, 0x202E}, Range{0x2060, 0x206F}, Range{0xFE00, 0xFE0F},
                            Range{0xFEFF, 0xFEFF}, Range{0xFFF0, 0xFFFB}, Range{0xE0000, 0xE0FFF}};

// Of the UTF-8 character that `text` begins with; 0: there is none.
std::size_t character_size(std::string_view text, std::uint32_t& code) {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  code = lead;
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
  code = lead & (0x7FU >> size);
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0U) != 0x80U) return 0;
    code = code << 6U | (byte(at) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> lowest{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < lowest.at(size) || code > 0x10FFFF || surrogate ? 0 : size;
}

std::string presentable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    std::uint32_t code = 0;
    const std::size_t size = character_size(text, code);
    if (result.size() + std::max<std::size_t>(size, 1) > most_text) return result + "…";
    const bool blank = code == '\n' || code == '\r' || code == '\t';
    const bool shown = size > 0 && std::ranges::none_of(hidden, [code](const Range& range) {
                         return code >= range.first && code <= range.last;
                       });
    if (shown) {
      result += text.substr(0, size);
    } else if (blank) {
      result += ' ';
    } else if (size == 0) {
      result += '?';
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return result;
}

}  // namespace

bool betrays(std::string_view text, std::string_view secret) {
  if (secret.empty() || text.empty()) return false;
  const SecretString forms[] = {essence(text), essence(decoded(text, "%", 2).reveal()),
                                essence(decoded(text, "\\u", 4).reveal()),
                                essence(decoded(text, "\\x", 2).reveal())};
  return std::ranges::any_of(
      forms, [secret](const SecretString& form) { return shares_essence(form.reveal(), secret); });
}

std::string public_text(std::string_view text, std::initializer_list<std::string_view> secrets,
                        std::string_view instead) {
  std::string shown = presentable(text);
  // Nothing hidden may part the pieces, and nothing beyond what is shown matters.
  const bool betrayed = std::ranges::any_of(
      secrets, [&shown](std::string_view secret) { return betrays(shown, secret); });
  return betrayed ? std::string(instead) : shown;
}

}  // namespace quay_rotator::base
