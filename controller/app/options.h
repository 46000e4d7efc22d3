// The command line, as users of controller-runtime know it.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "app/controllers.h"
#include "base/log_writer.h"
#include "base/time.h"

namespace quay_rotator::app {

struct Options : ControllersOptions {
  std::optional<std::string> kubeconfig;
  std::string leader_election_id = "quay-rotator";  // the Lease's name
  std::string leader_election_namespace;  // "": that of the pod, or of the kubeconfig's context
  std::string health_probe_bind_address = ":8081";
  std::string metrics_bind_address = ":8080";  // "0" switches metrics off
  base::LogLevel log_level = base::LogLevel::info;
  base::LogFormat log_format = base::LogFormat::json;
};

// What to print instead of running (help, version: exit 0; a wrong flag: exit 2, on standard
// error).
struct Exit {
  int code = 0;
  std::string text;
};

// The least that --quay-timeout may be: less would give up on what a busy Quay does.
inline constexpr base::Duration least_quay_timeout = std::chrono::seconds(10);

std::variant<Options, Exit> parse_options(int argc, const char* const* argv,
                                          base::Duration least_timeout = least_quay_timeout);

// "0.1.0"
std::string version();

}  // namespace quay_rotator::app
