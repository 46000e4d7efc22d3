#include "http/socket_meter.h"

#include <fcntl.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace quay_rotator::http {

SocketMeter::SocketMeter(int socket) : socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)) {}

SocketMeter::~SocketMeter() {
  if (socket_ >= 0) close(socket_);
}

std::size_t SocketMeter::bytes_read() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  int unread = 0;
  if (getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      ioctl(socket_, FIONREAD, &unread) != 0) {
    return 0;
  }
  const std::size_t received = info.tcpi_bytes_received;
  const auto waiting = static_cast<std::size_t>(unread);
  return received < waiting ? 0 : received - waiting;
}

void SocketMeter::stop() const {
  // Its end is a reset: a peer that only sends would learn of nothing else.
  constexpr linger now{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (shutdown(socket_, SHUT_RDWR) == 0) return;
  // Whoever connects it later gets no answer.
  sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program{1, &drop};
  setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

}  // namespace quay_rotator::http
