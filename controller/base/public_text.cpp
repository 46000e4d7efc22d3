#include "base/public_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/base64.h"
#include "base/secret_string.h"

namespace quay_rotator::base {
namespace {

constexpr std::size_t most_text = 1024;
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

// In lower case and in the first alphabet of base64.
char folded(char c) {
  return c == '-' ? '+' : c == '_' ? '/' : lower(c);
}

// What is compared: letters, in lower case, and digits. Beside it `folded` counts: what has no
// letter in it is a character, too.
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

// A text to look for pieces of secrets in. It must outlive this.
class Haystack {
 public:
  Haystack(std::string_view text, std::size_t piece) : text_(text), piece_(piece) {
    for (std::size_t at = 0; at + piece <= text.size(); ++at)
      pieces_.insert(text.substr(at, piece));
  }
  [[nodiscard]] bool shares(std::string_view secret) const {
    if (secret.size() < shortest_secret) return false;
    if (secret.size() < piece_) return text_.find(secret) != std::string_view::npos;
    for (std::size_t at = 0; at + piece_ <= secret.size(); ++at) {
      if (pieces_.contains(secret.substr(at, piece_))) return true;
    }
    return false;
  }

 private:
  std::string_view text_;
  std::size_t piece_;
  std::unordered_set<std::string_view> pieces_;
};

// The texts that say a secret, but for their case and what stands in between.
std::vector<SecretString> spellings(std::string_view secret) {
  std::vector<SecretString> all;
  all.push_back(SecretString::copy_of(secret));
  for (const auto map : {+[](char c) { return c; }, lower, upper}) {
    const SecretString written = mapped(secret, map);
    for (const std::size_t before : {0U, 1U, 2U})
      all.push_back(in_base64(written.reveal(), before));
  }
  return all;
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

bool betrays(std::string_view text, std::string_view secret, std::size_t piece) {
  if (secret.empty() || text.empty()) return false;
  const std::vector<SecretString> all = spellings(secret);
  const SecretString whole = mapped(text, folded);
  const Haystack quoted(whole.reveal(), piece);
  const bool quotes = std::ranges::any_of(all, [&quoted](const SecretString& spelling) {
    return quoted.shares(mapped(spelling.reveal(), folded).reveal());
  });
  if (quotes) return true;

  const SecretString forms[] = {essence(text), essence(decoded(text, "%", 2).reveal()),
                                essence(decoded(text, "\\u", 4).reveal()),
                                essence(decoded(text, "\\x", 2).reveal())};
  return std::ranges::any_of(forms, [&](const SecretString& form) {
    const Haystack letters(form.reveal(), piece);
    const Haystack digits(form.reveal(), 2 * piece);
    const auto said = [&letters](const SecretString& spelling) {
      return letters.shares(essence(spelling.reveal()).reveal());
    };
    const auto said_in_hexadecimal = [&](char (*map)(char)) {
      const SecretString hexadecimal = in_hexadecimal(mapped(secret, map).reveal());
      return hexadecimal.size() >= 2 * piece && digits.shares(hexadecimal.reveal());
    };
    return std::ranges::any_of(all, said) || said_in_hexadecimal([](char c) { return c; }) ||
           said_in_hexadecimal(lower) || said_in_hexadecimal(upper);
  });
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
