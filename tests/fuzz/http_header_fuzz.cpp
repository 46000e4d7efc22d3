// One header's value: Retry-After and WWW-Authenticate.
#include <algorithm>
#include <string>

#include "fuzz/target.h"
#include "http/transport.h"
#include "quay/challenge.h"

namespace quay_rotator::fuzz {
namespace {

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

void check_retry_after(std::string_view value) {
  http::Response response;
  response.headers = {{"Other", "1"}, {"rETRY-aFTER", std::string(value)}};
  expect(response.header("Retry-After") == value, "a header is found in any case");
  const auto seconds = response.retry_after();
  if (!seconds) return;
  expect(std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; }),
         "seconds are digits");
  expect(*seconds >= std::chrono::seconds(0) && *seconds <= std::chrono::years(200),
         "a delay can be added to a time");
}

void check_challenge(std::string_view value) {
  const auto challenge = quay::parse_bearer_challenge(value);
  if (!challenge) return;
  expect(!challenge->realm.empty(), "a challenge has a realm");
  expect(challenge->realm.size() + challenge->service.size() <= value.size(),
         "a challenge is part of the header");
  const auto again =
      quay::parse_bearer_challenge("Basic realm=x, bEARER realm=" + quoted(challenge->realm) +
                                   " ,service=" + quoted(challenge->service));
  expect(again && again->realm == challenge->realm && again->service == challenge->service,
         "a challenge comes back as it was written");
}

}  // namespace

void run(std::string_view text) {
  check_retry_after(text);
  check_challenge(text);
}

}  // namespace quay_rotator::fuzz
