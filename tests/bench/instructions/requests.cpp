// request-instructions ORIGIN CA-FILE REQUESTS: requests of the shipped HTTP transports, over TLS
// to a server in another process, to be run by callgrind. One dump for each phase:
//   kept     requests on one connection, as to the API server
//   resumed  as to Quay: each on a connection of its own, which resumes the TLS session before
//   new      each on a connection of its own with a whole TLS handshake: a transport of its own
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>

#include <valgrind/callgrind.h>

#include "http/beast/transport.h"
#include "http/cpprest_transport.h"

namespace quay_rotator::bench {
namespace {

class Caller {
 public:
  Caller(std::string origin, std::string ca) : origin_(std::move(origin)), ca_(std::move(ca)) {}

  std::unique_ptr<http::Transport> open(http::TransportFactory& factory) {
    http::Endpoint endpoint;
    endpoint.origin = origin_;
    endpoint.ca_certificates = ca_;
    auto transport = factory.open(std::move(endpoint));
    if (!transport) throw std::runtime_error(transport.error().message);
    return std::move(*transport);
  }

 private:
  std::string origin_;
  std::string ca_;
};

// As a Secret is applied.
void request(http::Transport& transport, const char* target) {
  http::Request request;
  request.method = http::Method::patch;
  request.target = target;
  request.authorization = base::SecretString("Bearer " + std::string(900, 't'));
  request.content_type = "application/apply-patch+yaml";
  request.body = base::SecretString(std::string(1000, 'b'));
  http::CallOptions options;
  options.deadline = std::chrono::seconds(60);
  const auto response = transport.send(request, options);
  if (!response) throw std::runtime_error(response.error().message);
  if (response->status != 200) throw std::runtime_error("not the answer that was due");
}

template <class Body>
void phase(const char* name, int requests, const Body& body) {
  for (int i = 0; i < 10; ++i) body();
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS_AT("before");
  for (int i = 0; i < requests; ++i) body();
  CALLGRIND_DUMP_STATS_AT(name);
  CALLGRIND_STOP_INSTRUMENTATION;
}

void run(const std::string& origin, const std::string& ca_file, int requests) {
  std::ifstream file(ca_file);
  Caller caller(origin, {std::istreambuf_iterator<char>(file), {}});
  const auto to_api_server = http::make_beast_transport_factory("quay-rotator/bench");
  const auto to_quay = http::make_cpprest_transport_factory("quay-rotator/bench");
  const auto api_server = caller.open(*to_api_server);
  const auto quay = caller.open(*to_quay);
  phase("kept", requests, [&] { request(*api_server, "/"); });
  phase("resumed", requests, [&] { request(*quay, "/close"); });
  phase("new", requests, [&] { request(*caller.open(*to_quay), "/close"); });
}

}  // namespace
}  // namespace quay_rotator::bench

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("expected ORIGIN CA-FILE REQUESTS");
    quay_rotator::http::initialize_cpprest();
    quay_rotator::bench::run(argv[1], argv[2], std::stoi(argv[3]));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "request-instructions: " << error.what() << "\n";
    return 1;
  }
}
