// Everything Quay or its registry can answer that is not what we asked for: one name each, with
// what happened and what to do. The rows are those of docs/quay.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "base/time.h"

namespace quay_rotator::quay {

struct Error {
  enum class Kind {
    // The API token
    api_token_unusable,  // empty, with control characters: nothing was sent
    api_token_refused,   // 401, or the CSRF 403 of POST: dead, expired, deleted, unknown
    api_token_foreign,   // 401 "Issuer … not configured": a JWT of another issuer
    insufficient_scope,  // 403 insufficient_scope: rights missing, or no such organization
    // Names
    organization_not_found,
    robot_not_found,
    illegal_name,   // would not be a robot's or organization's name; nothing was sent
    wrong_robot,    // the answer is about another robot
    token_missing,  // the answer has no token: the caller may read but not administer
    // Quay's state
    read_only,
    rate_limited,
    server_error,  // 500
    starting_up,   // 502
    too_slow,      // 504
    // Not Quay as we know it
    no_robots_api,  // 404: a mirror registry, or a wrong url
    redirected,
    unexpected_answer,  // HTML, nothing, too much, another shape
    // Federation
    not_federated,      // 400: the robot takes no tokens of that issuer, or of another subject only
    identity_refused,   // 400: it has ended, or its signature is not of the issuer's keys
    no_federation_api,  // 404, 405, 308: a Quay before 3.13
    // The way there
    unreachable,       // no connection, timeout, name
    tls,               // unknown CA, wrong host, expired
    host_not_allowed,  // its name leads to an address that is never called; nothing was sent
    cancelled,
    // The registry login
    login_refused,  // 401 for this user and password
    robot_unknown_to_registry,
    robots_disallowed,  // ROBOTS_DISALLOW
    robot_owner_disabled,
    realm_refused,         // the challenge points to another host, or is no Bearer challenge
    registry_unavailable,  // 5xx, nothing, HTML: says nothing about the credential
  };
  Kind kind = Kind::unexpected_answer;
  // For people: what happened, where, and what to do. No token, no body.
  std::string message;
  std::optional<base::Duration> retry_after;
  // Only for regenerate: the token may have changed. False only for answers of which
  // quay-rotator knows that they come before the commit, and for what was never sent.
  bool maybe_changed = true;
};

// This API token may not read that robot, or there is no such robot: a person has to do something.
// Not what may pass by itself: a Quay that is away refuses nothing.
bool refuses_access(Error::Kind kind);

// CamelCase, as a condition's reason: "ApiTokenRefused".
std::string_view reason(Error::Kind kind);

// Does it pass by itself? Else a person has to do something.
bool passes(Error::Kind kind);

template <class T>
using Expected = tl::expected<T, Error>;

}  // namespace quay_rotator::quay
