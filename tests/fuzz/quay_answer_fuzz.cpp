// One answer of Quay, to each call of the robots API.
#include <algorithm>
#include <array>
#include <string>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "fuzz/http_text.h"
#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "quay/robots_api.h"

namespace quay_rotator::fuzz {
namespace {

void check_error(const quay::Error& error, bool regenerate, int status) {
  expect_message(error.message);
  expect(!quay::reason(error.kind).empty(), "an error has a reason");
  expect(regenerate || !error.maybe_changed, "only a regeneration changes anything");
  constexpr std::array known{301, 308, 400, 401, 403, 404, 429, 503};
  expect(!regenerate || error.maybe_changed ||
             std::find(known.begin(), known.end(), status) != known.end(),
         "a regeneration that may have happened is never called refused");
}

void check_robot(const quay::Expected<quay::RobotCredential>& result, const quay::Robot& robot,
                 bool regenerate, const testing::Answer& answer) {
  if (!result) return check_error(result.error(), regenerate, answer.status);
  expect(answer.status == 200 || answer.status == 201, "a token comes with a success");
  const std::string& name = result->robot;
  expect(name.ends_with("+" + robot.name) &&
             (robot.organization.empty() || name == robot.organization + "+" + robot.name),
         "it is the robot that was asked for");
  const std::string_view token = result->token.reveal();
  expect(!token.empty() && std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; }),
         "a token can be carried by a login");
  const auto document = base::parse_json(answer.body);
  expect(document.has_value(), "an answer is JSON");
  const auto whole = base::string_or(*document, "token", token);
  expect(!whole || *whole == token, "the token is the answer's");
}

// Words of the server that people are shown.
void check_shown(std::string_view words, std::string_view api_token) {
  expect(words.find(api_token) == std::string_view::npos, "what is shown holds no API token");
  expect(words.size() <= 1100, "what is shown is no page");
}

void check_compared(const quay::Expected<quay::RobotsCompared>& result, std::string_view api_token,
                    int status) {
  if (!result) return check_error(result.error(), false, status);
  expect(result->differences.size() <= 11, "few differences are shown");
  for (const std::string& difference : result->differences) check_shown(difference, api_token);
}

void check_log(const quay::Expected<quay::Regenerations>& result, std::string_view api_token,
               int status) {
  if (!result) return check_error(result.error(), false, status);
  expect(result->entries.size() <= 100 && result->uses.size() <= 50, "few entries are shown");
  for (const quay::Use& use : result->uses) check_shown(use.address, api_token);
  for (const quay::Regeneration& entry : result->entries) {
    for (const auto& words : {entry.performer, entry.address, entry.application}) {
      check_shown(words, api_token);
    }
  }
}

}  // namespace

void run(std::string_view text) {
  const testing::Answer answer = read_answer(text);
  InlineExecutor executor;
  testing::FakeTransport transport(executor, [&](const auto&) { return answer; });
  quay::RobotsApi api(transport, "https://quay.example.com", {});
  const auto api_token = base::SecretString::copy_of("S3CRETMARKER-of-the-API");
  const std::stop_token never;
  for (const quay::Robot& robot : {quay::Robot{"acme", "puller"}, quay::Robot{"", "puller"}}) {
    check_robot(api.get(robot, api_token, never), robot, false, answer);
    check_robot(api.regenerate(robot, api_token, never), robot, true, answer);
    check_compared(api.compare(robot.organization, "puller", "two", api_token, never),
                   api_token.reveal(), answer.status);
    check_log(api.regenerations(robot, {}, api_token, never), api_token.reveal(), answer.status);
  }
  std::size_t robots = 0;
  const auto listed = api.list("acme", api_token, never, [&](const std::string& name, auto) {
    ++robots;
    expect(name.starts_with("acme+"), "robots of others are not handed out");
  });
  expect(robots <= answer.body.size(), "a list has no more robots than bytes");
  if (!listed) check_error(listed.error(), false, answer.status);
  const auto probed = api.probe(api_token, never);
  if (!probed) check_error(probed.error(), false, answer.status);
  for (const testing::SentRequest& sent : transport.requests()) {
    expect(sent.body.find(marker) == std::string::npos &&
               sent.target.find(marker) == std::string::npos,
           "the API token is in its header only");
  }
}

}  // namespace quay_rotator::fuzz
