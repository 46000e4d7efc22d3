#include "http/beast/socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <poll.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace quay_rotator::http {
namespace {

using std::chrono::nanoseconds;

constexpr base::Duration look_again = std::chrono::milliseconds(100);

base::MonotonicTime now() {
  return std::chrono::steady_clock::now();
}

timespec as_timespec(base::Duration duration) {
  const auto left = std::max(std::chrono::duration_cast<nanoseconds>(duration), nanoseconds(0));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  timespec result{};
  result.tv_sec = seconds.count();
  result.tv_nsec = (left - seconds).count();
  return result;
}

void linger(int socket, bool drop) {
  const ::linger option{drop ? 1 : 0, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

// What recv and send said, of which `count` is the answer.
Io outcome(ssize_t count, std::size_t& bytes) {
  if (count >= 0) {
    bytes = static_cast<std::size_t>(count);
    return Io::done;
  }
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? Io::again : Io::lost;
}

}  // namespace

void Interruption::Wake::operator()() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(descriptor, &one, sizeof one);
}

Interruption::Interruption(std::stop_token stop) : stop_(std::move(stop)) {
  if (!stop_.stop_possible()) return;
  descriptor_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor_ >= 0) callback_.emplace(stop_, Wake{descriptor_});
}

Interruption::~Interruption() {
  callback_.reset();
  if (descriptor_ >= 0) ::close(descriptor_);
}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Io Socket::wait(short events, const Limits& limits) const {
  std::array<pollfd, 2> watched{pollfd{descriptor_, events, 0},
                                pollfd{limits.interruption.descriptor(), POLLIN, 0}};
  while (true) {
    if (limits.interruption.requested()) return Io::stopped;
    auto left = limits.deadline - now();
    if (limits.interruption.is_silent()) left = std::min<base::Duration>(left, look_again);
    const timespec timeout = as_timespec(left);
    if (::ppoll(watched.data(), watched.size(), &timeout, nullptr) < 0) {
      if (errno == EINTR) continue;
      return Io::lost;
    }
    if (watched[1].revents != 0) return Io::stopped;
    if (watched[0].revents != 0) return Io::done;
    if (now() >= limits.deadline) return Io::timeout;
  }
}

Io Socket::receive(std::span<char> into, std::size_t& got) const {
  const Io io = outcome(::recv(descriptor_, into.data(), into.size(), 0), got);
  return io == Io::done && got == 0 ? Io::end : io;
}

Io Socket::send(std::string_view bytes, std::size_t& sent) const {
  return outcome(::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL), sent);
}

bool Socket::is_quiet() const {
  char byte = 0;
  return ::recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Socket::deliver_on_close() const {
  linger(descriptor_, false);
}

Io Socket::connect(const Address& address, std::uint16_t port, const Limits& limits) {
  // An IPv4 address as such: the machine may have no IPv6.
  const bool v4 = in_network(address, "::ffff:0:0/96");
  sockaddr_storage to{};
  socklen_t size = 0;
  if (v4) {
    auto& v4_address = reinterpret_cast<sockaddr_in&>(to);
    v4_address.sin_family = AF_INET;
    v4_address.sin_port = htons(port);
    std::memcpy(&v4_address.sin_addr, address.data() + 12, 4);
    size = sizeof v4_address;
  } else {
    auto& v6_address = reinterpret_cast<sockaddr_in6&>(to);
    v6_address.sin6_family = AF_INET6;
    v6_address.sin6_port = htons(port);
    std::memcpy(&v6_address.sin6_addr, address.data(), address.size());
    size = sizeof v6_address;
  }
  Socket fresh(::socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fresh.descriptor_ < 0) return Io::lost;
  if (::connect(fresh.descriptor_, reinterpret_cast<const sockaddr*>(&to), size) != 0) {
    if (errno != EINPROGRESS) return Io::lost;
    if (const Io io = fresh.wait(POLLOUT, limits); io != Io::done) return io;
    int error = 0;
    socklen_t error_size = sizeof error;
    if (::getsockopt(fresh.descriptor_, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 ||
        error != 0) {
      return Io::lost;
    }
  }
  const int on = 1;
  ::setsockopt(fresh.descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  linger(fresh.descriptor_, true);
  *this = std::move(fresh);
  return Io::done;
}

Io Socket::connect(const std::vector<Address>& addresses, std::uint16_t port,
                   const Limits& limits) {
  Io io = Io::lost;
  auto left = static_cast<base::Duration::rep>(addresses.size());
  for (const Address& address : addresses) {
    const auto begin = now();
    const auto share =
        std::max<base::Duration>(limits.deadline - begin, base::Duration(0)) / left--;
    io = connect(address, port, {begin + share, limits.interruption});
    if (io == Io::done || io == Io::stopped) return io;
  }
  return now() >= limits.deadline ? Io::timeout : io;
}

}  // namespace quay_rotator::http
