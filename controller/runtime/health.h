// What /healthz and /readyz say.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace quay_rotator::runtime {

// Named checks; each returns an empty string or what is wrong. Thread-safe.
class Health {
 public:
  using Check = std::function<std::string()>;
  void add_liveness(std::string name, Check check);
  void add_readiness(std::string name, Check check);

  struct Report {
    bool ok = true;
    std::string text;  // "[+]sync ok\n[-]leader: …\n"
  };
  [[nodiscard]] Report liveness() const;
  [[nodiscard]] Report readiness() const;

 private:
  mutable base::Mutex mutex_;
  std::vector<std::pair<std::string, Check>> liveness_ GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, Check>> readiness_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::runtime
