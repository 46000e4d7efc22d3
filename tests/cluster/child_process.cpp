#include "cluster/child_process.h"

#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <signal.h>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "http/tls.h"

namespace quay_rotator::cluster {

namespace {

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Between fork and exec only async-signal-safe calls are allowed: everything is prepared before.
pid_t spawn(const std::vector<std::string>& command, int input, int output,
            const std::map<std::string, std::string>& environment) {
  std::map<std::string, std::string> all = environment;
  for (const std::string& text : http::child_environment()) {
    all.emplace(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
  }
  std::vector<std::string> pairs;
  pairs.reserve(all.size());
  for (const auto& [name, value] : all) pairs.push_back(name + "=" + value);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> variables;
  for (const std::string& pair : pairs) variables.push_back(const_cast<char*>(pair.c_str()));
  variables.push_back(nullptr);

  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  // Asio's sockets would be inherited, and a connection ends only when its last copy is closed.
  close_range(3, ~0U, 0);
  execvpe(arguments[0], arguments.data(), variables.data());
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::string& output_file,
                           const std::map<std::string, std::string>& environment) {
  int input[2];
  if (pipe2(input, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  const int output = open(output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  pid_ = spawn(command, input[0], output, environment);
  close(input[0]);
  close(output);
  input_ = input[1];
}

ChildProcess::~ChildProcess() {
  close(input_);
  if (!poll()) {
    signal(SIGKILL);
    wait();
  }
}

void ChildProcess::signal(int number) const {
  if (!code_) kill(pid_, number);
}

int ChildProcess::wait() {
  if (!code_) {
    int status = 0;
    waitpid(pid_, &status, 0);
    code_ = exit_code(status);
  }
  return *code_;
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  if (!code_ && waitpid(pid_, &status, WNOHANG) == pid_) code_ = exit_code(status);
  return code_;
}

ProgramResult run_program(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment,
                          const std::string& input) {
  // A file, not a pipe, holds the input: no deadlock when the program does not read it.
  std::FILE* stdin_file = std::tmpfile();
  std::FILE* output_file = std::tmpfile();
  if (stdin_file == nullptr || output_file == nullptr) throw std::runtime_error("tmpfile failed");
  std::fwrite(input.data(), 1, input.size(), stdin_file);
  std::rewind(stdin_file);
  const pid_t child = spawn(command, fileno(stdin_file), fileno(output_file), environment);
  int status = 0;
  waitpid(child, &status, 0);
  std::rewind(output_file);
  ProgramResult result{exit_code(status), ""};
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, output_file)) > 0;) {
    result.output.append(buffer, n);
  }
  std::fclose(stdin_file);
  std::fclose(output_file);
  return result;
}

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

}  // namespace quay_rotator::cluster
