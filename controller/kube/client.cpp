#include "kube/client.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/public_text.h"
#include "base/secret_json.h"
#include "http/line_splitter.h"
#include "http/url.h"
#include "kube/abridger.h"
#include "kube/item_splitter.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using base::SecretString;
using nlohmann::json;
using Kind = Error::Kind;

// An object is at most 1.5 MiB in etcd; base64 and managedFields come on top.
constexpr std::size_t max_object = 8U << 20U;
constexpr std::size_t max_list = 128U << 20U;
constexpr std::size_t max_error = 64U << 10U;
// Of a Secret in a list or a watch: how large it is, and whether it wears our label, is its
// writer's to choose. A pull Secret has 500 bytes for each registry. Resources of ours are never
// shortened: their spec says which Secrets are wanted.
constexpr std::size_t most_text = 64U << 10U;
constexpr std::size_t most_object = 256U << 10U;
// Longer than this nobody is made to wait by a number in an answer.
constexpr base::Duration most_retry_after = 30s;
constexpr std::size_t max_token = 64U << 10U;
// More distinct warnings than that are noise.
constexpr std::size_t max_warnings = 100;
// Of requests that wait their turn: enough to keep an API server busy, and few enough for a new
// token's Secret to be answered soon beside them. A server that is slow for some (a webhook) makes
// no others wait longer.
constexpr int most_at_once = 4;
constexpr base::Duration longest_wait = 500ms;

// Hands pieces of a list or watch to `sink`, those of Secrets shortened.
std::function<bool(std::string_view)> shortening(const Resource& resource, Abridger::Shape shape,
                                                 std::function<bool(std::string_view)> sink) {
  if (resource.kind != secrets.kind) return sink;
  return [abridger = Abridger(shape, most_text, most_object), sink = std::move(sink)](
             std::string_view piece) mutable { return abridger.feed(piece, sink); };
}

