// A server on a raw loopback socket, plain or TLS, that does exactly what its script says.
//
// Each connection has its own thread and runs the script once. Reads and waits end when the server
// is destroyed, so a script needs no timeouts.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "contract/certificates.h"

namespace quay_rotator::contract {

class Connection {
 public:
  virtual ~Connection() = default;
  // Headers and body (by Content-Length); empty when the peer has closed.
  virtual std::string read_request() = 0;
  // False when the peer has closed.
  virtual bool write(std::string_view bytes) = 0;
  // Blocks until the peer closes; false when it sent something instead.
  virtual bool wait_closed() = 0;
  // Whether the peer closes within that time: paces a script that dribbles.
  virtual bool closed_within(int milliseconds) = 0;
  // Whether the peer resets the connection within that time; a close is not enough.
  virtual bool reset_within(int milliseconds) = 0;
  // The connection ends with a reset instead of a close.
  virtual void reset() = 0;
  // The server name of the TLS handshake; nothing when the client sent none.
  [[nodiscard]] virtual std::optional<std::string> server_name() const = 0;
  // The common name of the client's certificate.
  [[nodiscard]] virtual std::string client_name() const = 0;
  // Plain so far; from here on TLS with that identity. Sessions that the server gave with the same
  // identity are resumed.
  virtual bool start_tls(const Identity& identity) = 0;
  // Whether the TLS handshake resumed an earlier session.
  [[nodiscard]] virtual bool resumed() const = 0;
  // 0 for the first connection that the server accepted.
  [[nodiscard]] virtual int index() const = 0;
};

struct ServerOptions {
  std::optional<Identity> identity;          // TLS
  std::optional<Identity> client_authority;  // demand a client certificate of this CA
  int max_tls_version = 0;                   // OpenSSL's number; 0: any
  std::string ciphers;                       // with a version; OpenSSL's spelling; empty: all
  std::string address = "127.0.0.1";
};

class RawServer {
 public:
  using Script = std::function<void(Connection&)>;

  explicit RawServer(Script script, ServerOptions options = {});
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string plain_origin() const;
  [[nodiscard]] std::string tls_origin(std::string_view host) const;
  // What read_request returned, over all connections.
  std::vector<std::string> requests();
  int accepted();
  // Blocks until that many requests came, or connections were accepted or ended.
  void await_requests(std::size_t count);
  void await_ended(int count);

 private:
  class Peer;

  void accept_loop();

  const Script script_;
  const ServerOptions options_;
  const std::string ticket_keys_;  // of all its connections
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> requests_;
  int ended_ = 0;
  bool stopping_ = false;
  std::list<std::unique_ptr<Peer>> peers_;
  std::list<std::jthread> threads_;
  std::jthread acceptor_;
};

// Whether this machine has the loopback address ::1.
bool has_ipv6();
// The value of a request's header.
std::optional<std::string> header_of(const std::string& request, const std::string& name);
// An answer with a Content-Length.
std::string answer(int status, std::string_view body, std::string_view more_headers = "");
std::string chunk(std::string_view data);

}  // namespace quay_rotator::contract
