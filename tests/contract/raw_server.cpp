#include "contract/raw_server.h"

#include <algorithm>
#include <poll.h>
#include <signal.h>
#include <stdexcept>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "http/freed.h"

namespace quay_rotator::contract {
namespace {

using http::Freed;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;

Certificate certificate_of(const Identity& identity) {
  const Bio bio(BIO_new_mem_buf(identity.certificate.data(), -1));
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count));
  return bytes;
}

Context make_context(const Identity& identity, const ServerOptions& options,
                     std::string ticket_keys) {
  const auto& [unused, client_authority, max_version, ciphers, address] = options;
  Context context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_set_tlsext_ticket_keys(context.get(), ticket_keys.data(), ticket_keys.size());
  unsigned char name[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(identity.certificate.data()),
         identity.certificate.size(), name);
  SSL_CTX_set_session_id_context(context.get(), name, sizeof name);
  if (max_version != 0) {
    SSL_CTX_set_max_proto_version(context.get(), max_version);
    SSL_CTX_set_min_proto_version(context.get(), max_version);
    const std::string list = (ciphers.empty() ? "ALL" : ciphers) + ":@SECLEVEL=0";
    SSL_CTX_set_cipher_list(context.get(), list.c_str());
    SSL_CTX_set_dh_auto(context.get(), 1);
  }
  // The leaf, and what comes after it in the text.
  const Bio chain(BIO_new_mem_buf(identity.certificate.data(), -1));
  const Certificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context.get(), leaf.get());
  while (const Certificate more{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)}) {
    SSL_CTX_add1_chain_cert(context.get(), more.get());
  }
  ERR_clear_error();
  const Bio bio(BIO_new_mem_buf(identity.key.data(), -1));
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_PrivateKey(context.get(), key.get());
  if (client_authority) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()),
                        certificate_of(*client_authority).get());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return context;
}

}  // namespace

class RawServer::Peer final : public Connection {
 public:
  Peer(RawServer& server, int socket, int index)
      : server_(server), socket_(socket), index_(index) {}
  ~Peer() override {
    session_.reset();
    ::close(socket_);
  }

  // From another thread: ends every read and wait.
  void interrupt() { ::shutdown(socket_, SHUT_RDWR); }

  void run() {
    if (!server_.options_.identity || start_tls(*server_.options_.identity)) {
      server_.script_(*this);
    }
    if (session_) {
      SSL_shutdown(session_.get());
      ERR_clear_error();
    }
    // Closed at once and not with the server: the peer waits for that.
    if (reset_) {
      const linger at_once{1, 0};
      ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      const std::scoped_lock lock(server_.mutex_);
      session_.reset();
      ::close(socket_);
      socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    } else {
      ::shutdown(socket_, SHUT_RDWR);
    }
  }

  std::string read_request() override {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return "";
    }
    end += 4;
    std::size_t size = end;
    if (const auto length = header_of(buffer_.substr(0, end), "Content-Length")) {
      size += std::stoul(*length);
    }
    while (buffer_.size() < size) {
      if (!read_more()) return "";
    }
    std::string request = buffer_.substr(0, size);
    buffer_.erase(0, size);
    const std::scoped_lock lock(server_.mutex_);
    server_.requests_.push_back(request);
    server_.changed_.notify_all();
    return request;
  }

  bool write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written =
          session_ ? SSL_write(session_.get(), bytes.data(),
                               static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20U)))
                   : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (written <= 0) {
        ERR_clear_error();
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  }

  bool wait_closed() override { return buffer_.empty() && !read_more(); }

  bool closed_within(int milliseconds) override {
    pollfd events{socket_, POLLIN, 0};
    return ::poll(&events, 1, milliseconds) > 0 && wait_closed();
  }

  bool reset_within(int milliseconds) override {
    pollfd events{socket_, 0, 0};  // POLLHUP alone: both directions are over
    return ::poll(&events, 1, milliseconds) > 0;
  }

  void reset() override { reset_ = true; }

  [[nodiscard]] std::optional<std::string> server_name() const override {
    const char* const name = SSL_get_servername(session_.get(), TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? std::nullopt : std::optional<std::string>(name);
  }

  [[nodiscard]] std::string client_name() const override {
    const Certificate certificate(SSL_get1_peer_certificate(session_.get()));
    if (!certificate) return "";
    std::string name(64, '\0');
    const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()),
                                               NID_commonName, name.data(), 64);
    name.resize(static_cast<std::size_t>(std::max(size, 0)));
    return name;
  }

  bool start_tls(const Identity& identity) override {
    context_ = make_context(identity, server_.options_, server_.ticket_keys_);
    session_.reset(SSL_new(context_.get()));
    SSL_set_fd(session_.get(), socket_);
    const bool done = SSL_accept(session_.get()) == 1;
    ERR_clear_error();
    if (!done) session_.reset();
    return done;
  }

  [[nodiscard]] bool resumed() const override {
    return session_ && SSL_session_reused(session_.get()) == 1;
  }

  [[nodiscard]] int index() const override { return index_; }

 private:
  bool read_more() {
    char bytes[4096];
    const ssize_t got = session_ ? SSL_read(session_.get(), bytes, sizeof bytes)
                                 : ::recv(socket_, bytes, sizeof bytes, 0);
    ERR_clear_error();
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  RawServer& server_;
  int socket_;
  const int index_;
  bool reset_ = false;
  std::string buffer_;
  Context context_;
  Session session_;
};