// "?a=b&c=d", values encoded, empty ones left out.
class Query {
 public:
  Query& add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    text_ += text_.empty() ? '?' : '&';
    text_.append(name) += '=';
    text_ += http::percent_encode(value);
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string collection_path(const Resource& resource, std::string_view name_space) {
  std::string path = resource.group.empty() ? "/api/" : "/apis/";
  path += resource.api_version();
  if (resource.namespaced && !name_space.empty()) {
    path += "/namespaces/" + http::percent_encode(name_space);
  }
  return path.append("/").append(resource.plural);
}

std::string object_path(const Resource& resource, const ObjectKey& key,
                        std::string_view subresource = "") {
  std::string path =
      collection_path(resource, key.name_space) + '/' + http::percent_encode(key.name);
  if (!subresource.empty()) path.append("/").append(subresource);
  return path;
}

SecretString dumped(const json& object) {
  return SecretString(object.dump(-1, ' ', false, json::error_handler_t::replace));
}

Kind kind_of_status(int status, std::string_view reason) {
  switch (status) {
    case 401:
      return Kind::unauthorized;
    case 403:
      return Kind::forbidden;
    case 404:
      return Kind::not_found;
    case 409:
      return reason == "AlreadyExists" ? Kind::already_exists : Kind::conflict;
    case 410:
      return Kind::expired;
    case 429:
      return Kind::too_many_requests;
    default:
      break;
  }
  if (status >= 500) return Kind::server;
  return status >= 400 ? Kind::invalid : Kind::malformed;
}

Kind kind_of_failure(http::Error::Kind kind) {
  using From = http::Error::Kind;
  switch (kind) {
    case From::cancelled:
      return Kind::cancelled;
    case From::too_large:
    case From::malformed:
      return Kind::malformed;
    case From::invalid_request:  // all but the token is ours and well formed
      return Kind::credentials;
    case From::name_not_found:
    case From::not_allowed:
    case From::unreachable:
    case From::tls:
    case From::timeout:
    case From::connection_lost:
      break;
  }
  return Kind::unreachable;
}

// `secrets "x" is forbidden: User …` without what our own prefix has said already.
std::string_view without_subject(std::string_view message) {
  for (const std::string_view verdict : {" is forbidden: ", " is invalid: "}) {
    const std::size_t place = message.find(verdict);
    if (place != std::string_view::npos && message.find(": ") > place) {
      return message.substr(place + std::string_view(" is ").size());
    }
  }
  return message;
}

std::string text_of(const json& object, std::string_view path) {
  return base::string_or(object, path, "").value_or("");
}

// What is shown of the server's words. An admission webhook may answer anything, and a status that
// repeats too much of it would itself be refused.
std::string shown(const std::string& text) {
  return base::public_text(text, {}, "");
}

std::vector<Error::Cause> causes_of(const json& status) {
  constexpr std::size_t most = 16;
  std::vector<Error::Cause> causes;
  const json* list = base::find(status, "details.causes");
  if (list == nullptr || !list->is_array()) return causes;
  for (const json& cause : *list) {
    if (causes.size() == most) break;
    causes.push_back({.reason = shown(text_of(cause, "reason")),
                      .field = shown(text_of(cause, "field")),
                      .message = shown(text_of(cause, "message"))});
  }
  return causes;
}

// Of a list without its items.
base::Expected<ListPage> page_of(std::string_view envelope) {
  const auto list = parse_object(envelope);
  if (!list || !list->is_object()) {
    return tl::unexpected(base::Error{"the answer is not from a Kubernetes API server: " +
                                      (list ? "not an object" : list.error().message)});
  }
  auto version = base::required_string(*list, "metadata.resourceVersion");
  if (!version) return tl::unexpected(std::move(version.error()));
  auto continue_token = base::string_or(*list, "metadata.continue", "");
  if (!continue_token) return tl::unexpected(std::move(continue_token.error()));
  // "items": null is how Go writes an empty list.
  const json* items = base::find(*list, "items");
  if (items != nullptr && (!items->is_array() || !items->empty())) {
    return tl::unexpected(base::Error{"items: expected an array of objects"});
  }
  return ListPage{std::move(*version), std::move(*continue_token)};
}

// status.token of a TokenRequest.
class TokenReader : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path == base::JsonPath{"status", "token"}) token = SecretString::copy_of(value);
  }
  void on_other(const base::JsonPath& /*path*/) override {}
  void on_begin(const base::JsonPath& /*path*/) override {}
  void on_end(const base::JsonPath& /*path*/) override {}

  SecretString token;
};

// The text within the quotation marks of each `299 - "text"` in a Warning header.
std::vector<std::string> warning_texts(std::string_view header) {
  std::vector<std::string> texts;
  bool quoted = false;
  bool date = false;  // a warning may end with a second quoted string, its date
  std::string text;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const char c = header[i];
    if (!quoted) {
      if (c == ',') date = false;
      quoted = c == '"';
    } else if (c == '\\' && i + 1 < header.size()) {
      text += header[++i];
    } else if (c != '"') {
      text += c;
    } else {
      quoted = false;
      if (!date) texts.push_back(std::move(text));
      date = true;
      text.clear();
    }
  }
  return texts;
}

}  // namespace

struct Client::Call {
  std::string_view verb;
  http::Method method = http::Method::get;
  const Resource* resource = nullptr;  // null: a path outside the resources
  std::string subject;                 // "secrets/status", "/version"
  std::string object;                  // "team-a/quay-pull", or "" or the namespace
  std::string target;
  std::string content_type = {};
  const SecretString* body = nullptr;
  std::vector<std::string_view> secrets = {};  // as in ApplyOptions
  bool idempotent = false;
  bool waits_its_turn = false;  // nobody's pods wait for it
  std::size_t max_body = max_object;
  // For a watch or a list: where its pieces go.
  const std::function<bool(std::string_view)>* on_data = nullptr;
  base::Duration idle_limit = 150s;

