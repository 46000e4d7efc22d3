#include "kube/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <system_error>
#include <unistd.h>

#include <openssl/crypto.h>
#include <sys/wait.h>

#include "http/tls.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using base::Error;

constexpr std::size_t max_diagnostics = 4096;
constexpr std::size_t pipe_capacity = 65536;  // of Linux
// Nothing tells poll() that a child ended whose grandchildren still hold its pipes.
constexpr base::Duration look_for_exit = 20ms;

std::string reason(int error) {
  return std::generic_category().message(error);
}

// The reading end never blocks; neither end survives an exec unless it is put in place for it.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) return;
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  [[nodiscard]] bool is_open() const { return ends_[0] >= 0; }
  [[nodiscard]] int reader() const { return ends_[0]; }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void close_writer() { close_end(1); }

  // Appends what is there to `text`; at the end of the stream closes the reading end.
  template <class Text>
  void drain(Text& text, std::size_t most) {
    std::array<char, 8192> buffer;
    while (is_open() && text.size() <= most) {
      const ssize_t count = ::read(reader(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) break;
      if (count <= 0) {
        close_end(0);
        break;
      }
      text.append(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    }
    OPENSSL_cleanse(buffer.data(), buffer.size());
  }

 private:
  void close_end(std::size_t end) {
    if (ends_.at(end) >= 0) ::close(ends_.at(end));
    ends_.at(end) = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

// A child in a process group of its own; killed and reaped at the latest when this goes.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (exit_code_) return;
    ::kill(-pid_, SIGKILL);
    (void)wait(0);
  }

  // The exit code, once it has ended. `flags` as of waitpid.
  std::optional<int> wait(int flags) {
    int status = 0;
    pid_t waited = 0;
    while (!exit_code_ && (waited = ::waitpid(pid_, &status, flags)) != 0) {
      if (waited < 0 && errno == EINTR) continue;
      if (waited < 0) {
        exit_code_ = 128;  // somebody else reaped it
      } else {
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
    return exit_code_;
  }

 private:
  pid_t pid_;
  std::optional<int> exit_code_;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// posix_spawnp with the pipes as standard output and error; an errno, or 0 and `pid`.
int spawn(std::vector<std::string> arguments, std::vector<std::string> environment,
          const Pipe& output, const Pipe& diagnostics, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output.writer(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, diagnostics.writer(), STDERR_FILENO);
  // The HTTP library's sockets are not close-on-exec, and a connection ends with its last copy.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  // Signals that this program blocks or ignores must work in the child as anywhere.
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int error = ::posix_spawnp(&pid, arguments.at(0).c_str(), &actions, &attributes,
                                   pointers(arguments).data(), pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

std::vector<std::string> whole_environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  all.reserve(added.size());
  for (const auto& [name, value] : added) all.emplace_back(name).append("=").append(value);
  for (std::string& text : http::child_environment()) {
    const std::string_view name = std::string_view(text).substr(0, text.find('='));
    bool replaced = false;
    for (const auto& pair : added) replaced = replaced || pair.first == name;
    if (!replaced) all.push_back(std::move(text));
  }
  return all;
}

}  // namespace

base::Expected<ChildResult> run_child(
    const std::vector<std::string>& arguments,
    const std::vector<std::pair<std::string, std::string>>& environment, const ChildLimits& limits,
    base::Executor& executor, const std::stop_token& stop) {
  Pipe output;
  Pipe diagnostics;
  if (!output.is_open() || !diagnostics.is_open()) {
    return tl::unexpected(Error{"cannot be started: " + reason(errno)});
  }
  pid_t pid = 0;
  const int error = spawn(arguments, whole_environment(environment), output, diagnostics, pid);
  if (error != 0) return tl::unexpected(Error{"cannot be started: " + reason(error)});
  Child child(pid);
  output.close_writer();
  diagnostics.close_writer();

  ChildResult result;
  const auto read_all = [&] {
    output.drain(result.output, limits.max_output);
    std::string errors;
    // Bounded for each round only; of the sum the end is kept, where the reason stands.
    diagnostics.drain(errors, max_diagnostics);
    result.diagnostics += errors;
    if (result.diagnostics.size() > max_diagnostics) {
      result.diagnostics.erase(0, result.diagnostics.size() - max_diagnostics);
    }
  };
  const base::MonotonicTime deadline = executor.now() + limits.deadline;
  std::optional<int> exit_code;
  while (!(exit_code = child.wait(WNOHANG))) {
    const base::Duration rest = deadline - executor.now();
    if (rest <= 0s) {
      return tl::unexpected(Error{"did not end within " + base::format_duration(limits.deadline)});
    }
    if (stop.stop_requested()) return tl::unexpected(Error{"was stopped"});
    // poll() passes over descriptors below zero, which closed ends are.
    std::array<pollfd, 2> readers{
        {{output.reader(), POLLIN, 0}, {diagnostics.reader(), POLLIN, 0}}};
    const auto timeout =
        std::chrono::ceil<std::chrono::milliseconds>(std::min(rest, look_for_exit));
    ::poll(readers.data(), readers.size(), static_cast<int>(timeout.count()));
    read_all();
    if (result.output.size() > limits.max_output) break;
  }
  // What it wrote before it ended is in the pipes by now, which hold no more than that; children of
  // its own may go on for ever.
  for (std::size_t held = 0; held < pipe_capacity; held += max_diagnostics) read_all();
  if (result.output.size() > limits.max_output) {
    return tl::unexpected(
        Error{"printed more than " + std::to_string(limits.max_output) + " bytes"});
  }
  result.exit_code = *exit_code;
  return result;
}

}  // namespace quay_rotator::kube
