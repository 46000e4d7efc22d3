// What the API server was asked, by whom and when: its audit log.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "base/time.h"

namespace quay_rotator::cluster {

inline constexpr const char* operator_user = "system:serviceaccount:quay-rotator:quay-rotator";

struct AuditEntry {
  std::string user;
  std::string verb;
  std::string resource;  // "secrets", "robottokenrotations/status"; a path outside the resources
  std::string name_space;
  std::string name;
  bool dry_run = false;
  int status = 0;
  base::WallTime received;
  base::WallTime done;  // of a watch: when it began
};

// Reads from where it was opened. Not synchronized.
class AuditLog {
 public:
  explicit AuditLog(std::string file);

  // What was written since the last call; a request is there before its client has the answer.
  std::vector<AuditEntry> read();
  // … by that user. Requests that only keep the program alive (its Lease, its watches) are left
  // out.
  std::vector<AuditEntry> read_work_of(const std::string& user);

 private:
  std::string file_;
  std::ifstream stream_;
  std::string partial_;  // a line whose end is not written yet
};

}  // namespace quay_rotator::cluster
