#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "base/base64.h"
#include "base/executor.h"
#include "bench/bench.h"
#include "bench/tenants.h"
#include "cluster/cluster.h"
#include "http/beast/transport.h"
#include "kube/configuration.h"

namespace quay_rotator::bench {

using cluster::cluster;
using http::Method;
using nlohmann::json;

namespace {

constexpr const char* apply_type = "application/apply-patch+yaml";
constexpr const char* merge_type = "application/merge-patch+json";
constexpr const char* json_type = "application/json";
constexpr const char* manager = "?fieldManager=quay-rotator";

std::unique_ptr<http::Transport> opened(http::TransportFactory& transports,
                                        http::Endpoint endpoint) {
  auto transport = transports.open(std::move(endpoint));
  if (!transport) throw std::runtime_error(transport.error().message);
  return std::move(*transport);
}

// The operator's account, over one kept connection. Throws unless the answer is a 2xx.
class Caller {
 public:
  Caller()
      : executor_(base::make_system_executor()),
        configuration_(load(*executor_)),
        transports_(http::make_beast_transport_factory("bench")),
        transport_(opened(*transports_, std::move(configuration_.endpoint))) {}

  json call(Method method, const std::string& target, const char* type, const json& body) {
    http::Request request;
    request.method = method;
    request.target = target;
    request.headers = {{"Accept", "application/json"}};
    request.content_type = type;
    if (!body.is_null()) request.body = base::SecretString(body.dump());
    request.authorization.append("Bearer ");
    request.authorization.append(configuration_.credentials->bearer_token()->reveal());
    const auto answer = transport_->send(request, {});
    if (!answer) throw std::runtime_error(answer.error().message);
    const std::string text(answer->body.reveal());
    if (answer->status / 100 != 2) throw std::runtime_error(target + ": " + text);
    return json::parse(text);
  }

 private:
  static kube::Configuration load(base::Executor& executor) {
    kube::ConfigurationOptions where;
    where.kubeconfig = cluster().operator_kubeconfig();
    where.environment = [](std::string_view) { return std::nullopt; };
    auto configuration = kube::load_configuration(where, executor);
    if (!configuration) throw std::runtime_error(configuration.error().message);
    return std::move(*configuration);
  }

  std::unique_ptr<base::Executor> executor_;
  kube::Configuration configuration_;
  std::unique_ptr<http::TransportFactory> transports_;
  std::unique_ptr<http::Transport> transport_;
};

// As long as a robot's token.
std::string digits(std::size_t number) {
  const std::string text = std::to_string(number);
  return std::string(64 - text.size(), '0') + text;
}

// A resource with ten rotations behind it and a Secret as the operator applies it; and what may be
// asked of them. What writes changes something each time.
class Requests {
 public:
  explicit Requests(std::string name) : name_(std::move(name)) {
    const std::string space = Population::name_space(0);
    create(api::rotations, space, rotation());
    status_ = call(Method::patch, status_path_ + manager, merge_type, {{"status", status(0)}});
    secret_ = call(Method::patch, apply_path_, apply_type, secret("", 0));
    uid_ = secret_["metadata"]["uid"];
  }
  ~Requests() {
    (void)cluster().api().remove(api::rotations, {Population::name_space(0), name_}, {}, {});
    (void)cluster().api().remove(kube::secrets, {Population::name_space(0), name_}, {}, {});
  }
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  void read_secret() { secret_ = call(Method::get, secret_path_, "", nullptr); }
  void read_rotation() { status_ = call(Method::get, rotation_path_, "", nullptr); }
  void dry_run() {
    call(Method::patch, apply_path_ + "&dryRun=All", apply_type, secret(uid_, ++number_));
  }
  void apply_secret() {
    secret_ = call(Method::patch, apply_path_, apply_type, secret(uid_, ++number_));
  }
  void merge_secret() {
    secret_ = call(Method::patch, secret_path_ + manager, merge_type,
                   {{"metadata", precondition(secret_)}, {"data", content(++number_)}});
  }
  void put_secret() {
    json whole = secret(uid_, ++number_);
    whole["metadata"]["resourceVersion"] = secret_["metadata"]["resourceVersion"];
    secret_ = call(Method::put, secret_path_ + manager, json_type, whole);
  }
  void ledger() {
    status_ = call(
        Method::patch, status_path_ + manager, merge_type,
        {{"metadata", precondition(status_)},
         {"status", {{"rotation", a_ledger(++number_)}, {"conditions", conditions(number_)}}}});
  }
  void commit() {
    json change = status(++number_);
    change["rotation"] = nullptr;
    status_ = call(Method::patch, status_path_ + manager, merge_type,
                   {{"metadata", precondition(status_)}, {"status", std::move(change)}});
  }
  void apply_status() {
    json whole = rotation();
    whole.erase("spec");
    whole["metadata"].update(precondition(status_));
    whole["status"] = status(++number_);
    status_ = call(Method::patch, status_path_ + manager + "&force=true", apply_type, whole);
  }
  void put_status() {
    json whole = rotation();
    whole["metadata"].update(precondition(status_));
    whole["status"] = status(++number_);
    status_ = call(Method::put, status_path_ + manager, json_type, whole);
  }
  void make_event() { call(Method::post, events_path_, json_type, event()); }

