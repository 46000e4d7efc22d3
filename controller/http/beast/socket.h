// A TCP socket whose every wait has a deadline and can be stopped.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "http/address.h"

namespace quay_rotator::http {

// How reading or writing went.
enum class Io {
  done,
  again,    // not now: wait (of what does not wait itself)
  end,      // the peer closed in order
  lost,     // closed or reset
  alert,    // the peer ended TLS and said why
  flooded,  // bytes and bytes that bring nothing
  timeout,
  stopped,
};

// Makes a stop token something that poll() can wait for. Lives as long as one call.
class Interruption {
 public:
  explicit Interruption(std::stop_token stop);
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();
  [[nodiscard]] bool requested() const { return stop_.stop_requested(); }
  // Readable once the stop was requested; -1 when none can be, or there is no descriptor left.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Nothing will wake a wait: look again now and then.
  [[nodiscard]] bool is_silent() const { return descriptor_ < 0 && stop_.stop_possible(); }

 private:
  struct Wake {
    int descriptor;
    void operator()() const;
  };
  std::stop_token stop_;
  int descriptor_ = -1;
  std::optional<std::stop_callback<Wake>> callback_;
};

struct Limits {
  base::MonotonicTime deadline;
  const Interruption& interruption;
};

// Not synchronized. A close drops what the kernel has not delivered, so that a request that was
// given up does not arrive when a long partition heals, after a newer one; see close_in_order.
class Socket {
 public:
  Socket() = default;
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  // Tries each address in its order, none longer than its share of the time: done, lost, timeout or
  // stopped.
  Io connect(const std::vector<Address>& addresses, std::uint16_t port, const Limits& limits);
  // Until it can be read (POLLIN) or written (POLLOUT). What is there counts even when the deadline
  // has passed meanwhile.
  [[nodiscard]] Io wait(short events, const Limits& limits) const;
  // These do not wait.
  Io receive(std::span<char> into, std::size_t& got) const;
  Io send(std::string_view bytes, std::size_t& sent) const;
  // Nothing has come, and the peer has not closed.
  [[nodiscard]] bool is_quiet() const;
  // What was sent is wanted: closing delivers it.
  void deliver_on_close() const;

 private:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Io connect(const Address& address, std::uint16_t port, const Limits& limits);

  int descriptor_ = -1;
};

}  // namespace quay_rotator::http
