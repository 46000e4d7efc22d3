#include "contract/contract.h"

#include <algorithm>

#include "http/beast/transport.h"
#ifdef QUAY_ROTATOR_CPPREST
#include "http/cpprest_transport.h"
#endif

namespace quay_rotator::contract {

std::vector<Candidate> candidates() {
  return {
#ifdef QUAY_ROTATOR_CPPREST
      {"cpprest", [] { return http::make_cpprest_transport_factory("quay-rotator/test"); }, true},
#endif
      {"beast", [] { return http::make_beast_transport_factory("quay-rotator/test"); }}};
}

Candidate candidate(std::string_view name) {
  const auto all = candidates();
  return *std::ranges::find(all, name, &Candidate::name);
}

std::string candidate_name(const testing::TestParamInfo<Candidate>& candidate) {
  return candidate.param.name;
}

http::Request get(std::string target) {
  http::Request request;
  request.target = std::move(target);
  return request;
}

http::Request post(std::string target, std::string body) {
  http::Request request;
  request.method = http::Method::post;
  request.target = std::move(target);
  request.content_type = "application/json";
  request.body = base::SecretString(std::move(body));
  return request;
}

http::CallOptions within(std::chrono::milliseconds deadline) {
  http::CallOptions options;
  options.deadline = deadline;
  return options;
}

}  // namespace quay_rotator::contract
