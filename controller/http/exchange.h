// One request under way: where the calling thread meets the library's threads.
//
// The caller may leave at any time (deadline, stop); the library's side keeps the Exchange alive
// through shared ownership for as long as it needs, and learns from it that nobody listens any
// more. Received bytes wait here, bounded and wiped, until the caller takes them.
//
// Every member is safe for any number of threads. The library's side never blocks.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_budget.h"
#include "base/mutex.h"
#include "base/secret_string.h"
#include "base/time.h"
#include "http/socket_meter.h"
#include "http/transport.h"

namespace quay_rotator::http {

class Exchange {
 public:
  // How an exchange went wrong, in the library's words.
  struct Failure {
    std::string what;
    int code = 0;
    bool stale = false;  // the pooled connection was dead before anything was written to it
  };
  enum class Wake { event, timeout, stopped };
  // What the caller wants to be woken for: each step, or only when all is there. Most of an
  // exchange's cost beside TLS is waking threads.
  enum class Interest { pieces, whole };

  // What is kept of an answer until the caller takes it; of what is no success the beginning only.
  struct Limits {
    std::size_t body = 0;
    std::size_t error_body = 0;
  };
  // Nothing is sent after `send_until`: when a process wakes that was frozen for longer, the
  // library's threads may get to run before the caller, who has given up by then. What is held of
  // the answer, here and in the library, is of `share`.
  Exchange(Limits limits, Interest interest, base::MonotonicTime send_until,
           base::ByteShare share = {})
      : limits_(limits), interest_(interest), send_until_(send_until), share_(std::move(share)) {}

  // --- The library's side.

  // From now on bytes of the request may reach the server. False: the caller has left or it is too
  // late, stop here.
  bool begin_sending();
  // A plain connection is about to be made; nothing will tell when it begins to send.
  bool begin_connecting();
  void open(int status, std::vector<Header> headers);
  // What became of a piece: it was taken; it is not wanted, stop receiving; or there is no room for
  // it before the caller has taken what is there. Then `resume` is called later, once, with whether
  // it was taken, on any thread; until then the piece must stay where it is.
  enum class Received { taken, unwanted, held };
  Received receive(std::string_view piece, std::function<void(bool taken)> resume);
  // Bytes seen on the wire before the library hands anything over: a chunk or a header section
  // that never ends must not grow in the library's memory.
  void count_wire_bytes(std::size_t bytes);
  // The same, before the handshake is over: bounded whatever the answer may be.
  void count_handshake_bytes(std::size_t bytes);
  // Where nobody sees them (plain http, a proxy before TLS) the caller counts, by `meter`, while it
  // waits, until one of those is called. `stop`: also ends the connection by it when it leaves
  // before; the library, which would read a proxy's answer for ever, does not. False: the caller
  // has left, stop here.
  bool count_by(std::shared_ptr<const SocketMeter> meter, bool stop);
  void fail_verification(std::string why);
  void finish(std::optional<Failure> failure);
  // The library has let go of the request: its connection is back in the pool.
  void release();

  // --- The caller's side.

  // Waits for the status and the headers, or the end; who is interested in the whole waits for
  // that, and until the library has let go.
  Wake await_open(base::MonotonicTime deadline, const std::stop_token& stop);
  // Waits for the end.
  Wake await_end(base::MonotonicTime deadline, const std::stop_token& stop);
  // Waits for bytes or the end, at most `idle_limit` after the last bytes and until `deadline`;
  // `piece` is empty at the end. Frees the place of the piece before.
  Wake await_piece(base::Duration idle_limit, base::MonotonicTime deadline,
                   const std::stop_token& stop, base::SecretString& piece);
  // Waits until release(); false when that takes unusually long.
  bool await_release();
  // Nobody listens from here on. True when bytes of the request may have reached the server.
  bool leave();

  [[nodiscard]] bool too_large();
  // It is so because others hold what there is to hold, not by itself.
  [[nodiscard]] bool crowded_out();
  // Of what is no success, all that is kept is there, and there is more.
  [[nodiscard]] bool cut();
  [[nodiscard]] std::optional<Failure> failure();
  [[nodiscard]] std::string verification_failure();
  // True once begin_sending was called; for the other kind see begin_connecting.
  [[nodiscard]] bool sending();
  [[nodiscard]] int status();
  std::vector<Header> take_headers();
  base::SecretString take_body();

 private:
  template <class Ready>
  Wake wait(base::MonotonicTime deadline, const std::stop_token& stop, Ready ready);

  [[nodiscard]] bool is_error() const REQUIRES(mutex_) {
    return status_ != 0 && status_ / 100 != 2;
  }
  [[nodiscard]] std::size_t limit() const REQUIRES(mutex_) {
    return is_error() ? limits_.error_body : limits_.body;
  }
  [[nodiscard]] bool ended() const REQUIRES(mutex_) { return finished_ || too_large_ || cut_; }
  // So many bytes in all; false when there is no room for them.
  bool afford(std::size_t bytes) REQUIRES(mutex_);
  void add_wire_bytes(std::size_t bytes) REQUIRES(mutex_);
  void read_meter() REQUIRES(mutex_);
  [[nodiscard]] bool may_begin() const REQUIRES(mutex_);
  void wake() REQUIRES(mutex_);

  const Limits limits_;
  const Interest interest_;
  const base::MonotonicTime send_until_;
  base::ByteShare share_;
  base::Mutex mutex_;
  std::condition_variable_any changed_;

  bool left_ GUARDED_BY(mutex_) = false;
  bool sending_ GUARDED_BY(mutex_) = false;
  bool connecting_ GUARDED_BY(mutex_) = false;
  bool opened_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  bool released_ GUARDED_BY(mutex_) = false;
  bool too_large_ GUARDED_BY(mutex_) = false;
  bool crowded_out_ GUARDED_BY(mutex_) = false;
  bool cut_ GUARDED_BY(mutex_) = false;
  int status_ GUARDED_BY(mutex_) = 0;
  std::vector<Header> headers_ GUARDED_BY(mutex_);
  base::SecretString received_ GUARDED_BY(mutex_);
  struct Held {
    std::string_view piece;
    std::function<void(bool)> resume;
  };
  std::optional<Held> held_ GUARDED_BY(mutex_);
  std::size_t taken_ GUARDED_BY(mutex_) = 0;  // bytes of the piece that the caller is busy with
  std::size_t handshake_bytes_ GUARDED_BY(mutex_) = 0;
  std::size_t wire_bytes_ GUARDED_BY(mutex_) = 0;  // since the library last handed something over
  std::shared_ptr<const SocketMeter> meter_ GUARDED_BY(mutex_);
  std::size_t metered_ GUARDED_BY(mutex_) = 0;  // what it said last
  bool stop_by_meter_ GUARDED_BY(mutex_) = false;
  base::MonotonicTime last_bytes_ GUARDED_BY(mutex_){};
  std::optional<Failure> failure_ GUARDED_BY(mutex_);
  std::string verification_failure_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::http
