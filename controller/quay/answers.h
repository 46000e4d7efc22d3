// What an answer that is not the wished one means: the table of docs/quay.md as pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/transport.h"
#include "quay/error.h"

namespace quay_rotator::quay {

// What was asked, for messages and for maybe_changed, which is true for regenerate alone.
struct Call {
  enum class Kind { get, regenerate, list, probe, compare, log, login, exchange, federation };
  Kind kind = Kind::get;
  std::string origin;    // of Quay or its registry
  std::string subject;   // "robot acme+puller", "organization acme"
  bool of_user = false;  // of the user who granted the API token, not of an organization

  // "reading robot acme+puller"
  [[nodiscard]] std::string doing() const;
};

// The strings of an error body in any of Quay's four JSON shapes, whatever its Content-Type said;
// all empty for HTML and nonsense. Never shown to anybody: a body may quote what was sent.
struct ErrorBody {
  bool json = false;
  std::string type;     // error_type
  std::string text;     // error, message, detail or errors[0].message
  bool errors = false;  // the registry's shape, errors[]
  bool read_only = false;

  [[nodiscard]] bool says(std::string_view part) const {
    return text.find(part) != std::string::npos;
  }
};
ErrorBody read_error_body(std::string_view body);

// Where an answer sends us (a Location, a realm), as seen from `origin`, in our own words: its text
// is the server's, and a token would fit into a host's name. "https:// at its own host", "another
// port of its host", "another path of itself", "another host".
std::string place_seen_from(std::string_view origin, std::string_view place);

// What Retry-After asks for, five minutes at most: another party's number sets no pace of ours
// beyond our own longest one.
std::optional<base::Duration> delay_asked_for(const http::Response& response);

// An answer of the robots API without a 2xx.
Error refusal(const Call& call, const http::Response& response);
// No answer. `call` may be any.
Error failure(const Call& call, const http::Error& error);
// A 3xx, wherever it comes from.
Error redirection(const Call& call, const http::Response& response);
// An answer that came and is not what it should be; `what` continues "Quay at … ".
Error unexpected(const Call& call, std::string_view what);
Error wrong_robot(const Call& call);
Error token_missing(const Call& call);
// A list shows its caller robots without what they may do.
Error rights_missing(const Call& call);
// A list does not have the robot that is the call's subject.
Error robot_missing(const Call& call);

}  // namespace quay_rotator::quay
