#include "quay/error.h"

namespace quay_rotator::quay {

bool refuses_access(Error::Kind kind) {
  using Kind = Error::Kind;
  switch (kind) {
    case Kind::api_token_unusable:
    case Kind::api_token_refused:
    case Kind::api_token_foreign:
    case Kind::insufficient_scope:
    case Kind::organization_not_found:
    case Kind::robot_not_found:
    case Kind::illegal_name:
    case Kind::token_missing:
      return true;
    default:
      return false;
  }
}

std::string_view reason(Error::Kind kind) {
  using Kind = Error::Kind;
  switch (kind) {
    case Kind::api_token_unusable:
      return "ApiTokenUnusable";
    case Kind::api_token_refused:
      return "ApiTokenRefused";
    case Kind::api_token_foreign:
      return "ApiTokenForeign";
    case Kind::insufficient_scope:
      return "InsufficientScope";
    case Kind::organization_not_found:
      return "OrganizationNotFound";
    case Kind::robot_not_found:
      return "RobotNotFound";
    case Kind::illegal_name:
      return "IllegalName";
    case Kind::wrong_robot:
      return "WrongRobot";
    case Kind::token_missing:
      return "TokenMissing";
    case Kind::read_only:
      return "ReadOnly";
    case Kind::rate_limited:
      return "RateLimited";
    case Kind::server_error:
      return "ServerError";
    case Kind::starting_up:
      return "StartingUp";
    case Kind::too_slow:
      return "TooSlow";
    case Kind::no_robots_api:
      return "NoRobotsApi";
    case Kind::redirected:
      return "Redirected";
    case Kind::unexpected_answer:
      return "UnexpectedAnswer";
    case Kind::not_federated:
      return "NotFederated";
    case Kind::identity_refused:
      return "IdentityRefused";
    case Kind::no_federation_api:
      return "NoFederationApi";
    case Kind::unreachable:
      return "Unreachable";
    case Kind::tls:
      return "TlsFailed";
    case Kind::host_not_allowed:
      return "HostNotAllowed";
    case Kind::cancelled:
      return "Cancelled";
    case Kind::login_refused:
      return "LoginRefused";
    case Kind::robot_unknown_to_registry:
      return "RobotUnknownToRegistry";
    case Kind::robots_disallowed:
      return "RobotsDisallowed";
    case Kind::robot_owner_disabled:
      return "RobotOwnerDisabled";
    case Kind::realm_refused:
      return "RealmRefused";
    case Kind::registry_unavailable:
      break;
  }
  return "RegistryUnavailable";
}

bool passes(Error::Kind kind) {
  using Kind = Error::Kind;
  switch (kind) {
    case Kind::read_only:
    case Kind::rate_limited:
    case Kind::server_error:
    case Kind::starting_up:
    case Kind::too_slow:
    case Kind::unexpected_answer:
    case Kind::unreachable:
    case Kind::cancelled:
    case Kind::registry_unavailable:
      return true;
    default:
      return false;
  }
}

}  // namespace quay_rotator::quay
