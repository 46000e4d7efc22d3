#include "bench/journal.h"

#include <stdexcept>

#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;
using nlohmann::json;

void clear_journal() {
  cluster().quay().remove("/journal");
}

std::vector<QuayRequest> journal(const std::string& query, std::size_t count) {
  std::string target = "/journal?" + query;
  if (count != 0) target += "&wait=60s&count=" + std::to_string(count);
  std::vector<QuayRequest> requests;
  for (const json& entry : cluster().quay().get(target)) {
    requests.push_back({entry.at("endpoint"), entry.value("robot", ""),
                        base::parse_time(entry.at("time").get<std::string>()).value(),
                        base::WallTime(std::chrono::microseconds(
                            entry.value("commitNs", std::int64_t{0}) / 1000))});
  }
  if (requests.size() < count) {
    throw std::runtime_error(std::to_string(requests.size()) + " of " + std::to_string(count) +
                             " requests came to Quay: " + query);
  }
  return requests;
}

std::string encoded(std::string robot) {
  return robot.replace(robot.find('+'), 1, "%2B");
}

base::WallTime commit_of(const std::string& robot) {
  return journal("endpoint=regenerate&committed=true&robot=" + encoded(robot), 1).front().committed;
}

}  // namespace quay_rotator::bench
