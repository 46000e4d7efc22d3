// Tells Wake how far the caches have come, one namespace at a time: a namespace that cannot
// be read costs itself, not the others.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/log.h"
#include "rotation/wake.h"
#include "runtime/reflector.h"

namespace quay_rotator::rotation {

// The reflectors of one namespace ("" is all of them); not owned.
struct NamespaceCaches {
  std::string name;
  const runtime::Reflector* connections;
  std::vector<const runtime::Reflector*> others;

  // What is waited for; empty when all is complete.
  [[nodiscard]] std::string waits_for() const;
};

// Returns when all are complete, or when a stop was requested. `complete` is called as soon as the
// first is. One that takes long is named in the log, in a metric and on its resources.
void follow(const std::vector<NamespaceCaches>& caches, Wake& wake, base::Executor& executor,
            const base::Log& log, const std::function<void()>& first_complete,
            const std::stop_token& stop);

}  // namespace quay_rotator::rotation
