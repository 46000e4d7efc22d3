// What every transport must hold: the tests are parametrized over factories.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "contract/certificates.h"
#include "contract/raw_server.h"
#include "http/transport.h"

namespace quay_rotator::contract {

struct Candidate {
  std::string name;
  std::function<std::unique_ptr<http::TransportFactory>()> make_factory;
  // Cannot do what docs/http.md lists under "what stays".
  bool limited = false;
};

inline void PrintTo(const Candidate& candidate, std::ostream* out) {
  *out << candidate.name;
}

// Every transport under test.
std::vector<Candidate> candidates();
// The one of that name.
Candidate candidate(std::string_view name);

class Contract : public testing::TestWithParam<Candidate> {
 protected:
  std::unique_ptr<http::Transport> open(http::Endpoint endpoint) {
    auto transport = factory_->open(std::move(endpoint));
    if (!transport) throw std::runtime_error(transport.error().message);
    return std::move(*transport);
  }
  std::unique_ptr<http::Transport> open_plain(const RawServer& server) {
    http::Endpoint endpoint;
    endpoint.origin = server.plain_origin();
    endpoint.allow_insecure = true;
    return open(std::move(endpoint));
  }
  std::unique_ptr<http::Transport> open_tls(const RawServer& server, const Identity& authority,
                                            std::string_view host = "quay.test") {
    http::Endpoint endpoint;
    endpoint.origin = server.tls_origin(host);
    endpoint.ca_certificates = authority.certificate;
    return open(std::move(endpoint));
  }
  http::TransportFactory& factory() { return *factory_; }
  static bool limited() { return GetParam().limited; }

 private:
  std::unique_ptr<http::TransportFactory> factory_ = GetParam().make_factory();
};

std::string candidate_name(const testing::TestParamInfo<Candidate>& candidate);

#define QUAY_ROTATOR_CONTRACT(suite)                                                  \
  INSTANTIATE_TEST_SUITE_P(Transport, suite,                                          \
                           testing::ValuesIn(::quay_rotator::contract::candidates()), \
                           ::quay_rotator::contract::candidate_name)

http::Request get(std::string target = "/");
http::Request post(std::string target, std::string body);
http::CallOptions within(std::chrono::milliseconds deadline);

}  // namespace quay_rotator::contract
