// The operator as a process: the program with fail points, with the chart's rights, never as admin.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cluster/child_process.h"

namespace quay_rotator::cluster {

struct OperatorOptions {
  std::vector<std::string> arguments{};  // after the ones that every test has
  std::map<std::string, std::string> environment{};
  std::string fail_point{};  // e.g. "regenerate"; empty: none
  // The pod's name. The same name takes its own lease back at once, another one waits for it.
  std::string pod = "quay-rotator-0";
  std::string kubeconfig{};  // empty: the ServiceAccount of the chart
  bool wait_until_ready = true;
  std::string quay_timeout = "2s";  // the hold is twice that
  std::string lease_namespace = "quay-rotator";
  std::string log_level = "debug";
  // The simulator is on this machine, which no tenant's url may name unless it is allowed.
  std::vector<std::string> allowed_quay_hosts{"localhost", "127.0.0.1", "*"};
};

// GET from this machine: the body, whatever the status.
std::string http_get(int port, const std::string& path);

class OperatorProcess {
 public:
  explicit OperatorProcess(OperatorOptions options = {});
  ~OperatorProcess();

  void signal(int number) const { process_->signal(number); }
  void kill9();
  // SIGTERM; the exit code.
  int terminate();
  int wait() { return process_->wait(); }
  // Its exit code as wait() gives it; nothing while it runs.
  [[nodiscard]] std::optional<int> poll() const { return process_->poll(); }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  [[nodiscard]] const std::string& log_file() const { return log_file_; }
  // All that it has logged, raw, and one JSON object a line.
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::vector<nlohmann::json> log_lines() const;
  // Waits until a line with that message is in the log; a test failure when none comes.
  nlohmann::json wait_for_log(const std::string& message,
                              std::chrono::seconds limit = std::chrono::seconds(45)) const;
  // GET of the probe or metrics server: the body, whatever the status.
  [[nodiscard]] std::string probe(const std::string& path) const;
  [[nodiscard]] std::string metrics() const;

 private:
  std::string log_file_;
  std::unique_ptr<ChildProcess> process_;
  mutable int metrics_port_ = 0;
};

}  // namespace quay_rotator::cluster
