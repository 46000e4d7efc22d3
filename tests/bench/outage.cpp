#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "api/group.h"
#include "bench/bench.h"
#include "bench/journal.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::AuditEntry;
using cluster::cluster;
using nlohmann::json;

namespace {

constexpr double outage_goal = 2;  // times a plain update

bool is_write_of(const AuditEntry& entry, const kube::ObjectKey& secret) {
  return entry.verb == "patch" && entry.resource == "secrets" && !entry.dry_run &&
         entry.name == secret.name && entry.name_space == secret.name_space;
}

// A Secret that is nobody's, and a bare client that updates it.
class PlainSecret {
 public:
  PlainSecret() {
    json secret{{"apiVersion", "v1"},
                {"kind", "Secret"},
                {"metadata", {{"name", key_.name}}},
                {"type", "kubernetes.io/dockerconfigjson"},
                {"stringData", {{".dockerconfigjson", content()}}}};
    (void)cluster().api().remove(kube::secrets, key_, {}, {});
    if (const auto made = cluster().api().create(kube::secrets, key_.name_space, secret, {}); !made)
      throw std::runtime_error(made.error().message);
  }
  PlainSecret(const PlainSecret&) = delete;
  PlainSecret& operator=(const PlainSecret&) = delete;
  ~PlainSecret() { (void)cluster().api().remove(kube::secrets, key_, {}, {}); }

  void update() {
    const json patch{{"stringData", {{".dockerconfigjson", content()}}}};
    began_.push_back(wall_now());
    if (const auto written =
            cluster().api().merge_patch(kube::secrets, key_, "", patch, "person", {});
        !written)
      throw std::runtime_error(written.error().message);
  }

  // Seconds from each call to the end of the API server's answer, as for a rotation's last Secret.
  [[nodiscard]] std::vector<double> seconds(const std::vector<AuditEntry>& log) const {
    std::vector<double> all;
    for (const AuditEntry& entry : log) {
      if (is_write_of(entry, key_)) {
        all.push_back(seconds_between(began_.at(all.size()), entry.done));
      }
    }
    return all;
  }

 private:
  [[nodiscard]] std::string content() const {
    const std::string number = std::to_string(1000 + began_.size());
    const json entry{{"username", "org-0-0+puller-" + number},
                     {"password", std::string(60, 'X') + number},
                     {"auth", std::string(120, 'Y')}};
    return json{{"auths", {{"localhost:12345", entry}}}}.dump();
  }

  kube::ObjectKey key_{Population::name_space(0), "plain"};
  std::vector<base::WallTime> began_;
};

// A bare watch of the resources: when it heard of each request to rotate.
class BareWatch {
 public:
  BareWatch() {
    kube::ListOptions one;
    one.limit = 1;
    const auto listed = cluster().list(api::rotations, "", one);
    if (!listed) throw std::runtime_error(listed.error().message);
    options_.resource_version = listed->at("metadata").at("resourceVersion");
    options_.timeout = std::chrono::minutes(30);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      (void)cluster().api().watch(api::rotations, "", options_, stop,
                                  [this](std::string_view line) {
                                    note(line);
                                    return true;
                                  });
    });
  }

  // Of the request that was made next after `time`; nothing when it has not heard of it.
  [[nodiscard]] std::optional<base::WallTime> heard(const kube::ObjectKey& key,
                                                    base::WallTime time) const {
    const std::lock_guard lock(mutex_);
    const auto found = heard_.find(key);
    if (found == heard_.end()) return std::nullopt;
    const auto next = std::ranges::lower_bound(found->second, time);
    return next == found->second.end() ? std::nullopt : std::optional(*next);
  }

 private:
  void note(std::string_view line) {
    const auto now = wall_now();
    const json object = json::parse(line).at("object");
    const json& meta = object.at("metadata");
    const kube::ObjectKey key{meta.value("namespace", ""), meta.value("name", "")};
    std::string request = meta.value("annotations", json::object())
                              .value("quayrotator.dev/rotate-requested-at", std::string());
    const std::lock_guard lock(mutex_);
    if (request == requests_[key]) return;
    requests_[key] = std::move(request);
    heard_[key].push_back(now);
  }

  kube::WatchOptions options_;
  mutable std::mutex mutex_;
  std::map<kube::ObjectKey, std::string> requests_;
  std::map<kube::ObjectKey, std::vector<base::WallTime>> heard_;
  std::jthread thread_;  // last: it uses the others
};

void report(Bench& bench, const std::string& what, const std::vector<double>& seconds,
            const std::string& reference_name, const std::vector<double>& reference,
            std::optional<double> most) {
  for (const double share : {0.5, 0.99, 1.0}) {
    const double figure = percentile(seconds, share);
    const double compared = percentile(reference, share);
    const std::string name = share == 0.5 ? "p50" : share == 1.0 ? "max" : "p99";
    Row row{.what = what + ", " + name,
            .size = bench.size(),
            .figure = in_seconds(figure),
            .reference = reference_name + " " + in_seconds(compared),
            .ratio = figure / compared};
    if (share == 0.99 && most) {
      row.goal = "<= 2";
      row.met = figure <= *most * compared;
    }
    bench.table.add(std::move(row));
  }
}

}  // namespace

