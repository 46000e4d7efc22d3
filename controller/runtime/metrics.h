// Every metric of the operator, by name: the only file that prometheus-cpp is seen behind.
//
// Thread-safe. Names start with quay_rotator_; units are in the names. No label ever holds a token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::runtime {

class Metrics {
 public:
  // `version` is the program's, for quay_rotator_build_info.
  explicit Metrics(std::string_view version);
  ~Metrics();

  // quay_rotator_rotations_total{result,reason}
  void rotation(std::string_view result, std::string_view reason);
  // quay_rotator_outage_seconds (histogram): Quay's commit to the last target written
  void outage(base::Duration duration);
  // quay_rotator_workqueue_depth, _workqueue_wait_seconds, _workqueue_work_seconds
  void queue_depth(std::size_t depth);
  void queue_wait(base::Duration duration);
  void queue_work(base::Duration duration);
  // quay_rotator_quay_requests_total{call,outcome};
  // quay_rotator_kube_requests_total{verb,resource,code}
  void quay_request(std::string_view call, std::string_view outcome);
  void kube_request(std::string_view verb, std::string_view resource, int status);
  // quay_rotator_internal_errors_total: looks that an exception ended
  void internal_error();
  // quay_rotator_unreadable_namespaces: nothing is rotated there, because a right is missing
  void unreadable_namespaces(std::size_t count);
  // quay_rotator_leader: 1 while leading
  void leader(bool leading);

  // By resource, computed at scrape time: quay_rotator_token_age_seconds{namespace,name},
  // quay_rotator_next_rotation_timestamp_seconds{…}, quay_rotator_rotation_ready{…},
  // quay_rotator_rotation_published{…}.
  struct RotationSample {
    kube::ObjectKey key;
    double token_known_since = 0;  // Unix seconds; 0: unknown, left out
    double next_rotation = 0;      // Unix seconds; 0: none, left out
    bool ready = false;
    bool published = false;
    bool unreadable = false;  // its status; counted in quay_rotator_unreadable_resources
  };
  struct ConnectionSample {
    kube::ObjectKey key;
    bool ready = false;
  };
  // quay_rotator_connection_ready{namespace,name}. Called as the other source is.
  void set_connection_source(std::function<std::vector<ConnectionSample>()> source);
  // `now` gives Unix seconds. Both are called from the scraping thread, and must be valid for as
  // long as text() is called.
  void set_rotation_source(std::function<std::vector<RotationSample>()> source,
                           std::function<double()> now);

  // Of all lanes together, computed at scrape time: quay_rotator_lanes{health},
  // quay_rotator_lane_waiting{health} (resources that wait in them for a worker or for the rate
  // limit), quay_rotator_lane_oldest_wait_seconds{health}. Which lane is a tenant's to name; see
  // quay_rotator_connection_ready for that.
  struct LaneSample {
    std::string_view health;  // "answering", "unproven", "failing"
    std::size_t lanes = 0;
    std::size_t waiting = 0;
    base::Duration oldest{};  // since the longest of them was due
  };
  void set_lane_source(std::function<std::vector<LaneSample>()> source);

  // quay_rotator_log_lines_dropped_total, asked for at scrape time like the above.
  void set_log_source(std::function<std::uint64_t()> dropped);

  // Prometheus text format 0.0.4, with process_* (resident memory, CPU seconds, open descriptors,
  // start time, threads) and quay_rotator_build_info{version}.
  [[nodiscard]] std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace quay_rotator::runtime
