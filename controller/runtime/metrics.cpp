#include "runtime/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <unistd.h>
#include <utility>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>

#include "base/mutex.h"

namespace quay_rotator::runtime {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

double seconds(base::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// One parallel round of API writes takes milliseconds; a target that refuses takes as long as a
// person needs.
prometheus::Histogram::BucketBoundaries outage_buckets() {
  return {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800};
}
prometheus::Histogram::BucketBoundaries queue_buckets() {
  return {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300};
}

ClientMetric sample(double value, MetricType type, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

MetricFamily family(std::string name, std::string help, MetricType type = MetricType::Gauge,
                    std::vector<ClientMetric> samples = {}) {
  return {std::move(name), std::move(help), type, std::move(samples)};
}

// One family of the text format. Written without prometheus-cpp, which would hold each sample of
// each resource several times over.
class ResourceFamily {
 public:
  ResourceFamily(std::string& text, std::string_view name, std::string_view help)
      : text_(text), name_(name) {
    text_.append("# HELP ").append(name).append(" ").append(help);
    text_.append("\n# TYPE ").append(name).append(" gauge\n");
  }
  // Names of Kubernetes need no escape.
  void add(const kube::ObjectKey& key, double value) {
    text_.append(name_).append("{namespace=\"").append(key.name_space);
    text_.append("\",name=\"").append(key.name).append("\"} ");
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
    text_.append(digits.begin(), end).append("\n");
  }

 private:
  std::string& text_;
  std::string_view name_;
};

void add_rotations(const std::vector<Metrics::RotationSample>& samples, double now,
                   std::string& text) {
  constexpr std::size_t usual = 400;  // bytes of four lines
  text.reserve(text.size() + samples.size() * usual);
  ResourceFamily age(text, "quay_rotator_token_age_seconds",
                     "Time since the current token is known");
  for (const auto& rotation : samples) {
    // A clock may have been ahead when that was written.
    if (rotation.token_known_since > 0) {
      age.add(rotation.key, std::max(0.0, now - rotation.token_known_since));
    }
  }
  ResourceFamily next(text, "quay_rotator_next_rotation_timestamp_seconds",
                      "When the next rotation is due, as Unix time");
  for (const auto& rotation : samples) {
    if (rotation.next_rotation > 0) next.add(rotation.key, rotation.next_rotation);
  }
  ResourceFamily ready(text, "quay_rotator_rotation_ready", "1 while the resource's Ready is True");
  for (const auto& rotation : samples) ready.add(rotation.key, rotation.ready ? 1 : 0);
  ResourceFamily published(text, "quay_rotator_rotation_published",
                           "1 while the Secrets are known to hold the token that Quay holds");
  for (const auto& rotation : samples) published.add(rotation.key, rotation.published ? 1 : 0);
  const auto unreadable =
      std::ranges::count_if(samples, [](const auto& rotation) { return rotation.unreadable; });
  text.append(
          "# HELP quay_rotator_unreadable_resources Resources whose status makes no sense\n"
          "# TYPE quay_rotator_unreadable_resources gauge\n"
          "quay_rotator_unreadable_resources ")
      .append(std::to_string(unreadable))
      .append("\n");
}

void add_connections(const std::vector<Metrics::ConnectionSample>& samples, std::string& text) {
  ResourceFamily ready(text, "quay_rotator_connection_ready",
                       "1 while the QuayConnection's Ready is True");
  for (const auto& connection : samples) ready.add(connection.key, connection.ready ? 1 : 0);
}

void add_lanes(const std::vector<Metrics::LaneSample>& lanes, std::vector<MetricFamily>& all) {
  const auto add = [&](std::string name, std::string help, const auto& value) {
    std::vector<ClientMetric> samples;
    for (const Metrics::LaneSample& each : lanes) {
      samples.push_back(
          sample(value(each), MetricType::Gauge, {{"health", std::string(each.health)}}));
    }
    all.push_back(family(std::move(name), std::move(help), MetricType::Gauge, std::move(samples)));
  };
  add("quay_rotator_lanes", "Connections that resources use, by whether their Quay answers",
      [](const auto& each) { return static_cast<double>(each.lanes); });
  add("quay_rotator_lane_waiting",
      "Resources of those connections that wait for a worker or for the rate limit",
      [](const auto& each) { return static_cast<double>(each.waiting); });
  add("quay_rotator_lane_oldest_wait_seconds",
      "For how long the first of them has waited since it was due",
      [](const auto& each) { return seconds(each.oldest); });
}

// The fields of /proc/self/stat from the third on: the second is the program's name in brackets,
// which may hold anything.
std::vector<double> read_process_stat() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::string state;
  fields >> state;
  return {std::istream_iterator<double>(fields), {}};
}

double read_boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    if (word == "btime") {
      double boot = 0;
      file >> boot;
      return boot;
    }
  }
  return 0;
}

