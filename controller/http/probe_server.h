// A small HTTP server for probes and metrics (Boost.Beast): GET only, 8 KiB of headers, five
// seconds for a connection. Listens on `::` for both families where the address has no host.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/executor.h"

namespace quay_rotator::http {

struct ProbeAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Handlers run on the server's thread and must be quick and thread-safe.
using ProbeHandlers = std::map<std::string, std::function<ProbeAnswer()>>;  // by exact path

class ProbeServer {
 public:
  virtual ~ProbeServer() = default;  // stops and joins
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

// Is it ":8081", "127.0.0.1:0" or "[::1]:8081"? The error says what was expected.
base::Expected<void> check_probe_address(const std::string& address);

// Errors: a malformed address, a port in use.
base::Expected<std::unique_ptr<ProbeServer>> serve_probes(base::Executor& executor,
                                                          const std::string& address,
                                                          ProbeHandlers handlers);

}  // namespace quay_rotator::http