std::optional<base::WallTime> published(const std::vector<AuditEntry>& log, std::size_t resource,
                                        base::WallTime from) {
  std::optional<base::WallTime> last;
  for (const kube::ObjectKey& secret : Population::secrets(resource)) {
    const auto write = std::ranges::find_if(log, [&](const AuditEntry& entry) {
      return entry.user == cluster::operator_user && entry.done > from &&
             is_write_of(entry, secret);
    });
    if (write == log.end()) return std::nullopt;
    last = last ? std::max(*last, write->done) : write->done;
  }
  return last;
}

namespace {

void report_rotations(Bench& bench) {
  ShippedOperator running;
  running.wait_until_synced();
  running.wait_until_quiet();
  PlainSecret plain;
  const BareWatch bare;
  std::vector<double> outages;
  std::vector<double> noticed;
  std::vector<double> heard;
  std::vector<AuditEntry> updates;
  for (const std::size_t resource : bench.population.next(bench.quick ? 200 : 1000)) {
    clear_journal();
    (void)bench.audit.read();
    const std::size_t done = running.count("rotated");
    bench.population.request(resource);
    running.wait_for("rotated", done + 1);
    // The status and the Event are still to be written: the plain update is to be undisturbed.
    std::vector<AuditEntry> log;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::ranges::none_of(log, [](const AuditEntry& entry) {
      return entry.user == cluster::operator_user && entry.resource == "events";
    })) {
      std::ranges::move(bench.audit.read(), std::back_inserter(log));
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("no Event came");
      usleep(500);  // another process writes that file: there is nothing to wait on
    }
    plain.update();
    std::ranges::move(bench.audit.read(), std::back_inserter(updates));

    const auto calls = journal("robot=" + encoded(Population::robot(resource)));
    const auto regenerated = std::ranges::find(calls, "regenerate", &QuayRequest::endpoint);
    if (regenerated == calls.end()) throw std::runtime_error("nothing was regenerated");
    const auto last = published(log, resource, regenerated->committed);
    const auto asked = std::ranges::find_if(log, [](const AuditEntry& entry) {
      return entry.verb == "patch" && entry.resource == "robottokenrotations";
    });
    if (!last || asked == log.end()) throw std::runtime_error("the audit log lacks a request");
    outages.push_back(seconds_between(regenerated->committed, *last));
    noticed.push_back(seconds_between(asked->received, calls.front().time));
    if (const auto time = bare.heard(Population::key(resource), asked->received)) {
      heard.push_back(seconds_between(asked->received, *time));
    }
  }
  report(bench, "outage, Quay's commit to the last of two Secrets", outages, "plain update",
         plain.seconds(updates), outage_goal);
  bench.table.add({.what = "outage as the operator exports it, from its request on, p99",
                   .size = bench.size(),
                   .figure = in_seconds(percentile(running.outages(), 0.99)),
                   .reference = "seen from outside " + in_seconds(percentile(outages, 0.99)),
                   .ratio = percentile(running.outages(), 0.99) / percentile(outages, 0.99)});
  report(bench, "rotate-now to the first request to Quay", noticed, "bare watch", heard,
         std::nullopt);
}

void report_healing(Bench& bench) {
  ShippedOperator running;
  running.wait_until_synced();
  running.wait_until_quiet();
  PlainSecret plain;
  std::vector<double> healed;
  std::vector<AuditEntry> updates;
  // Each once: who damages a Secret again and again is answered more slowly.
  for (const std::size_t resource :
       bench.population.next(std::min<std::size_t>(bench.size(), bench.quick ? 50 : 300))) {
    (void)bench.audit.read();
    const std::size_t done = running.count("synchronized");
    const kube::ObjectKey secret = Population::secrets(resource).front();
    const auto edited = cluster().api().merge_patch(
        kube::secrets, secret, "", {{"data", {{".dockerconfigjson", "e30="}}}}, "person", {});
    if (!edited) throw std::runtime_error(edited.error().message);
    running.wait_for("synchronized", done + 1);
    usleep(20'000);  // its status and Event
    plain.update();
    const auto log = bench.audit.read();
    const auto by = [&](bool operators) {
      return std::ranges::find_if(log, [&, operators](const AuditEntry& entry) {
        return (entry.user == cluster::operator_user) == operators && is_write_of(entry, secret);
      });
    };
    if (by(true) == log.end() || by(false) == log.end()) {
      throw std::runtime_error("the audit log lacks a request");
    }
    healed.push_back(seconds_between(by(false)->received, by(true)->done));
    std::ranges::copy(log, std::back_inserter(updates));
  }
  report(bench, "edit of a Secret to healed", healed, "plain update", plain.seconds(updates),
         std::nullopt);
}

}  // namespace

void measure_outage(Bench& bench) {
  report_rotations(bench);
  report_healing(bench);
}

}  // namespace quay_rotator::bench
