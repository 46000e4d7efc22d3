// One connection to an origin: TCP, a proxy's tunnel and TLS, as the endpoint says.
//
// Used by one thread at a time. While it is idle nobody looks at it: usable() finds out what
// happened meanwhile.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "base/time.h"
#include "http/beast/socket.h"
#include "http/freed.h"
#include "http/origin.h"
#include "http/tls.h"

namespace quay_rotator::http {

class Connection final : public HandshakeObserver {
 public:
  // Connected, verified, and nothing of a request sent: no error has maybe_sent.
  static tl::expected<std::unique_ptr<Connection>, Error> open(
      std::shared_ptr<const Origin> origin, const std::vector<Address>& addresses,
      const Patience& patience, const Interruption& interruption);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() override;

  // The server has neither closed nor said anything unasked.
  [[nodiscard]] bool usable() const;
  // All of it, or why not.
  Io write(std::string_view bytes, const Limits& limits);
  // At least one byte, or why not.
  Io read(std::span<char> into, std::size_t& got, const Limits& limits);
  // OpenSSL's words for what ended TLS; after Io::alert.
  [[nodiscard]] const std::string& alert() const { return trouble_; }

  // The request that is about to be written must be gone when this is destroyed before an answer.
  void begin() { answered_ = false; }
  void answered() { answered_ = true; }

  base::MonotonicTime idle_since{};

  bool verified() override { return true; }  // whoever is late finds out before writing
  void refused(std::string why) override { refusal_ = std::move(why); }
  void received(std::size_t /*bytes*/, bool /*handshaking*/) override {}  // counted by the wire

 private:
  // What OpenSSL reads from and writes to.
  struct Wire {
    Socket socket;
    std::size_t left = 0;  // so many bytes may come until there must be something to show for it
    bool flooded = false;
  };
  using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
  using Ssl = std::unique_ptr<SSL, Freed<SSL_free>>;

  explicit Connection(std::shared_ptr<const Origin> origin) : origin_(std::move(origin)) {}
  static const BIO_METHOD* wire_method();
  static int read_wire(BIO* bio, char* into, int size);
  static int write_wire(BIO* bio, const char* bytes, int size);

  // CONNECT; the error of a proxy that refuses.
  tl::expected<void, Error> tunnel(const Patience& patience, const Limits& limits);
  tl::expected<void, Error> handshake(const Patience& patience, const Limits& limits);
  // What OpenSSL wants after a call that returned `result`: done when it is to be called again.
  Io settle(int result, const Limits& limits);
  [[nodiscard]] Error interrupted(Io io, const Patience& patience) const;

  const std::shared_ptr<const Origin> origin_;
  Wire wire_;
  Context context_;
  Ssl ssl_;
  std::string refusal_;  // why we ended TLS
  std::string trouble_;  // OpenSSL's words for how TLS ended
  bool answered_ = true;
};

}  // namespace quay_rotator::http