 private:
  json call(Method method, const std::string& target, const char* type, const json& body) {
    return caller_.call(method, target, type, body);
  }
  static json precondition(const json& object) {
    return {{"resourceVersion", object["metadata"]["resourceVersion"]}};
  }
  [[nodiscard]] json rotation() const {
    json made = manifest("quayrotator.dev/v1alpha1", "RobotTokenRotation", name_);
    made["spec"] = {{"connectionRef", {{"name", "quay"}}},
                    {"robot", {{"organization", "org-0-0"}, {"name", "verbs"}}},
                    {"schedule", {{"interval", "720h"}}},
                    {"suspend", true},
                    {"targets", {{{"secret", {{"name", name_}}}}}}};
    return made;
  }
  static json content(std::size_t number) {
    const std::string token = digits(number);
    const json entry{{"username", "org-0-0+verbs"},
                     {"password", token},
                     {"auth", base::base64_encode("org-0-0+verbs:" + token).reveal()}};
    const json config{{"auths", {{"quay.example.com", entry}}}};
    return {{".dockerconfigjson", base::base64_encode(config.dump()).reveal()}};
  }
  [[nodiscard]] json secret(const std::string& uid, std::size_t number) const {
    json made = manifest("v1", "Secret", name_);
    made["type"] = "kubernetes.io/dockerconfigjson";
    made["metadata"]["labels"] = {{"app.kubernetes.io/managed-by", "quay-rotator"}};
    made["metadata"]["annotations"] = {
        {"quayrotator.dev/rotation", Population::name_space(0) + "/" + name_},
        {"quayrotator.dev/rotation-uid", status_["metadata"]["uid"]}};
    if (!uid.empty()) made["metadata"]["uid"] = uid;
    made["data"] = content(number);
    return made;
  }
  static json conditions(std::size_t number) {
    json all = json::array();
    for (const char* type : {"Ready", "Reconciling", "Preflight", "Published", "Verified"}) {
      all.push_back({{"type", type},
                     {"status", number % 2 == 0 ? "True" : "False"},
                     {"reason", "Current"},
                     {"message", "1 Secret holds the robot's current token."},
                     {"observedGeneration", 1},
                     {"lastTransitionTime", "2026-01-01T00:00:00Z"}});
    }
    return all;
  }
  static std::string fingerprint(std::size_t number) {
    return "sha256:" + digits(number).substr(48);
  }
  static json a_ledger(std::size_t number) {
    return {{"id", digits(number).substr(48)},
            {"robot", "org-0-0+verbs"},
            {"reason", "Interval"},
            {"startedAt", "2026-01-01T00:00:00.000000Z"},
            {"previousFingerprint", fingerprint(number)},
            {"attempt", 1},
            {"requestDeadline", "30s"}};
  }
  static json status(std::size_t number) {
    json history = json::array();
    for (std::size_t entry = 0; entry < 10; ++entry) {
      history.push_back({{"time", "2026-01-01T00:00:00Z"},
                         {"robot", "org-0-0+verbs"},
                         {"reason", "Interval"},
                         {"result", "Succeeded"},
                         {"outage", "12ms"},
                         {"fingerprint", fingerprint(number + entry)}});
    }
    return {{"observedGeneration", 1},
            {"conditions", conditions(number)},
            {"robots",
             {{{"name", "org-0-0+verbs"},
               {"role", "Active"},
               {"fingerprint", fingerprint(number)},
               {"knownSince", "2026-01-01T00:00:00Z"}}}},
            {"lastRotationTime", "2026-01-01T00:00:00Z"},
            {"next", {{"time", "2026-02-01T00:00:00Z"}, {"reason", "Interval"}}},
            {"targets", {{"total", 1}, {"current", 1}}},
            {"history", history}};
  }
  json event() {
    const std::string space = Population::name_space(0);
    json made = manifest("events.k8s.io/v1", "Event", name_ + "." + digits(++number_).substr(48));
    made.update({{"eventTime", "2026-01-01T00:00:00.000000Z"},
                 {"type", "Normal"},
                 {"reason", "Rotated"},
                 {"action", "Rotate"},
                 {"note", "The token of the robot org-0-0+verbs was regenerated."},
                 {"regarding",
                  {{"apiVersion", "quayrotator.dev/v1alpha1"},
                   {"kind", "RobotTokenRotation"},
                   {"name", name_},
                   {"namespace", space},
                   {"uid", status_["metadata"]["uid"]}}},
                 {"reportingController", "quayrotator.dev/quay-rotator"},
                 {"reportingInstance", "bench"}});
    made["metadata"]["namespace"] = space;
    return made;
  }

