// Quay's robot federation (3.13 and later): whose tokens stand for a robot, and the exchange of
// such a token for a credential of an hour. One call is one request; nothing is retried.
#pragma once

#include <stop_token>
#include <string>

#include "base/secret_string.h"
#include "base/time.h"
#include "http/transport.h"
#include "quay/error.h"
#include "quay/federation_list.h"
#include "quay/jwt.h"
#include "quay/robots_api.h"

namespace quay_rotator::quay {

struct FederatedCredential {
  RobotCredential credential;
  Claims claims;  // with `expires`
};

// Thread-safe. The transport must outlive it.
class FederationApi {
 public:
  // `origin` is for messages. Calls are counted as "federation-exchange", "federation-get" and
  // "federation-set".
  FederationApi(http::Transport& transport, std::string origin, RobotsApiOptions options)
      : transport_(transport), origin_(std::move(origin)), options_(std::move(options)) {}

  // Changes nothing in Quay, and needs no API token. `robot` is the full name, "acme+puller". Quay
  // asks the token's issuer for its keys, so what ails the way there is among the errors:
  // not_federated, identity_refused, no_federation_api, and server_error and starting_up, of which
  // the message says what they may mean here.
  Expected<FederatedCredential> exchange(const std::string& robot,
                                         const base::SecretString& identity,
                                         const std::stop_token& stop);
  // Whose tokens are taken. An entry with members that are not known here is an error: writing the
  // list would lose them.
  Expected<FederationList> read(const Robot& robot, const base::SecretString& api_token,
                                const std::stop_token& stop);
  // Replaces the whole list.
  Expected<void> write(const Robot& robot, const FederationList& list,
                       const base::SecretString& api_token, const std::stop_token& stop);

 private:
  http::Transport& transport_;
  std::string origin_;
  RobotsApiOptions options_;
};

}  // namespace quay_rotator::quay
