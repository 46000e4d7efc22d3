// When something last went wrong, and for whom: what follows is not to be timed.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

class Calm {
 public:
  // What is late or slow has come to an end after that. A watch that went mute is the last: it is
  // given up after 150 s, and who lists again may find a Secret changed in the middle of a
  // rotation.
  static constexpr base::Duration after = std::chrono::minutes(3);

  // Must outlive it.
  explicit Calm(const testing::VirtualExecutor& world) : world_(world), all_(world.now()) {}

  // For everybody, for whoever uses a Quay, for a namespace; from when that is over, if it lasts.
  void disturb(base::Duration lasting = {}) { raise(all_, lasting); }
  void disturb_quay(const std::string& host, base::Duration lasting = {}) {
    raise(quays_[host], lasting);
  }
  void disturb_namespace(const std::string& name_space, base::Duration lasting = {}) {
    raise(namespaces_[name_space], lasting);
  }
  // When somebody of that namespace who uses that Quay was last disturbed; may be to come.
  [[nodiscard]] base::MonotonicTime disturbed(const std::string& host,
                                              const std::string& name_space) const {
    return std::max({all_, in(quays_, host), in(namespaces_, name_space)});
  }

 private:
  using Times = std::map<std::string, base::MonotonicTime, std::less<>>;
  void raise(base::MonotonicTime& time, base::Duration lasting) const {
    time = std::max(time, world_.now() + lasting);
  }
  static base::MonotonicTime in(const Times& times, const std::string& key) {
    const auto found = times.find(key);
    return found == times.end() ? base::MonotonicTime{} : found->second;
  }

  const testing::VirtualExecutor& world_;
  base::MonotonicTime all_;
  Times quays_;
  Times namespaces_;
};

}  // namespace quay_rotator::simulation
