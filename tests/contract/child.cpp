#include "contract/child.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <poll.h>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include <sys/wait.h>

#include "contract/contract.h"
#include "http/tls.h"

namespace quay_rotator::contract {
namespace {

using std::chrono::milliseconds;

http::Endpoint plain(const std::string& origin) {
  http::Endpoint endpoint;
  endpoint.origin = origin;
  endpoint.allow_insecure = true;
  return endpoint;
}

// Leaves a call that nobody answers, and returns.
int abandon(const Candidate& transports, const std::string& origin) {
  const auto factory = transports.make_factory();
  const auto transport = factory->open(plain(origin));
  const auto response = (*transport)->send(get(), within(milliseconds(50)));
  return !response && response.error().kind == http::Error::Kind::timeout ? 0 : 1;
}

// Makes as many calls at once as a busy controller, and says how many threads there are.
int count_threads(const Candidate& transports, const std::string& origin) {
  const auto factory = transports.make_factory();
  const auto transport = factory->open(plain(origin));
  std::vector<std::jthread> callers;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      if ((*transport)->send(get(), within(std::chrono::seconds(10)))) ++answered;
    });
  }
  callers.clear();
  if (answered != 16) return 1;
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  std::cout << std::distance(begin(tasks), end(tasks));
  return 0;
}

// Trusts what SSL_CERT_FILE said when the process began, read once: the file is gone after the
// first connection, and each call makes a new one.
int trust_system(const Candidate& transports, const std::string& origin, const std::string& file) {
  const auto factory = transports.make_factory();
  for (int i = 0; i < 2; ++i) {
    http::Endpoint endpoint;
    endpoint.origin = origin;
    const auto transport = factory->open(std::move(endpoint));
    const auto response = (*transport)->send(get(), within(std::chrono::seconds(10)));
    if (!response) {
      std::cout << response.error().message;
      return 1;
    }
    std::filesystem::remove(file);
  }
  std::cout << std::getenv("SSL_CERT_FILE") << "\n";
  for (const std::string& entry : http::child_environment()) {
    if (entry.starts_with("SSL_CERT_")) std::cout << entry << "\n";
  }
  return 0;
}

}  // namespace

int run_child(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  const Candidate transports = candidate(arguments.at(1));
  if (arguments.at(0) == "abandon") return abandon(transports, arguments.at(2));
  if (arguments.at(0) == "threads") return count_threads(transports, arguments.at(2));
  if (arguments.at(0) == "trust") {
    return trust_system(transports, arguments.at(2), arguments.at(3));
  }
  return 2;
}

ChildResult run_as_child(std::string_view role, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& environment) {
  std::vector<std::string> words{"/proc/self/exe", std::string(child_flag), std::string(role)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = environment;
  for (auto& inherited : http::child_environment()) {
    const std::string name = inherited.substr(0, inherited.find('=') + 1);
    const bool replaced = std::ranges::any_of(
        environment, [&](const std::string& variable) { return variable.starts_with(name); });
    if (!replaced) variables.push_back(std::move(inherited));
  }
  std::vector<char*> envp;
  for (auto& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);

  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe_ends[1], STDOUT_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(pipe_ends[1]);

  // The pipe closes when the child ends; a child that hangs is killed.
  ChildResult result;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  bool open = true;
  while (open) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(limit - std::chrono::steady_clock::now());
    pollfd events{pipe_ends[0], POLLIN, 0};
    if (left.count() <= 0 || ::poll(&events, 1, static_cast<int>(left.count())) <= 0) {
      ::kill(child, SIGKILL);
      break;
    }
    char bytes[512];
    const ssize_t got = ::read(pipe_ends[0], bytes, sizeof bytes);
    open = got > 0;
    if (open) result.output.append(bytes, static_cast<std::size_t>(got));
  }
  ::close(pipe_ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exited = WIFEXITED(status);
  result.status = result.exited ? WEXITSTATUS(status) : WTERMSIG(status);
  return result;
}

}  // namespace quay_rotator::contract
