// One run of a program to its end, with bounded output and time.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/executor.h"
#include "base/secret_string.h"

namespace quay_rotator::kube {

struct ChildResult {
  int exit_code = 0;  // 128 + the signal that ended it
  base::SecretString output;
  std::string diagnostics;  // the end of its standard error
};

struct ChildLimits {
  base::Duration deadline;
  std::size_t max_output;
};

// Runs `arguments[0]` (looked up in PATH when it has no slash) without a shell, with standard input
// from /dev/null and our environment plus `environment`. Blocks the thread in poll(). The child has
// ended and is reaped when this returns. Errors: it cannot be started ("No such file or
// directory"), is too slow, prints too much, or a stop was requested.
base::Expected<ChildResult> run_child(
    const std::vector<std::string>& arguments,
    const std::vector<std::pair<std::string, std::string>>& environment, const ChildLimits& limits,
    base::Executor& executor, const std::stop_token& stop);

}  // namespace quay_rotator::kube
