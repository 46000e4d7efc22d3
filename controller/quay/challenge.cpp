#include "quay/challenge.h"

#include <strings.h>

namespace quay_rotator::quay {
namespace {

bool is_token_character(char c) {
  constexpr std::string_view symbols = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         symbols.find(c) != std::string_view::npos;
}

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  // How many characters were skipped.
  std::size_t skip(std::string_view characters) {
    std::size_t count = rest_.find_first_not_of(characters);
    if (count == std::string_view::npos) count = rest_.size();
    rest_.remove_prefix(count);
    return count;
  }
  std::string_view token() {
    std::size_t size = 0;
    while (size < rest_.size() && is_token_character(rest_[size])) ++size;
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }
  bool equals_sign() {
    const std::string_view before = rest_;
    skip(" \t");
    if (rest_.starts_with('=')) {
      rest_.remove_prefix(1);
      skip(" \t");
      return true;
    }
    rest_ = before;
    return false;
  }
  // A token or a quoted string; nothing when it is neither or does not end.
  std::optional<std::string> value() {
    if (!rest_.starts_with('"')) {
      const std::string_view found = token();
      return found.empty() ? std::nullopt : std::optional<std::string>(found);
    }
    rest_.remove_prefix(1);
    for (std::string found; !rest_.empty(); rest_.remove_prefix(1)) {
      if (rest_[0] == '"') {
        rest_.remove_prefix(1);
        return found;
      }
      if (rest_[0] == '\\') {
        rest_.remove_prefix(1);
        if (rest_.empty()) break;
      }
      found += rest_[0];
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

}  // namespace

std::optional<BearerChallenge> parse_bearer_challenge(std::string_view header) {
  std::optional<BearerChallenge> challenge;  // while its parameters are read
  const auto complete = [&] { return challenge && !challenge->realm.empty(); };
  Scanner scanner(header);
  for (scanner.skip(" \t,"); !scanner.at_end(); scanner.skip(" \t,")) {
    const std::string_view name = scanner.token();
    if (name.empty()) return std::nullopt;
    if (!scanner.equals_sign()) {  // a scheme begins
      if (complete()) return challenge;
      challenge.reset();
      if (same(name, "Bearer")) challenge.emplace();
      continue;
    }
    std::optional<std::string> value = scanner.value();
    if (!value) return std::nullopt;
    if (!challenge) continue;
    if (same(name, "realm")) challenge->realm = std::move(*value);
    if (same(name, "service")) challenge->service = std::move(*value);
  }
  return complete() ? challenge : std::nullopt;
}

}  // namespace quay_rotator::quay
