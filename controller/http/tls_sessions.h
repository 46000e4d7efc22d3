// The TLS sessions that a server gave: the next connection resumes one, and then neither sends nor
// verifies certificates. That is most of what a connection costs, where a server ends each with its
// answer as Quay does.
//
// They belong to one TlsSettings, so to one server, one CA and one host that was verified, and are
// freed with it. They are secrets: only OpenSSL's memory has them, and it wipes them. A server that
// is trusted by its certificate is asked for it again after `longest_trust`, however often its
// sessions were renewed meanwhile.
//
// Safe for any number of threads.
#pragma once

#include <chrono>
#include <deque>
#include <memory>

#include <openssl/ssl.h>

#include "base/mutex.h"
#include "base/time.h"
#include "http/freed.h"

namespace quay_rotator::http {

class TlsSessions {
 public:
  static constexpr base::Duration longest_trust = std::chrono::minutes(1);

  // `connection` is about to begin its first handshake: has it offer a session, if there is one.
  void offer(SSL* connection, base::MonotonicTime now);
  // The server of `connection` gave a session.
  void keep(SSL_SESSION* session, base::MonotonicTime now);

 private:
  using Session = std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>>;
  struct Kept {
    Session session;
    base::MonotonicTime until;
  };
  Session take(base::MonotonicTime now);

  base::Mutex mutex_;
  std::deque<Kept> kept_ GUARDED_BY(mutex_);  // the newest last
};

}  // namespace quay_rotator::http
