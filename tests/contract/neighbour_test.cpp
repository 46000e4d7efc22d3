// What a tenant's server can make of its own connections must not delay those to the API server.
#ifdef QUAY_ROTATOR_CPPREST
#include <algorithm>
#include <atomic>
#include <iostream>
#include <thread>

#include <gtest/gtest.h>

#include "contract/contract.h"

namespace quay_rotator::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<http::Transport> open(std::string_view transports, const RawServer& server,
                                      const Identity& authority) {
  http::Endpoint endpoint;
  endpoint.origin = server.tls_origin("quay.test");
  endpoint.ca_certificates = authority.certificate;
  return *candidate(transports).make_factory()->open(std::move(endpoint));
}

struct Latency {
  milliseconds half{};
  milliseconds nearly_all{};
};

Latency renew(http::Transport& transport, const std::function<bool()>& enough) {
  std::vector<base::Duration> took;
  while (took.size() < 200 || !enough()) {
    const auto begin = std::chrono::steady_clock::now();
    const auto response = transport.send(post("/lease", "{}"), within(seconds(5)));
    EXPECT_TRUE(response) << response.error().message;
    took.push_back(std::chrono::steady_clock::now() - begin);
  }
  std::ranges::sort(took);
  return {std::chrono::ceil<milliseconds>(took[took.size() / 2]),
          std::chrono::ceil<milliseconds>(took[took.size() * 99 / 100])};
}

// Four connections' worth of whole handshakes, each as dear as TlsSettings lets a server make it,
// beside the renewals of a lease.
TEST(Neighbour, TheDearestHandshakesDoNotDelayTheLease) {
  const Identity authority = make_authority();
  ServerOptions lease_options;
  lease_options.identity = issue(authority, {"unused", "DNS:quay.test"});
  RawServer api_server(
      [](Connection& connection) {
        while (!connection.read_request().empty()) connection.write(answer(200, "{}"));
      },
      lease_options);
  ServerOptions dear_options;
  dear_options.identity = issue_dearly(authority, {"unused", "DNS:quay.test"});
  RawServer quay(
      [](Connection& connection) {
        connection.read_request();
        connection.write(answer(200, "{}", "Connection: close\r\n"));
      },
      dear_options);

  const auto lease = open("beast", api_server, authority);
  const Latency alone = renew(*lease, [] { return true; });
  std::atomic<bool> over = false;
  std::atomic<int> handshakes = 0;
  std::vector<std::jthread> tenants;
  for (int i = 0; i < 4; ++i) {
    tenants.emplace_back([&] {
      while (!over) {
        const auto response = open("cpprest", quay, authority)->send(get(), within(seconds(20)));
        EXPECT_TRUE(response) << response.error().message;
        ++handshakes;
      }
    });
  }
  const Latency beside = renew(*lease, [&] { return handshakes >= 20; });
  over = true;
  tenants.clear();
  std::cout << "renewals of the lease, p50 and p99: " << alone.half.count() << " and "
            << alone.nearly_all.count() << " ms alone, " << beside.half.count() << " and "
            << beside.nearly_all.count() << " ms beside " << handshakes << " handshakes\n";
  EXPECT_LT(beside.nearly_all, seconds(1));
}

}  // namespace
}  // namespace quay_rotator::contract
#endif
