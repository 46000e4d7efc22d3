// The API token of a connection's Secret, in any of its forms.
#include <algorithm>
#include <string>

#include "fuzz/target.h"
#include "quay/robots_api.h"

namespace quay_rotator::fuzz {

void run(std::string_view text) {
  const auto token = quay::parse_api_token(text);
  if (!token) {
    expect_message(token.error().message);
    expect(!token.error().maybe_changed, "nothing was sent");
    expect(token.error().kind == quay::Error::Kind::api_token_unusable, "it is the token's fault");
    return;
  }
  const std::string_view plain = token->reveal();
  expect(!plain.empty() && plain.size() <= 8192, "a token has a sensible length");
  expect(std::ranges::all_of(plain, [](char c) { return c > ' ' && c < '\x7f'; }),
         "a token cannot end a header");
  if (plain.starts_with('{')) return;  // only as a value within JSON
  const auto again = quay::parse_api_token(std::string(plain) + "\r\n");
  expect(again && again->reveal() == plain, "white space around a token does not matter");
}

}  // namespace quay_rotator::fuzz
