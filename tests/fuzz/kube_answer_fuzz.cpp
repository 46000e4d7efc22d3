// One answer of the API server, to each verb: objects, Status, warnings, and what is none of those.
#include <string>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "fuzz/http_text.h"
#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "kube/client.h"
#include "kube/credentials.h"
#include "target/problem.h"

namespace quay_rotator::fuzz {
namespace {

const kube::ObjectKey key{"team-a", "quay-pull"};

// The server's own words are in it, but never more of them than a status can hold.
void check_message(std::string_view message) {
  expect(!message.empty(), "an error has a message");
  expect(message.size() <= 4096, "a message is short");
}

void check_error(const kube::Error& error) {
  check_message(error.message);
  check_message(kube::explain(error));
  expect(!error.retry_after || *error.retry_after >= base::Duration::zero(),
         "no delay is negative");
  const target::Problem problem = target::problem_of(key, error);
  check_message(problem.message);
  expect(!problem.reason.empty() && problem.reason.find(' ') == std::string::npos,
         "a reason is one word");
  std::size_t names = 0;
  for (const std::string& manager : target::managers_of(error)) names += manager.size();
  expect(names <= 4096, "the managers of a field fit a message");
}

void check(const kube::Expected<nlohmann::json>& answer, int status) {
  if (!answer) return check_error(answer.error());
  expect(status / 100 == 2, "an object comes with a success");
  expect(answer->is_object(), "an object is an object");
}

}  // namespace

void run(std::string_view text) {
  const testing::Answer answer = read_answer(text);
  InlineExecutor executor;
  testing::FakeTransport transport(executor, [&](const auto&) { return answer; });
  const auto credentials = kube::make_fixed_credentials(base::SecretString::copy_of(marker));
  kube::Client client(transport, *credentials, executor, {});
  const std::stop_token never;
  const auto manifest = base::SecretString::copy_of(R"({"data":"S3CRETMARKER"})");
  const nlohmann::json object{{"metadata", {{"name", key.name}, {"resourceVersion", "1"}}}};

  check(client.get(kube::secrets, key, never), answer.status);
  const auto listed = client.list(kube::secrets, "", {}, never, [](const auto& item) {
    expect(item.is_object(), "an item is an object");
  });
  if (!listed) check_error(listed.error());
  check(client.create(kube::leases, key.name_space, object, never), answer.status);
  check(client.replace(kube::leases, key, object, never), answer.status);
  check(client.apply(kube::secrets, key, manifest, {.field_manager = "quay-rotator"}, never),
        answer.status);
  check(client.merge_patch(api::rotations, key, "status", object, "quay-rotator", never),
        answer.status);
  const auto removed = client.remove(kube::secrets, key, {}, never);
  if (!removed) check_error(removed.error());
  const auto watched = client.watch(kube::secrets, "", {}, never, [](auto) { return true; });
  if (!watched) check_error(watched.error());
  for (const testing::SentRequest& sent : transport.requests()) {
    expect(sent.target.find(marker) == std::string::npos, "no target holds a secret");
  }
}

}  // namespace quay_rotator::fuzz
