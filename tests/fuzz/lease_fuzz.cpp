// The Lease of the leader election, as it is found; what the election writes back is checked.
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "kube/client.h"
#include "kube/credentials.h"
#include "runtime/election.h"
#include "support/fake_transport.h"

namespace quay_rotator::fuzz {
namespace {

using nlohmann::json;

void check_written(const std::string& body, const base::Expected<json>& found) {
  const auto lease = base::parse_json(body);
  expect(lease.has_value(), "what is written is JSON");
  const auto holder = base::required_string(*lease, "spec.holderIdentity");
  expect(holder && (*holder == "pod-1" || holder->empty()), "nobody else is made the leader");
  const auto transitions = base::integer_or(*lease, "spec.leaseTransitions", -1);
  expect(transitions && *transitions >= 0, "leaders are counted from 0");
  const auto duration = base::integer_or(*lease, "spec.leaseDurationSeconds", -1);
  expect(duration && *duration > 0, "a lease lasts");
  const auto version = base::string_or(*found, "metadata.resourceVersion", "");
  expect(!version || base::string_or(*lease, "metadata.resourceVersion", "") == *version,
         "a lease is written over the version that was read");
}

}  // namespace

void run(std::string_view text) {
  const auto found = base::parse_json(text);
  InlineExecutor executor;
  int requests = 0;
  bool written = false;
  testing::FakeTransport transport(executor, [&](const testing::SentRequest& sent) {
    if (++requests == 12) executor.stop();
    if (sent.method == http::Method::get) return testing::Answer{.body = std::string(text)};
    check_written(sent.body, found);
    written = true;
    return testing::Answer{.body = sent.body};
  });
  const auto credentials = kube::make_fixed_credentials({});
  kube::Client client(transport, *credentials, executor, {});
  runtime::Election election({{"quay-rotator", "lease"}, "pod-1"}, client, executor, {});
  expect(!election.leading() || written, "nobody leads without a lease");
  election.release();
  expect(!election.leading(), "nobody leads who gave up");
}

}  // namespace quay_rotator::fuzz
