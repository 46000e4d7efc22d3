// Counts what is read from a TCP connection without reading it, and ends it.
#pragma once

#include <cstddef>

namespace quay_rotator::http {

// Thread-safe. Keeps the connection open for as long as it lives, whatever becomes of the
// descriptor that it was made from.
class SocketMeter {
 public:
  explicit SocketMeter(int socket);
  ~SocketMeter();
  SocketMeter(const SocketMeter&) = delete;
  SocketMeter& operator=(const SocketMeter&) = delete;

  // What the kernel has received and somebody has read; 0 where it does not say.
  [[nodiscard]] std::size_t bytes_read() const;
  // Nothing more comes from this connection, also when it is not connected yet.
  void stop() const;

 private:
  int socket_;  // a duplicate
};

}  // namespace quay_rotator::http