double count_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator all("/proc/self/fd", error);
  return error ? 0 : static_cast<double>(std::distance(begin(all), end(all)));
}

// What client libraries of Prometheus name process_*; see proc(5) for the fields.
void add_process(std::vector<MetricFamily>& all) {
  const std::vector<double> stat = read_process_stat();
  if (stat.size() < 21) return;  // no /proc
  const auto at = [&](std::size_t field_of_proc) { return stat[field_of_proc - 4]; };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  const auto add = [&](std::string name, std::string help, MetricType type, double value) {
    all.push_back(family(std::move(name), std::move(help), type, {sample(value, type)}));
  };
  add("process_cpu_seconds_total", "User and system CPU time", MetricType::Counter,
      (at(14) + at(15)) / ticks);
  add("process_threads", "Threads", MetricType::Gauge, at(20));
  add("process_start_time_seconds", "Start of the process, as Unix time", MetricType::Gauge,
      read_boot_time() + at(22) / ticks);
  add("process_virtual_memory_bytes", "Virtual memory", MetricType::Gauge, at(23));
  add("process_resident_memory_bytes", "Resident memory", MetricType::Gauge, at(24) * page);
  add("process_open_fds", "Open file descriptors", MetricType::Gauge, count_descriptors());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add("process_max_fds", "The most file descriptors that may be open", MetricType::Gauge,
        static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace

struct Metrics::Families {
  template <class Metric>
  using Family = prometheus::Family<Metric>;

  explicit Families(std::string_view version)
      : rotations(prometheus::BuildCounter()
                      .Name("quay_rotator_rotations_total")
                      .Help("Rotations that ended, by result and by what asked for them")
                      .Register(registry)),
        quay_requests(prometheus::BuildCounter()
                          .Name("quay_rotator_quay_requests_total")
                          .Help("Requests to Quay, by call and outcome")
                          .Register(registry)),
        kube_requests(prometheus::BuildCounter()
                          .Name("quay_rotator_kube_requests_total")
                          .Help("Requests to the API server, by verb, resource and HTTP status; "
                                "status 0 had no answer")
                          .Register(registry)),
        outage(histogram("quay_rotator_outage_seconds",
                         "From sending the request to Quay, which comes before its commit, to the "
                         "last target written",
                         outage_buckets())),
        queue_wait(histogram("quay_rotator_workqueue_wait_seconds", "From due to taken by a worker",
                             queue_buckets())),
        queue_work(histogram("quay_rotator_workqueue_work_seconds", "One look at one resource",
                             queue_buckets())),
        internal_errors(prometheus::BuildCounter()
                            .Name("quay_rotator_internal_errors_total")
                            .Help("Looks at a resource that an exception ended: a bug")
                            .Register(registry)
                            .Add({})),
        queue_depth(gauge("quay_rotator_workqueue_depth", "Resources that wait for a worker")),
        unreadable_namespaces(gauge("quay_rotator_unreadable_namespaces",
                                    "Namespaces where nothing is rotated for want of a right")),
        leader(gauge("quay_rotator_leader", "1 while this replica leads")) {
    prometheus::BuildGauge()
        .Name("quay_rotator_build_info")
        .Help("Always 1")
        .Register(registry)
        .Add({{"version", std::string(version)}})
        .Set(1);
  }

  prometheus::Histogram& histogram(const std::string& name, const std::string& help,
                                   const prometheus::Histogram::BucketBoundaries& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
  }
  prometheus::Gauge& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Registry registry;
  Family<prometheus::Counter>& rotations;
  Family<prometheus::Counter>& quay_requests;
  Family<prometheus::Counter>& kube_requests;
  prometheus::Histogram& outage;
  prometheus::Histogram& queue_wait;
  prometheus::Histogram& queue_work;
  prometheus::Counter& internal_errors;
  prometheus::Gauge& queue_depth;
  prometheus::Gauge& unreadable_namespaces;
  prometheus::Gauge& leader;

  base::Mutex mutex;
  std::function<std::vector<RotationSample>()> source;
  std::function<double()> now;
  std::function<std::vector<ConnectionSample>()> connections;
  std::function<std::uint64_t()> dropped_lines;
  std::function<std::vector<LaneSample>()> lanes;
};

Metrics::Metrics(std::string_view version) : families_(std::make_unique<Families>(version)) {}

Metrics::~Metrics() = default;

void Metrics::rotation(std::string_view result, std::string_view reason) {
  families_->rotations.Add({{"result", std::string(result)}, {"reason", std::string(reason)}})
      .Increment();
}

void Metrics::outage(base::Duration duration) {
  families_->outage.Observe(seconds(duration));
}

void Metrics::queue_depth(std::size_t depth) {
  families_->queue_depth.Set(static_cast<double>(depth));
}

void Metrics::queue_wait(base::Duration duration) {
  families_->queue_wait.Observe(seconds(duration));
}

void Metrics::queue_work(base::Duration duration) {
  families_->queue_work.Observe(seconds(duration));
}

void Metrics::quay_request(std::string_view call, std::string_view outcome) {
  families_->quay_requests.Add({{"call", std::string(call)}, {"outcome", std::string(outcome)}})
      .Increment();
}

void Metrics::kube_request(std::string_view verb, std::string_view resource, int status) {
  families_->kube_requests
      .Add({{"verb", std::string(verb)},
            {"resource", std::string(resource)},
            {"code", std::to_string(status)}})
      .Increment();
}

void Metrics::internal_error() {
  families_->internal_errors.Increment();
}

void Metrics::unreadable_namespaces(std::size_t count) {
  families_->unreadable_namespaces.Set(static_cast<double>(count));
}

void Metrics::leader(bool leading) {
  families_->leader.Set(leading ? 1 : 0);
}

void Metrics::set_rotation_source(std::function<std::vector<RotationSample>()> source,
                                  std::function<double()> now) {
  const base::Lock lock(families_->mutex);
  families_->source = std::move(source);
  families_->now = std::move(now);
}

void Metrics::set_connection_source(std::function<std::vector<ConnectionSample>()> source) {
  const base::Lock lock(families_->mutex);
  families_->connections = std::move(source);
}

void Metrics::set_lane_source(std::function<std::vector<LaneSample>()> source) {
  const base::Lock lock(families_->mutex);
  families_->lanes = std::move(source);
}

void Metrics::set_log_source(std::function<std::uint64_t()> dropped) {
  const base::Lock lock(families_->mutex);
  families_->dropped_lines = std::move(dropped);
}

std::string Metrics::text() const {
  std::vector<MetricFamily> all = families_->registry.Collect();
  std::function<std::vector<RotationSample>()> source;
  std::function<double()> now;
  std::function<std::vector<ConnectionSample>()> connections;
  std::function<std::uint64_t()> dropped_lines;
  std::function<std::vector<LaneSample>()> lanes;
  {
    const base::Lock lock(families_->mutex);
    connections = families_->connections;
    source = families_->source;
    now = families_->now;
    dropped_lines = families_->dropped_lines;
    lanes = families_->lanes;
  }
  if (lanes) add_lanes(lanes(), all);
  if (dropped_lines) {
    all.push_back(family("quay_rotator_log_lines_dropped_total",
                         "Log lines that were given up because nobody read them",
                         MetricType::Counter,
                         {sample(static_cast<double>(dropped_lines()), MetricType::Counter)}));
  }
  add_process(all);
  std::string text = prometheus::TextSerializer().Serialize(all);
  if (source) add_rotations(source(), now(), text);
  if (connections) add_connections(connections(), text);
  return text;
}

}  // namespace quay_rotator::runtime
