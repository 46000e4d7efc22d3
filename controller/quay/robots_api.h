// Quay's robots API: read, regenerate, list; compare two robots; who regenerated one. One call is
// at most one request where it does not say otherwise; nothing is retried.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/fingerprint.h"
#include "base/secret_string.h"
#include "base/time.h"
#include "http/transport.h"
#include "quay/error.h"
#include "quay/logs.h"
#include "quay/permissions.h"

namespace quay_rotator::quay {

// A robot of an organization, or (organization "") of the user who granted the API token.
struct Robot {
  std::string organization;
  std::string name;  // the short name
};

struct RobotCredential {
  std::string robot;  // full name, as the registry's user name: "acme+puller"
  base::SecretString token;
  // The last good login of anybody, quay-rotator's own among them, in whole seconds. Seen on a real
  // Quay: a login moves it with a scope or without, with rights in the repository or without, once
  // a minute at most; a regeneration and other calls of its API do not, nor does a login while Quay
  // is read-only. Nothing: never, or this Quay does not say, or not in a way we know.
  std::optional<base::WallTime> last_accessed = std::nullopt;
  // When that was answered, by Quay's own clock (the header Date), which last_accessed goes by.
  std::optional<base::WallTime> answered = std::nullopt;
};

// Who looks for tokens in a list. Not synchronized by its caller.
class TokenSeeker {
 public:
  virtual ~TokenSeeker() = default;
  virtual bool wants(std::string_view full_name) = 0;
  virtual void take(RobotCredential credential) = 0;
};

// ^[a-z0-9]+(?:[._-][a-z0-9]+)*$, 2 to 255 characters: organizations and short names alike.
bool legal_name(std::string_view name);

// The API token as it comes from a Secret: plain, with a newline at its end, or as JSON
// {"access_token": "…"} (also "token"). Errors: api_token_unusable, saying why.
Expected<base::SecretString> parse_api_token(std::string_view text);

struct RobotsApiOptions {
  base::Duration deadline = std::chrono::seconds(30);  // of each call; see credential/regenerate.h
  // Counts calls: "robot-get", "robot-regenerate", "robot-list", "probe", "robots-compare", "logs"
  // and "ok" or the reason.
  std::function<void(std::string_view call, std::string_view outcome)> observer;
  // In a call of several requests: one was answered, and the next will be sent.
  std::function<void()> on_next_request = {};
};

// Thread-safe, but two regenerations of one robot at once are the caller's mistake: both succeed
// and one token is dead. The transport must outlive it.
class RobotsApi {
 public:
  // `origin` is for messages.
  RobotsApi(http::Transport& transport, std::string origin, RobotsApiOptions options);

  Expected<RobotCredential> get(const Robot& robot, const base::SecretString& api_token,
                                const std::stop_token& stop);
  // The destructive call. On error see Error::maybe_changed.
  Expected<RobotCredential> regenerate(const Robot& robot, const base::SecretString& api_token,
                                       const std::stop_token& stop);
  // Every robot of the organization ("" of the user) that the token may see. The answer, of 32 MiB
  // at most, is parsed while it comes and never held; of a token only its fingerprint leaves this
  // function, unless the seeker wants that robot's. After an error both may have seen some of them.
  Expected<void> list(
      const std::string& organization, const base::SecretString& api_token,
      const std::stop_token& stop,
      const std::function<void(const std::string& full_name, base::Fingerprint)>& on_robot,
      TokenSeeker* seeker = nullptr);
  // Compares two robots (short names) of the organization ("" of the user) in what they may do: by
  // their teams and repositories, an organization's default permissions and, where the API token
  // may see them, their roles. That takes `most_requests_to_compare` requests at most, the first of
  // which is a list of all robots, without tokens, that is read as list() does. Error
  // robot_not_found names the robot that is missing. Seen on a real Quay: a robot has rights in
  // repositories of its own namespace alone, so that their names without it tell them apart; who
  // may read robots and not administer them is shown them without rights (insufficient_scope).
  static constexpr int most_requests_to_compare = 4;
  Expected<RobotsCompared> compare(const std::string& organization, std::string_view first,
                                   std::string_view second, const base::SecretString& api_token,
                                   const std::stop_token& stop);
  // Who regenerated that robot's token at or after `since` and from where it was used, in at most
  // `most_pages_of_log` requests of 20 entries each: Quay does not select them, and each registry
  // login is an entry too. What is found before a later page fails is returned, as incomplete.
  static constexpr int most_pages_of_log = 10;
  Expected<Regenerations> regenerations(const Robot& robot, base::WallTime since,
                                        const base::SecretString& api_token,
                                        const std::stop_token& stop);
  // Is there a Quay, and does it accept this token (with whatever scope)?
  Expected<void> probe(const base::SecretString& api_token, const std::stop_token& stop);

 private:
  Expected<RobotCredential> call_robot(bool regenerate, const Robot& robot,
                                       const base::SecretString& api_token,
                                       const std::stop_token& stop);

  http::Transport& transport_;
  std::string origin_;
  RobotsApiOptions options_;
};

}  // namespace quay_rotator::quay
