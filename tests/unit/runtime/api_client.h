// A kube::Client on a FakeTransport: what the drivers of this folder talk to in their tests.
#pragma once

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "kube/client.h"
#include "support/fake_transport.h"
#include "support/recording_log.h"
#include "support/virtual_executor.h"

namespace quay_rotator::runtime::testing {

class NoCredentials final : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

struct ApiClient {
  ApiClient(base::Executor& executor, quay_rotator::testing::FakeTransport::Handler handler,
            kube::ClientOptions options = {})
      : transport(executor, std::move(handler)),
        client(transport, credentials, executor, {}, std::move(options)) {}

  quay_rotator::testing::FakeTransport transport;
  NoCredentials credentials;
  kube::Client client;
};

// A Status, as the API server refuses.
inline quay_rotator::testing::Answer refusal(int code, const std::string& reason,
                                             const std::string& message = "no") {
  return {.status = code,
          .body = nlohmann::json{
              {"kind", "Status"},
              {"apiVersion", "v1"},
              {"status", "Failure"},
              {"reason", reason},
              {"message", message},
              {"code",
               code}}.dump()};
}

inline tl::unexpected<http::Error> no_answer() {
  return tl::unexpected(http::Error{http::Error::Kind::unreachable, "refused", false});
}

}  // namespace quay_rotator::runtime::testing
