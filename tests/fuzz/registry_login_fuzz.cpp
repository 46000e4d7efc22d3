// The registry's answer to /v2/, a line ---, and the token server's answer to the login.
#include <algorithm>
#include <string>

#include "fuzz/http_text.h"
#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "quay/registry_login.h"

namespace quay_rotator::fuzz {
namespace {

using Kind = quay::Error::Kind;

bool speaks_of_credential(Kind kind) {
  return kind == Kind::login_refused || kind == Kind::robot_unknown_to_registry ||
         kind == Kind::robots_disallowed || kind == Kind::robot_owner_disabled;
}

}  // namespace

void run(std::string_view text) {
  const testing::Answer challenge = read_answer(take_part(text));
  const testing::Answer token = read_answer(text);
  InlineExecutor executor;
  testing::FakeTransport transport(executor, [&](const testing::SentRequest& sent) {
    return sent.authorization.empty() ? challenge : token;
  });
  quay::RegistryLogin login(transport, "https://quay.example.com", {});
  const quay::RobotCredential credential{"acme+puller",
                                         base::SecretString::copy_of("S3CRETMARKER-robot")};
  for (int turn = 0; turn < 2; ++turn) {  // the second one knows the challenge
    const auto result = login.login(credential, std::stop_token());
    if (!result) {
      expect_message(result.error().message);
      expect(!quay::reason(result.error().kind).empty(), "an error has a reason");
      expect(!result.error().maybe_changed, "a login changes nothing");
      expect(!speaks_of_credential(result.error().kind) || token.status == 401,
             "only a 401 of the token server speaks of the credential");
    } else {
      expect(token.status == 200, "a login succeeds with 200 only");
    }
  }
  for (const testing::SentRequest& sent : transport.requests()) {
    expect(sent.target.starts_with('/') &&
               std::ranges::all_of(sent.target, [](char c) { return c > ' ' && c < '\x7f'; }),
           "a realm cannot make a second request");
    expect(!sent.authorization.empty() || sent.target == "/v2/", "who asks elsewhere logs in");
    expect(sent.authorization.empty() || sent.authorization.starts_with("Basic "),
           "a login is Basic");
  }
}

}  // namespace quay_rotator::fuzz
