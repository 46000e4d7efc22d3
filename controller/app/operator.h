// The program around the controllers: configuration, transports, probes, signals.
#pragma once

#include <functional>
#include <string_view>

#include "app/options.h"

namespace quay_rotator::app {

struct Hooks {
  // See rotation::StepHook. Empty in the program that is shipped.
  std::function<void(std::string_view step)> after_step;
  // Less than that of the program that is shipped, for tests that wait for it.
  base::Duration least_quay_timeout = app::least_quay_timeout;
};

// Runs until SIGTERM or SIGINT. The exit code: 0 after an orderly stop, 1 when it cannot start (one
// line on standard error says why) or has lost its lease.
int run_operator(const Options& options, const Hooks& hooks);

// main() of the program: hardens the process, parses the command line, runs.
int run(int argc, const char* const* argv, const Hooks& hooks);

}  // namespace quay_rotator::app