  static Call of(std::string_view verb, http::Method method, const Resource& resource,
                 std::string_view subresource, std::string object, std::string target) {
    Call call;
    call.verb = verb;
    call.method = method;
    call.resource = &resource;
    call.subject = resource.plural;
    if (!subresource.empty()) call.subject.append("/").append(subresource);
    call.object = std::move(object);
    call.target = std::move(target);
    return call;
  }

  [[nodiscard]] bool is_write() const { return method != http::Method::get; }

  [[nodiscard]] Error error(Kind kind, std::string_view what) const {
    Error error;
    error.kind = kind;
    error.message.append(verb).append(" ").append(subject);
    if (!object.empty()) error.message.append(" ").append(object);
    error.message.append(": ").append(what);
    return error;
  }

  [[nodiscard]] Error error(const http::Error& failure) const {
    return error(kind_of_failure(failure.kind), failure.message);
  }

  // What the server answered in place of a success.
  [[nodiscard]] Error error(const http::Response& response) const {
    const auto parsed = base::parse_json(response.body.reveal());
    const json status = parsed && text_of(*parsed, "kind") == "Status" ? *parsed : json();
    const std::string reason = shown(text_of(status, "reason"));
    Error result = error(kind_of_status(response.status, reason), sentence(response, status));
    result.status = response.status;
    result.reason = reason;
    result.causes = causes_of(status);
    if (std::any_of(result.causes.begin(), result.causes.end(), [](const Error::Cause& cause) {
          return cause.reason == "ResourceVersionTooLarge";
        })) {
      result.kind = Kind::ahead;
    }
    if (const auto seconds = response.retry_after()) {
      result.retry_after = std::min<base::Duration>(*seconds, most_retry_after);
    } else if (const auto details = base::integer_or(status, "details.retryAfterSeconds", 0);
               details && *details > 0 && *details < 3600) {
      result.retry_after =
          std::min<base::Duration>(std::chrono::seconds(*details), most_retry_after);
    }
    return result;
  }

 private:
  [[nodiscard]] std::string sentence(const http::Response& response, const json& status) const {
    // A missing object is named in the details; where there is no such path there are none.
    if (response.status == 404 && resource != nullptr && text_of(status, "details.name").empty()) {
      std::string text = "the API server does not know " + std::string(resource->plural) + " of " +
                         resource->api_version();
      if (!resource->when_unknown.empty()) text += "; " + std::string(resource->when_unknown);
      return text;
    }
    const std::string message = text_of(status, "message");
    std::string text = shown(std::string(without_subject(message)));
    if (response.status == 401) {
      text = "the API server refused our credentials (401 Unauthorized)";
    } else if (message.empty()) {
      text = "HTTP status " + std::to_string(response.status) +
             (response.body.size() >= max_error ? " with a message of more than 64 KiB"
              : status.is_null()                ? ", not from a Kubernetes API server"
                                                : " without a message");
    }
    return text;
  }
};

Client::Client(http::Transport& transport, Credentials& credentials, base::Executor& executor,
               base::Log log, ClientOptions options)
    : transport_(transport),
      credentials_(credentials),
      executor_(executor),
      log_(std::move(log)),
      options_(std::move(options)),
      turnstile_(executor, most_at_once, longest_wait) {}

tl::expected<http::Response, http::Error> Client::send(const Call& call,
                                                       const http::Request& request,
                                                       base::MonotonicTime deadline,
                                                       const std::stop_token& stop) {
  const base::Duration rest = deadline - executor_.now();
  if (call.on_data == nullptr) {
    return transport_.send(
        request,
        {.deadline = rest, .max_body = call.max_body, .stop = stop, .max_error_body = max_error});
  }
  return transport_.stream(request,
                           {.open_deadline = rest,
                            .idle_limit = call.idle_limit,
                            .max_buffered = call.max_body,
                            .max_error_body = max_error,
                            .stop = stop},
                           *call.on_data);
}