RawServer::RawServer(Script script, ServerOptions options)
    : script_(std::move(script)), options_(std::move(options)), ticket_keys_(random_bytes(80)) {
  const bool v6 = options_.address.find(':') != std::string::npos;
  sockaddr_storage address{};
  socklen_t size = 0;
  if (v6) {
    auto& v6_address = reinterpret_cast<sockaddr_in6&>(address);
    v6_address.sin6_family = AF_INET6;
    inet_pton(AF_INET6, options_.address.c_str(), &v6_address.sin6_addr);
    size = sizeof v6_address;
  } else {
    auto& v4_address = reinterpret_cast<sockaddr_in&>(address);
    v4_address.sin_family = AF_INET;
    inet_pton(AF_INET, options_.address.c_str(), &v4_address.sin_addr);
    size = sizeof v4_address;
  }
  listener_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 64) != 0) {
    throw std::runtime_error("cannot listen on " + options_.address);
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(v6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<sockaddr_in&>(address).sin_port);
  acceptor_ = std::jthread([this] { accept_loop(); });
}

RawServer::~RawServer() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    for (const auto& peer : peers_) peer->interrupt();
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  threads_.clear();
  ::close(listener_);
}

void RawServer::accept_loop() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::scoped_lock lock(mutex_);
    peers_.push_back(std::make_unique<Peer>(*this, socket, static_cast<int>(peers_.size())));
    if (stopping_) peers_.back()->interrupt();
    changed_.notify_all();
    threads_.emplace_back([this, peer = peers_.back().get()] {
      // OpenSSL writes without MSG_NOSIGNAL. Only here: the code under test must never raise it.
      sigset_t pipe;
      sigemptyset(&pipe);
      sigaddset(&pipe, SIGPIPE);
      pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
      peer->run();
      const std::scoped_lock ended_lock(mutex_);
      ++ended_;
      changed_.notify_all();
    });
  }
}

std::string RawServer::plain_origin() const {
  const bool v6 = options_.address.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + options_.address + "]" : options_.address) + ":" +
         std::to_string(port_);
}

std::string RawServer::tls_origin(std::string_view host) const {
  return "https://" + std::string(host) + ":" + std::to_string(port_);
}

std::vector<std::string> RawServer::requests() {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

int RawServer::accepted() {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(peers_.size());
}

void RawServer::await_requests(std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requests_.size() >= count; });
}

void RawServer::await_ended(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended_ >= count; });
}

bool has_ipv6() {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound =
      ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (socket >= 0) ::close(socket);
  return bound;
}

std::optional<std::string> header_of(const std::string& request, const std::string& name) {
  const std::size_t at = request.find("\r\n" + name + ":");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = request.find_first_not_of(' ', at + 2 + name.size() + 1);
  return request.substr(begin, request.find("\r\n", begin) - begin);
}

std::string answer(int status, std::string_view body, std::string_view more_headers) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Status\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_headers) + "\r\n" + std::string(body);
}

std::string chunk(std::string_view data) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + std::string(data) + "\r\n";
}

}  // namespace quay_rotator::contract
