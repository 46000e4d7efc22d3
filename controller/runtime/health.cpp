#include "runtime/health.h"

#include <utility>

namespace quay_rotator::runtime {

namespace {

using Checks = std::vector<std::pair<std::string, Health::Check>>;

Health::Report run(const Checks& checks) {
  Health::Report report;
  for (const auto& [name, check] : checks) {
    const std::string trouble = check();
    report.ok = report.ok && trouble.empty();
    report.text.append(trouble.empty() ? "[+]" : "[-]").append(name);
    report.text.append(trouble.empty() ? " ok" : ": " + trouble).append("\n");
  }
  return report;
}

}  // namespace

void Health::add_liveness(std::string name, Check check) {
  const base::Lock lock(mutex_);
  liveness_.emplace_back(std::move(name), std::move(check));
}

void Health::add_readiness(std::string name, Check check) {
  const base::Lock lock(mutex_);
  readiness_.emplace_back(std::move(name), std::move(check));
}

// Checks run without the lock: they may take locks of their own.
Health::Report Health::liveness() const {
  base::Lock lock(mutex_);
  const Checks checks = liveness_;
  lock.unlock();
  return run(checks);
}

Health::Report Health::readiness() const {
  base::Lock lock(mutex_);
  const Checks checks = readiness_;
  lock.unlock();
  return run(checks);
}

}  // namespace quay_rotator::runtime
