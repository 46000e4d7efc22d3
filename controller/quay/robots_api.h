// Quay's robots API: read, regenerate, list. One call is at most one request; nothing is retried.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/fingerprint.h"
#include "base/secret_string.h"
#include "http/transport.h"
#include "quay/error.h"

namespace quay_rotator::quay {

// A robot of an organization, or (organization "") of the user who granted the API token.
struct Robot {
  std::string organization;
  std::string name;  // the short name
};

struct RobotCredential {
  std::string robot;  // full name, as the registry's user name: "acme+puller"
  base::SecretString token;
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
  // Counts calls: "robot-get", "robot-regenerate", "robot-list", "probe" and "ok" or the reason.
  std::function<void(std::string_view call, std::string_view outcome)> observer;
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
