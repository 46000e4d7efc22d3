// Typed verbs on the Kubernetes API over an http::Transport.
//
// Thread-safe. Owns nothing but what it is given; transport, credentials and executor must outlive
// it. One call is one request, except: 401 is tried once more with fresh credentials, and 429 or
// 5xx with Retry-After are repeated after that delay while the deadline allows and the verb is
// idempotent (get, list, apply, merge patch with a resourceVersion). In a burst an apply goes
// first: of all others that write, and of dry runs, only a few are under way at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <tl/expected.hpp>

#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/secret_string.h"
#include "base/turnstile.h"
#include "http/transport.h"
#include "kube/configuration.h"
#include "kube/object.h"

namespace quay_rotator::kube {

struct Error {
  enum class Kind {
    unauthorized,       // 401
    forbidden,          // 403: RBAC, admission or quota; `message` is the server's
    not_found,          // 404; also when the CRD is not installed
    conflict,           // 409: resourceVersion, uid, or a field another manager owns
    already_exists,     // 409 AlreadyExists
    expired,            // 410: resourceVersion or continue token too old
    ahead,              // 504: a resourceVersion that the server has not reached
    invalid,            // 400, 422: the server refuses the object
    too_many_requests,  // 429
    server,             // 5xx
    unreachable,        // no answer; a write may have happened
    malformed,          // an answer that is not Kubernetes'
    cancelled,          // the stop token
    credentials,        // our own token could not be had (file, exec plugin)
  };
  struct Cause {  // Status.details.causes
    std::string reason;
    std::string field;
    std::string message;
  };
  Kind kind = Kind::server;
  int status = 0;
  std::string reason;   // Status.reason, e.g. "Forbidden"
  std::string message;  // "patch secrets team-a/quay-pull: …": verb, resource, name, what happened
  std::vector<Cause> causes;
  std::optional<base::Duration> retry_after;
};

template <class T>
using Expected = tl::expected<T, Error>;

struct ListOptions {
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;  // "" is the most recent
  // At least that version, else an error of kind ahead; or what was at exactly that one, else an
  // error of kind expired where it is compacted.
  enum class Match : std::uint8_t { any, not_older, exact };
  Match match = Match::any;
  int limit = 500;  // 0: no paging
  std::string continue_token;
};

struct ListPage {
  std::string resource_version;
  std::string continue_token;  // "": it was the last
};

struct WatchOptions {
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;
  base::Duration timeout{};     // asked of the server
  base::Duration idle_limit{};  // ours; 0: 150 s
};

struct ApplyOptions {
  std::string field_manager;
  bool force = false;
  bool dry_run = false;
  // What is in the manifest and in no log, whatever an admission webhook quotes: views that live as
  // long as the call.
  std::vector<std::string_view> secrets = {};
};

struct DeletePreconditions {
  std::string uid;
  std::string resource_version;
};

// Counts requests; called after each with the verb as RBAC calls it (get, list, watch, create,
// update, patch, delete), the resource ("secrets", "robottokenrotations/status") and the HTTP
// status (0: no answer).
using RequestObserver =
    std::function<void(std::string_view verb, std::string_view resource, int status)>;

struct ClientOptions {
  base::Duration deadline = std::chrono::seconds(15);
  RequestObserver observer;
};

class Client {
 public:
  Client(http::Transport& transport, Credentials& credentials, base::Executor& executor,
         base::Log log, ClientOptions options = {});

  Expected<nlohmann::json> get(const Resource& resource, const ObjectKey& key,
                               const std::stop_token& stop);
  // One page without ever holding it: hands over each item as it comes. `name_space` "" is all of
  // them. After an error some items may have been handed over. An item that is no object is one of
  // these errors.
  Expected<ListPage> list(const Resource& resource, const std::string& name_space,
                          const ListOptions& options, const std::stop_token& stop,
                          const std::function<void(const nlohmann::json& item)>& on_item);
  Expected<nlohmann::json> create(const Resource& resource, const std::string& name_space,
                                  const nlohmann::json& object, const std::stop_token& stop);
  // PUT with the object's own resourceVersion.
  Expected<nlohmann::json> replace(const Resource& resource, const ObjectKey& key,
                                   const nlohmann::json& object, const std::stop_token& stop);
  // Server-side apply. `manifest` is JSON; it may hold a token, hence the type. A uid or
  // resourceVersion in its metadata is a precondition.
  Expected<nlohmann::json> apply(const Resource& resource, const ObjectKey& key,
                                 const base::SecretString& manifest, const ApplyOptions& options,
                                 const std::stop_token& stop);
  // application/merge-patch+json; `subresource` "" or "status". Put metadata.resourceVersion into
  // `patch` for a precondition.
  Expected<nlohmann::json> merge_patch(const Resource& resource, const ObjectKey& key,
                                       std::string_view subresource, const nlohmann::json& patch,
                                       std::string_view field_manager, const std::stop_token& stop);
  // A token of that ServiceAccount for that audience alone (TokenRequest). The API server gives
  // none that lives less than ten minutes.
  Expected<base::SecretString> create_token(const ObjectKey& service_account,
                                            const std::string& audience, std::chrono::seconds life,
                                            const std::stop_token& stop);
  // Deleting what is not there is a success.
  Expected<void> remove(const Resource& resource, const ObjectKey& key,
                        const DeletePreconditions& preconditions, const std::stop_token& stop);
  // Hands over each line of the watch as it comes until the stream ends (a success) or `on_line`
  // returns false.
  Expected<void> watch(const Resource& resource, const std::string& name_space,
                       const WatchOptions& options, const std::stop_token& stop,
                       const std::function<bool(std::string_view line)>& on_line);

 private:
  struct Call;
  // Any status but 2xx is an error.
  Expected<http::Response> perform(const Call& call, const std::stop_token& stop);
  Expected<nlohmann::json> perform_json(const Call& call, const std::stop_token& stop);
  tl::expected<http::Response, http::Error> send(const Call& call, const http::Request& request,
                                                 base::MonotonicTime deadline,
                                                 const std::stop_token& stop);
  void log_warnings(const Call& call, const http::Response& response);

  http::Transport& transport_;
  Credentials& credentials_;
  base::Executor& executor_;
  base::Log log_;
  ClientOptions options_;
  base::Turnstile turnstile_;
  base::Mutex mutex_;
  std::set<std::string> warned_ GUARDED_BY(mutex_);  // texts of Warning headers that were logged
};

// error.message, and when RBAC refused also the rule that is missing: "…; its Role or ClusterRole
// needs the verb patch on secrets".
std::string explain(const Error& error);

}  // namespace quay_rotator::kube