  const std::string name_;
  Caller caller_;
  const std::string space_ = "/namespaces/" + Population::name_space(0);
  const std::string secret_path_ = "/api/v1" + space_ + "/secrets/" + name_;
  const std::string apply_path_ = secret_path_ + "?fieldManager=quay-rotator%2F" +
                                  Population::name_space(0) + "%2F" + name_ + "&force=true";
  const std::string rotation_path_ =
      "/apis/quayrotator.dev/v1alpha1" + space_ + "/robottokenrotations/" + name_;
  const std::string status_path_ = rotation_path_ + "/status";
  const std::string events_path_ = "/apis/events.k8s.io/v1" + space_ + "/events";
  inline static std::size_t number_ =
      0;  // of the last change, of whatever; an Event is named by it
  std::string uid_;
  json secret_;
  json status_;
};

struct Kind {
  const char* what;
  const char* instead_of;  // what the operator sends; null: this is it
  std::function<void(Requests&)> send;
  double seconds = 0;
};

}  // namespace

// What the operator would need for the kinds that it does not send.
class MoreRights {
 public:
  MoreRights() {
    cluster().kubectl_ok({"create", "role", "bench-verbs", "--verb=update,patch", space_,
                          "--resource=secrets,"
                          "robottokenrotations.quayrotator.dev/status"});
    cluster().kubectl_ok({"create", "rolebinding", "bench-verbs", "--role=bench-verbs", space_,
                          "--serviceaccount=quay-rotator:quay-rotator"});
  }
  ~MoreRights() { cluster().kubectl_ok({"delete", "role,rolebinding", "bench-verbs", space_}); }
  MoreRights(const MoreRights&) = delete;
  MoreRights& operator=(const MoreRights&) = delete;

 private:
  const std::string space_ = "--namespace=" + Population::name_space(0);
};

// No operator runs: nobody watches but the garbage collector. The kinds take turns, so that what
// else the machine does is in all of them.
void measure_verbs(Bench& bench) {
  std::vector<Kind> kinds{
      {"Secret: dry run", nullptr, &Requests::dry_run},
      {"ledger: merge patch of the status", nullptr, &Requests::ledger},
      {"Secret: apply", nullptr, &Requests::apply_secret},
      {"commit: merge patch of the status", nullptr, &Requests::commit},
      {"Event: create", nullptr, &Requests::make_event},
      {"Secret: get", "Secret: dry run", &Requests::read_secret},
      {"Secret: merge patch of its data", "Secret: apply", &Requests::merge_secret},
      {"Secret: update", "Secret: apply", &Requests::put_secret},
      {"resource: get", "ledger: merge patch of the status", &Requests::read_rotation},
      {"commit: update of the status", "commit: merge patch of the status", &Requests::put_status},
      {"commit: apply of the status", "commit: merge patch of the status",
       &Requests::apply_status}};
  const MoreRights rights;
  std::vector<std::unique_ptr<Requests>> objects;
  for (const Kind& kind : kinds) {
    objects.push_back(std::make_unique<Requests>("verbs-" + std::to_string(objects.size())));
    kind.send(*objects.back());  // the first of its kind may cost more
  }
  const int rounds = bench.quick ? 8 : 80;
  constexpr int each = 25;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t at = 0; at < kinds.size(); ++at) {
      const double before = api_server_cpu();
      for (int sent = 0; sent < each; ++sent) kinds[at].send(*objects[at]);
      kinds[at].seconds += (api_server_cpu() - before) / (rounds * each);
    }
  }
  for (const Kind& kind : kinds) {
    Row row{.what = "API server's CPU, " + std::string(kind.what),
            .size = bench.size(),
            .figure = in_seconds(kind.seconds)};
    if (kind.instead_of != nullptr) {
      const auto usual = std::ranges::find_if(
          kinds, [&](const Kind& it) { return std::string(it.what) == kind.instead_of; });
      row.reference = usual->what + (" " + in_seconds(usual->seconds));
      row.ratio = kind.seconds / usual->seconds;
    }
    bench.table.add(std::move(row));
  }
}

}  // namespace quay_rotator::bench
