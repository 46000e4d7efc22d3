#include "support/token_search.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <stdexcept>

#include "base/base64.h"

namespace quay_rotator::testing {
namespace {

constexpr std::size_t run = sizeof(std::uint64_t);

std::uint64_t run_at(std::string_view text, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, text.data() + at, run);
  return value;
}

}  // namespace

void TokenSearch::add_runs(std::string_view text) {
  for (std::size_t at = 0; at + run <= text.size(); ++at) runs_.insert(run_at(text, at));
}

void TokenSearch::add(std::string_view token) {
  if (token.size() < run) throw std::invalid_argument("too short to be searched for");
  std::string other(token);
  add_spelling(token);
  std::ranges::transform(other, other.begin(), [](unsigned char c) { return std::tolower(c); });
  add_spelling(other);
  std::ranges::transform(other, other.begin(), [](unsigned char c) { return std::toupper(c); });
  add_spelling(other);
}

void TokenSearch::add_spelling(std::string_view token) {
  add_runs(token);
  for (std::size_t before = 0; before < 3; ++before) {
    const std::string padded = std::string(before, '.') + std::string(token);
    std::string encoded(base::base64_encode(padded).reveal());
    // The first and last characters also encode what stands around the token.
    const std::size_t begin = (before * 8 + 5) / 6;
    const std::size_t end = padded.size() * 8 / 6;
    encoded = encoded.substr(begin, end - begin);
    add_runs(encoded);
    std::ranges::replace(encoded, '+', '-');
    std::ranges::replace(encoded, '/', '_');
    add_runs(encoded);
  }
}

std::size_t TokenSearch::find(std::string_view text) const {
  for (std::size_t at = 0; at + run <= text.size(); ++at) {
    if (runs_.contains(run_at(text, at))) return at;
  }
  return std::string_view::npos;
}

bool TokenSearch::betrayed_by(std::string_view text) const {
  return find(text) != std::string_view::npos;
}

}  // namespace quay_rotator::testing
