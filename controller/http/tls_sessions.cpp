#include "http/tls_sessions.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace quay_rotator::http {
namespace {

constexpr std::size_t most_kept = 32;  // more connections are never made at one time

bool is_used_once(const SSL_SESSION* session) {
  return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

// When the certificate was verified. A session says so itself, in what OpenSSL copies to the
// sessions that a resumed connection is given.
base::MonotonicTime verified(SSL_SESSION* session, base::MonotonicTime now) {
  void* data = nullptr;
  std::size_t size = 0;
  SSL_SESSION_get0_ticket_appdata(session, &data, &size);
  if (size == sizeof now) {
    std::memcpy(&now, data, size);
  } else {
    SSL_SESSION_set1_ticket_appdata(session, &now, sizeof now);
  }
  return now;
}

}  // namespace

void TlsSessions::keep(SSL_SESSION* session, base::MonotonicTime now) {
  base::MonotonicTime until = verified(session, now) + longest_trust;
  // 0 says nothing in TLS 1.2 and "not at all" in TLS 1.3.
  const std::chrono::seconds hint(SSL_SESSION_get_ticket_lifetime_hint(session));
  if (hint.count() > 0 || is_used_once(session)) until = std::min(until, now + hint);
  // A copy: OpenSSL marks the original as not to be resumed when its connection ends without TLS's
  // good-bye.
  Session copy(SSL_SESSION_dup(session));
  if (!copy || until <= now) return;
  const base::Lock lock(mutex_);
  kept_.push_back({std::move(copy), until});
  if (kept_.size() > most_kept) kept_.pop_front();
}

TlsSessions::Session TlsSessions::take(base::MonotonicTime now) {
  const base::Lock lock(mutex_);
  std::erase_if(kept_, [now](const Kept& kept) { return kept.until <= now; });
  if (kept_.empty()) return nullptr;
  const Session& newest = kept_.back().session;
  if (!is_used_once(newest.get())) return Session(SSL_SESSION_dup(newest.get()));
  Session session = std::move(kept_.back().session);
  kept_.pop_back();
  return session;
}

void TlsSessions::offer(SSL* connection, base::MonotonicTime now) {
  if (const Session session = take(now)) SSL_set_session(connection, session.get());
}

}  // namespace quay_rotator::http
