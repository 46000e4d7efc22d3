#include "http/name_lookup.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <netdb.h>
#include <system_error>
#include <thread>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/mutex.h"

namespace quay_rotator::http {
namespace {

constexpr std::size_t most_addresses = 16;  // the answer is whoever runs the zone's

struct Lookup {
  base::Mutex mutex;
  std::condition_variable_any changed;
  bool done GUARDED_BY(mutex) = false;
  std::vector<Address> addresses GUARDED_BY(mutex);
};

std::vector<Address> ask(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_ADDRCONFIG;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  std::vector<Address> addresses;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return addresses;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  for (; list != nullptr && addresses.size() < most_addresses; list = list->ai_next) {
    Address address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
    if (list->ai_family == AF_INET) {
      const auto& v4 = *reinterpret_cast<const sockaddr_in*>(list->ai_addr);
      const auto* bytes = reinterpret_cast<const unsigned char*>(&v4.sin_addr);
      std::copy_n(bytes, 4, address.begin() + 12);
    } else if (list->ai_family == AF_INET6) {
      const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(list->ai_addr);
      const auto* bytes = reinterpret_cast<const unsigned char*>(&v6.sin6_addr);
      std::copy_n(bytes, address.size(), address.begin());
    } else {
      continue;
    }
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

NameLookup look_up(const std::string& host, base::MonotonicTime deadline,
                   const std::stop_token& stop) {
  if (const auto address = parse_numeric_host(host)) return {NameLookup::End::done, {*address}};
  const auto lookup = std::make_shared<Lookup>();
  try {
    // Detached: it may hang in the system's resolver for longer than this process has to end.
    std::thread([lookup, host] {
      auto addresses = ask(host);
      const base::Lock lock(lookup->mutex);
      lookup->addresses = std::move(addresses);
      lookup->done = true;
      lookup->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {  // no more threads: the caller tries again later
    return {};
  }
  base::Lock lock(lookup->mutex);
  if (lookup->changed.wait_until(lock, stop, deadline,
                                 [&]() REQUIRES(lookup->mutex) { return lookup->done; })) {
    return {NameLookup::End::done, std::move(lookup->addresses)};
  }
  return {stop.stop_requested() ? NameLookup::End::stopped : NameLookup::End::timeout, {}};
}

}  // namespace quay_rotator::http
