#include "fuzz/target.h"

#include <cstdio>
#include <cstdlib>

namespace quay_rotator::fuzz {
namespace {

std::string_view take(std::string_view& rest, std::string_view separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + separator.size());
  return taken;
}

}  // namespace

void expect(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", property);
  std::abort();
}

void expect_message(std::string_view message) {
  // Several names of 253 characters, a few sentences, and what is quoted of a server's.
  constexpr std::size_t most = 4096;
  expect(!message.empty(), "an error has a message");
  expect(message.find(marker) == std::string_view::npos, "no message holds a secret");
  expect(message.size() <= most, "a message is short");
}

std::string_view take_part(std::string_view& rest) {
  return take(rest, "\n---\n");
}

std::string_view take_line(std::string_view& rest) {
  return take(rest, "\n");
}

}  // namespace quay_rotator::fuzz
