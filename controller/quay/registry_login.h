// Proves a credential the way docker does: /v2/ challenge, then the realm with Basic.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/secret_string.h"
#include "http/transport.h"
#include "http/url.h"
#include "quay/error.h"
#include "quay/robots_api.h"

namespace quay_rotator::quay {

struct RegistryLoginOptions {
  base::Duration deadline = std::chrono::seconds(30);
  // "registry-challenge", "registry-login" and "ok" or the reason.
  std::function<void(std::string_view call, std::string_view outcome)> observer;
  // A way to a realm that is not at the registry's own origin, or nothing: then it gets nothing.
  // Without this function no such realm does.
  std::function<std::shared_ptr<http::Transport>(const http::Url& realm)> open_realm = {};
};

// For one registry origin. Thread-safe. Caches the challenge until a login fails in a way that a
// changed challenge would explain. A realm of another origin than the registry's would get the
// credential: it is refused (realm_refused) unless RegistryLoginOptions::open_realm allows it.
class RegistryLogin {
 public:
  RegistryLogin(http::Transport& transport, std::string origin, RegistryLoginOptions options);

  // Asks for the challenge, where it is not known. `robot` is for messages.
  Expected<void> prepare(const std::string& robot, const std::stop_token& stop);
  [[nodiscard]] bool prepared();
  // Success proves the credential. Only login_refused, robot_unknown_to_registry, robots_disallowed
  // and robot_owner_disabled speak about it; every other error says nothing about it.
  Expected<void> login(const RobotCredential& credential, const std::stop_token& stop);
  // What the registry calls itself in its challenge, asked once without a credential: the service,
  // or the realm's host and port. "" when it does not say, nothing when it does not answer.
  std::optional<std::string> self_given_name(const std::stop_token& stop);

 private:
  struct Challenge {
    std::string target;  // path and query of the realm
    std::string service;
    std::shared_ptr<http::Transport> elsewhere;  // of a realm at another origin
  };
  // The kept one, or read anew. `robot` is for messages.
  Expected<Challenge> challenge(const std::string& robot, const std::stop_token& stop);
  Expected<Challenge> read_challenge(const std::string& robot, const std::stop_token& stop);
  void call_it(std::string name);

  http::Transport& transport_;
  std::string origin_;
  RegistryLoginOptions options_;
  base::Mutex mutex_;
  std::optional<Challenge> challenge_ GUARDED_BY(mutex_);
  std::optional<std::string> name_ GUARDED_BY(mutex_);  // as it last called itself
};

}  // namespace quay_rotator::quay
