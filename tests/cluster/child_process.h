// A program that a test runs: its output in a file, ended with the test whatever happens.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace quay_rotator::cluster {

struct ProgramResult {
  int code = 0;
  std::string output;  // standard output and standard error
};

// Owns the process: the destructor kills it. Dies with its parent, too.
class ChildProcess {
 public:
  // `environment` is added to ours. Standard input is a pipe that closes with this object.
  ChildProcess(const std::vector<std::string>& command, const std::string& output_file,
               const std::map<std::string, std::string>& environment = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void signal(int number) const;
  // Blocks until it ends: its exit code, or 128 + the signal.
  int wait();
  // Nothing while it runs.
  std::optional<int> poll();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  std::optional<int> code_;
};

// Runs a command to its end.
ProgramResult run_program(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment = {},
                          const std::string& input = "");

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

}  // namespace quay_rotator::cluster
