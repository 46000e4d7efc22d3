#include "cluster/operator_process.h"

#include <atomic>
#include <csignal>
#include <sstream>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <gtest/gtest.h>

#include "base/time.h"
#include "cluster/cluster.h"
#include "support/token_search.h"

namespace quay_rotator::cluster {

std::string http_get(int port, const std::string& path) {
  namespace http = boost::beast::http;
  boost::asio::io_context context;
  boost::asio::ip::tcp::socket socket(context);
  socket.connect({boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)});
  http::request<http::empty_body> request(http::verb::get, path, 11);
  request.set(http::field::host, "localhost");
  http::write(socket, request);
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  boost::beast::error_code error;
  http::read(socket, buffer, response, error);
  return response.body();
}

OperatorProcess::OperatorProcess(OperatorOptions options) {
  static std::atomic<int> count = 0;
  log_file_ = cluster().directory() + "/operator-" + std::to_string(++count) + ".log";
  std::vector<std::string> command{
      cluster().program("quay-rotator-with-fail-points"),
      "--kubeconfig",
      options.kubeconfig.empty() ? cluster().operator_kubeconfig() : options.kubeconfig,
      "--leader-election-namespace=" + options.lease_namespace,
      "--health-probe-bind-address=127.0.0.1:0",
      "--metrics-bind-address=127.0.0.1:0",
      "--quay-timeout=" + options.quay_timeout,
      "--regenerate-hold=" +
          base::format_duration(2 * base::parse_duration(options.quay_timeout).value()),
      "--log-level=" + options.log_level};
  for (const std::string& pattern : options.allowed_quay_hosts) {
    command.push_back("--allowed-quay-hosts=" + pattern);
  }
  command.insert(command.end(), options.arguments.begin(), options.arguments.end());
  options.environment["POD_NAME"] = options.pod;
  options.environment["QUAY_ROTATOR_FAIL_POINT"] =
      options.fail_point.empty() ? "none" : options.fail_point;
  process_ = std::make_unique<ChildProcess>(command, log_file_, options.environment);
  if (options.wait_until_ready) wait_for_log("caches are complete");
}

OperatorProcess::~OperatorProcess() {
  // Says that, and never what: a test's output is a log, too.
  quay_rotator::testing::TokenSearch tokens;
  const nlohmann::json world = cluster().quay().get("/world");
  for (const char* kind : {"robots", "tokens"}) {
    for (const nlohmann::json& one : world.value(kind, nlohmann::json::array())) {
      if (one.value("token", "").size() >= 8) tokens.add(one.at("token").get<std::string>());
    }
  }
  EXPECT_FALSE(tokens.betrayed_by(log())) << "a token of Quay is in the operator's log";
  if (::testing::UnitTest::GetInstance()->current_test_info() != nullptr &&
      ::testing::Test::HasFailure())
    std::fprintf(stderr, "---- the operator's log\n%s", log().c_str());
  // An orderly end, so that the next test need not wait for the lease.
  if (!process_->poll()) terminate();
}

void OperatorProcess::kill9() {
  process_->signal(SIGKILL);
  process_->wait();
}

int OperatorProcess::terminate() {
  process_->signal(SIGCONT);
  process_->signal(SIGTERM);
  return process_->wait();
}

std::string OperatorProcess::log() const {
  return read_file(log_file_);
}

std::vector<nlohmann::json> OperatorProcess::log_lines() const {
  std::vector<nlohmann::json> lines;
  std::istringstream text(log());
  for (std::string line; std::getline(text, line);) {
    auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object()) lines.push_back(std::move(parsed));
  }
  return lines;
}

nlohmann::json OperatorProcess::wait_for_log(const std::string& message,
                                             std::chrono::seconds limit) const {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < deadline) {
    for (auto& line : log_lines()) {
      if (line.value("message", "") == message) return line;
    }
    usleep(20'000);  // another process writes that file: there is nothing to wait on
  }
  ADD_FAILURE() << "the operator did not log \"" << message << "\"";
  return nullptr;
}

std::string OperatorProcess::probe(const std::string& path) const {
  return http_get(wait_for_log("starting").at("probes_port"), path);
}

std::string OperatorProcess::metrics() const {
  // Known from then on: a log grows long.
  if (metrics_port_ == 0) metrics_port_ = wait_for_log("starting").at("metrics_port");
  return http_get(metrics_port_, "/metrics");
}

}  // namespace quay_rotator::cluster