Expected<http::Response> Client::perform(const Call& call, const std::stop_token& stop) {
  base::MonotonicTime deadline = executor_.now() + options_.deadline;
  http::Request request;
  request.method = call.method;
  request.target = call.target;
  request.headers = {{"Accept", "application/json"}};
  request.content_type = call.content_type;
  if (call.body != nullptr) request.body = call.body->clone();

  for (bool renewed = false;;) {
    const base::MonotonicTime asked = executor_.now();
    auto token = credentials_.bearer_token();
    deadline += executor_.now() - asked;  // an exec plugin is not the server's slowness
    if (!token) return tl::unexpected(call.error(Kind::credentials, token.error().message));
    request.authorization.clear();
    if (!token->empty()) {
      request.authorization.append("Bearer ");
      request.authorization.append(token->reveal());
    }
    const auto in_turn = [&] {
      const auto pass = turnstile_.enter(stop);
      return send(call, request, deadline, stop);
    };
    auto response = call.waits_its_turn ? in_turn() : send(call, request, deadline, stop);
    if (options_.observer) {
      options_.observer(call.verb, call.subject, response ? response->status : 0);
    }
    if (!response) return tl::unexpected(call.error(response.error()));
    log_warnings(call, *response);
    if (response->status / 100 == 2) return std::move(*response);

    Error error = call.error(*response);
    if (error.kind == Kind::unauthorized && !renewed) {
      renewed = true;
      credentials_.invalidate();
      continue;
    }
    const bool busy = error.kind == Kind::too_many_requests || error.kind == Kind::server;
    if (!busy || !error.retry_after || !call.idempotent) return tl::unexpected(std::move(error));
    // "0" must not become a busy loop, nor may all that were sent away come back at one instant.
    const base::Duration wait = std::max<base::Duration>(*error.retry_after, 1s);
    const base::MonotonicTime again = executor_.now() + wait + executor_.random_below(wait / 4);
    if (again >= deadline) return tl::unexpected(std::move(error));
    if (!executor_.sleep_until(again, stop)) {
      error.kind = Kind::cancelled;
      return tl::unexpected(std::move(error));
    }
  }
}

Expected<json> Client::perform_json(const Call& call, const std::stop_token& stop) {
  auto response = perform(call, stop);
  if (!response) return tl::unexpected(std::move(response).error());
  auto object = parse_object(response->body.reveal());
  if (object && object->is_object()) return std::move(*object);
  Error error =
      call.error(Kind::malformed, "the answer is not from a Kubernetes API server: " +
                                      (object ? "not an object" : object.error().message));
  error.status = response->status;
  return tl::unexpected(std::move(error));
}

void Client::log_warnings(const Call& call, const http::Response& response) {
  for (const http::Header& header : response.headers) {
    constexpr std::string_view wanted = "warning";
    if (!std::equal(header.name.begin(), header.name.end(), wanted.begin(), wanted.end(),
                    [](char a, char b) { return (a | 0x20) == b; })) {
      continue;
    }
    for (const std::string& warning : warning_texts(header.value)) {
      const std::string text = shown(warning);
      const bool quotes = std::ranges::any_of(
          call.secrets, [&text](std::string_view secret) { return base::betrays(text, secret); });
      if (quotes) continue;
      {
        const base::Lock lock(mutex_);
        if (warned_.size() >= max_warnings || !warned_.insert(text).second) continue;
      }
      log_.warning("warning from the API server", {{"warning", text}});
    }
  }
}

Expected<json> Client::get(const Resource& resource, const ObjectKey& key,
                           const std::stop_token& stop) {
  Call call =
      Call::of("get", http::Method::get, resource, "", key.text(), object_path(resource, key));
  call.idempotent = true;
  return perform_json(call, stop);
}

