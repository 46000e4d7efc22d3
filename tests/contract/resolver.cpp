#include "contract/resolver.h"

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

void SlowName::await_lookup() {
  std::unique_lock lock(gate().mutex);
  gate().changed.wait(lock, [] { return gate().waiting; });
}

}  // namespace quay_rotator::contract
