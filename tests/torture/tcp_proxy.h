// A network between the operator and one server, which a test can cut.
#pragma once

#include <cstdint>
#include <memory>

namespace quay_rotator::torture {

// Forwards TCP connections to 127.0.0.1:port, byte by byte. Thread-safe; owns one thread.
//
// A cut is packet loss as TCP sees it: nothing arrives, no connection ends, and when the cut is
// over what was under way still arrives. What the sender has taken back by then, with a reset,
// does not: a real sender would no longer repeat it.
class TcpProxy {
 public:
  enum class Cut {
    both,       // nothing arrives anywhere
    to_server,  // requests are lost, answers arrive
    to_client,  // requests arrive, answers are lost
  };

  explicit TcpProxy(std::uint16_t server_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const;

  void cut(Cut direction);
  // RST to both ends of what is open, and to whoever connects until heal().
  void reset();
  // Half-open: what is open says nothing ever again; new connections work.
  void abandon();
  // Everything works again. `lost`: connections that lost something are reset, as by a firewall
  // that has forgotten them; otherwise they go on.
  void heal(bool lost);

 private:
  struct Network;
  std::unique_ptr<Network> network_;
};

}  // namespace quay_rotator::torture