Expected<ListPage> Client::list(const Resource& resource, const std::string& name_space,
                                const ListOptions& options, const std::stop_token& stop,
                                const std::function<void(const json& item)>& on_item) {
  Query query;
  query.add("labelSelector", options.label_selector).add("fieldSelector", options.field_selector);
  if (options.limit > 0) query.add("limit", std::to_string(options.limit));
  query.add("continue", options.continue_token);
  // A continue token says by itself which version it continues; both together are refused.
  if (options.continue_token.empty()) {
    query.add("resourceVersion", options.resource_version);
    if (options.match != ListOptions::Match::any) {
      query.add("resourceVersionMatch",
                options.match == ListOptions::Match::exact ? "Exact" : "NotOlderThan");
    }
  }
  Call call = Call::of("list", http::Method::get, resource, "", name_space,
                       collection_path(resource, name_space) + query.text());
  call.idempotent = true;
  call.max_body = max_list;
  call.idle_limit = options_.deadline;
  std::string trouble;
  const auto take = [&](std::string_view text) {
    const auto item = parse_object(text);
    if (!item) {
      trouble = "an item is " + item.error().message;
    } else {
      on_item(*item);
    }
    return trouble.empty();
  };
  ItemSplitter items(max_object);
  const std::function<bool(std::string_view)> on_data = shortening(
      resource, Abridger::list, [&](std::string_view piece) { return items.feed(piece, take); });
  call.on_data = &on_data;
  auto response = perform(call, stop);
  if (!response) return tl::unexpected(std::move(response).error());
  if (items.overflowed()) trouble = "an item is larger than 8 MiB";
  if (!trouble.empty()) return tl::unexpected(call.error(Kind::malformed, trouble));
  auto page = page_of(items.envelope());
  if (!page) return tl::unexpected(call.error(Kind::malformed, page.error().message));
  return std::move(*page);
}

Expected<json> Client::create(const Resource& resource, const std::string& name_space,
                              const json& object, const std::stop_token& stop) {
  const SecretString body = dumped(object);
  const ObjectKey key{name_space, text_of(object, "metadata.name")};
  Call call = Call::of("create", http::Method::post, resource, "", key.text(),
                       collection_path(resource, name_space));
  call.content_type = "application/json";
  call.body = &body;
  call.waits_its_turn = true;
  return perform_json(call, stop);
}

Expected<json> Client::replace(const Resource& resource, const ObjectKey& key, const json& object,
                               const std::stop_token& stop) {
  const SecretString body = dumped(object);
  Call call =
      Call::of("update", http::Method::put, resource, "", key.text(), object_path(resource, key));
  call.content_type = "application/json";
  call.body = &body;
  return perform_json(call, stop);
}

Expected<json> Client::apply(const Resource& resource, const ObjectKey& key,
                             const SecretString& manifest, const ApplyOptions& options,
                             const std::stop_token& stop) {
  Query query;
  query.add("fieldManager", options.field_manager)
      .add("force", options.force ? "true" : "")
      .add("dryRun", options.dry_run ? "All" : "");
  Call call = Call::of("patch", http::Method::patch, resource, "", key.text(),
                       object_path(resource, key) + query.text());
  call.content_type = "application/apply-patch+yaml";
  call.body = &manifest;
  call.secrets = options.secrets;
  call.idempotent = true;
  call.waits_its_turn = options.dry_run;
  return perform_json(call, stop);
}

Expected<json> Client::merge_patch(const Resource& resource, const ObjectKey& key,
                                   std::string_view subresource, const json& patch,
                                   std::string_view field_manager, const std::stop_token& stop) {
  const SecretString body = dumped(patch);
  Query query;
  query.add("fieldManager", field_manager);
  Call call = Call::of("patch", http::Method::patch, resource, subresource, key.text(),
                       object_path(resource, key, subresource) + query.text());
  call.content_type = "application/merge-patch+json";
  call.body = &body;
  call.idempotent = base::find(patch, "metadata.resourceVersion") != nullptr;
  call.waits_its_turn = true;
  return perform_json(call, stop);
}

