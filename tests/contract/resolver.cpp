#include "contract/resolver.h"

#include <atomic>
#include <condition_variable>
#include <dlfcn.h>
#include <mutex>
#include <netdb.h>
#include <string_view>

namespace {

// The C library's interface has no place for an object.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
  bool waiting = false;
};

Gate& gate() {
  static Gate gate;
  return gate;
}

std::atomic<int>& rebinding_lookups() {
  static std::atomic<int> count = 0;
  return count;
}

constexpr const char* metadata = "169.254.169.254";

}  // namespace

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const std::string_view host = name == nullptr ? "" : name;
  if (host == "missing.test") return EAI_NONAME;
  if (host == "slow.test") {
    std::unique_lock lock(gate().mutex);
    gate().waiting = true;
    gate().changed.notify_all();
    gate().changed.wait(lock, [] { return !gate().closed; });
  }
  if (host == "metadata.test") return real(metadata, service, hints, result);
  if (host == "rebinding.test") {
    return real(rebinding_lookups()++ == 0 ? "127.0.0.1" : metadata, service, hints, result);
  }
  if (host == "both.test") {
    addrinfo* second = nullptr;
    if (const int error = real("127.0.0.1", service, hints, &second); error != 0) return error;
    const int error = real(metadata, service, hints, result);
    if (error == 0) (*result)->ai_next = second;
    return error;
  }
  return real(host.ends_with(".test") ? "127.0.0.1" : name, service, hints, result);
}

namespace quay_rotator::contract {

SlowName::SlowName() {
  const std::scoped_lock lock(gate().mutex);
  gate().closed = true;
  gate().waiting = false;
}

SlowName::~SlowName() {
  const std::scoped_lock lock(gate().mutex);
  gate().closed = false;
  gate().changed.notify_all();
}

Rebinding::Rebinding() {
  rebinding_lookups() = 0;
}

int Rebinding::lookups() {
  return rebinding_lookups();
}

void SlowName::await_lookup() {
  std::unique_lock lock(gate().mutex);
  gate().changed.wait(lock, [] { return gate().waiting; });
}

}  // namespace quay_rotator::contract
