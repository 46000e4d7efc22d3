// A token of a tenant's ServiceAccount, for one Quay: what is exchanged for a robot's credential.
//
// Whoever may create a RobotTokenRotation must not gain by it what a ServiceAccount may. Quay does
// not look at a token's audience, so one that was sent to another server could be used at the real
// Quay: the ServiceAccount itself must name the host (consent_annotation). Its audience is that
// host, unless the administrator allows others: never what the API server takes.
#pragma once

#include <chrono>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "api/robot_token_rotation.h"
#include "base/secret_string.h"
#include "connection/material.h"
#include "kube/client.h"

namespace quay_rotator::connection {

// On a ServiceAccount: the Quays, "HOST[:PORT],…", that may have a token of it.
inline constexpr std::string_view consent_annotation = "quayrotator.dev/federate-with";
// Long enough for the exchange; the API server gives no shorter one.
inline constexpr std::chrono::seconds identity_life = std::chrono::minutes(10);

// Pure. `quay` is a tenancy::quay_key; each name of the list is one, too, but for its case.
bool consents(std::string_view annotation, std::string_view quay);
// AudienceNotAllowed. Pure.
MaterialExpected<std::string> audience_of(const api::Federate& federate, const std::string& quay,
                                          const std::set<std::string>& allowed);

// Thread-safe. The client must outlive it.
class ServiceAccountTokens {
 public:
  ServiceAccountTokens(kube::Client& client, std::set<std::string> allowed_audiences)
      : client_(client), allowed_audiences_(std::move(allowed_audiences)) {}

  // Two requests: is there consent, then the token. `quay` is the quay_key of where it will go.
  // AudienceNotAllowed, ServiceAccountNotFound, ServiceAccountNotConsenting,
  // ServiceAccountForbidden (the operator has no right to it), ApiServerUnavailable.
  MaterialExpected<base::SecretString> token(const api::RobotTokenRotation& rotation,
                                             const std::string& quay, const std::stop_token& stop);

 private:
  kube::Client& client_;
  std::set<std::string> allowed_audiences_;
};

}  // namespace quay_rotator::connection