Expected<SecretString> Client::create_token(const ObjectKey& service_account,
                                            const std::string& audience, std::chrono::seconds life,
                                            const std::stop_token& stop) {
  const SecretString body = dumped(
      {{"apiVersion", "authentication.k8s.io/v1"},
       {"kind", "TokenRequest"},
       {"spec", {{"audiences", json::array({audience})}, {"expirationSeconds", life.count()}}}});
  Call call =
      Call::of("create", http::Method::post, service_accounts, "token", service_account.text(),
               object_path(service_accounts, service_account, "token"));
  call.content_type = "application/json";
  call.body = &body;
  call.max_body = max_token;
  call.waits_its_turn = true;
  auto response = perform(call, stop);
  if (!response) return tl::unexpected(std::move(response).error());
  TokenReader reader;
  if (base::visit_json(response->body.reveal(), reader) && !reader.token.empty()) {
    return std::move(reader.token);
  }
  return tl::unexpected(call.error(Kind::malformed, "the answer holds no token"));
}

Expected<void> Client::remove(const Resource& resource, const ObjectKey& key,
                              const DeletePreconditions& preconditions,
                              const std::stop_token& stop) {
  json options{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!preconditions.uid.empty()) options["preconditions"]["uid"] = preconditions.uid;
  if (!preconditions.resource_version.empty()) {
    options["preconditions"]["resourceVersion"] = preconditions.resource_version;
  }
  const SecretString body = dumped(options);
  Call call =
      Call::of("delete", http::Method::del, resource, "", key.text(), object_path(resource, key));
  call.content_type = "application/json";
  call.body = &body;
  auto response = perform(call, stop);
  if (response || response.error().kind == Kind::not_found) return {};
  return tl::unexpected(std::move(response).error());
}

Expected<void> Client::watch(const Resource& resource, const std::string& name_space,
                             const WatchOptions& options, const std::stop_token& stop,
                             const std::function<bool(std::string_view line)>& on_line) {
  Query query;
  query.add("watch", "true")
      .add("allowWatchBookmarks", "true")
      .add("labelSelector", options.label_selector)
      .add("fieldSelector", options.field_selector)
      .add("resourceVersion", options.resource_version);
  if (const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.timeout); seconds > 0s) {
    query.add("timeoutSeconds", std::to_string(seconds.count()));
  }
  http::LineSplitter lines(max_object);
  const std::function<bool(std::string_view)> on_data =
      shortening(resource, Abridger::watch,
                 [&](std::string_view piece) { return lines.feed(piece, on_line); });
  Call call = Call::of("watch", http::Method::get, resource, "", name_space,
                       collection_path(resource, name_space) + query.text());
  call.on_data = &on_data;
  if (options.idle_limit > 0s) call.idle_limit = options.idle_limit;
  auto response = perform(call, stop);
  if (!response) return tl::unexpected(std::move(response).error());
  if (lines.overflowed()) {
    return tl::unexpected(call.error(Kind::malformed, "an event is larger than 8 MiB"));
  }
  return {};
}

std::string explain(const Error& error) {
  // … cannot patch resource "secrets" in API group "" in the namespace "team-a"
  const std::string_view message = error.message;
  constexpr std::string_view cannot = " cannot ";
  const std::size_t place = message.find(cannot);
  if (error.kind != Kind::forbidden || place == std::string_view::npos) return error.message;
  const std::string_view refused = message.substr(place + cannot.size());
  const std::string_view verb = refused.substr(0, refused.find(' '));
  const auto quoted_after = [refused](std::string_view word) -> std::string_view {
    const std::size_t start = refused.find(word);
    if (start == std::string_view::npos) return {};
    const std::string_view rest = refused.substr(start + word.size());
    return rest.substr(0, rest.find('"'));
  };
  std::string what(quoted_after(R"( resource ")"));
  if (const std::string_view group = quoted_after(R"( in API group ")"); !group.empty()) {
    what.append(" of ").append(group);
  }
  if (what.empty()) return error.message;
  return error.message + "; its Role or ClusterRole needs the verb " + std::string(verb) + " on " +
         what;
}

}  // namespace quay_rotator::kube
