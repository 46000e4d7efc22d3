#include "http/exchange.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "http/origin.h"
#include "http/tls.h"

namespace quay_rotator::http {
namespace {

// What a header section, TLS and chunk framing may add to a body.
constexpr std::size_t wire_slack = 128U << 10U;
constexpr auto release_limit = std::chrono::seconds(1);
constexpr auto meter_interval = std::chrono::milliseconds(10);

base::MonotonicTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

bool Exchange::may_begin() const {
  return !left_ && now() <= send_until_;
}

bool Exchange::begin_sending() {
  const base::Lock lock(mutex_);
  if (!may_begin()) return false;
  sending_ = true;
  return true;
}

bool Exchange::begin_connecting() {
  const base::Lock lock(mutex_);
  if (!may_begin()) return false;
  connecting_ = true;
  return true;
}

void Exchange::open(int status, std::vector<Header> headers) {
  const base::Lock lock(mutex_);
  opened_ = true;
  status_ = status;
  headers_ = std::move(headers);
  // The library may tell of pieces before it tells what they belong to.
  if (received_.size() > limit()) {
    cut_ = is_error();
    received_ = base::SecretString::copy_of(received_.reveal().substr(0, limit()));
  }
  last_bytes_ = now();
  wake();
}

Exchange::Received Exchange::receive(std::string_view piece,
                                     std::function<void(bool taken)> resume) {
  const base::Lock lock(mutex_);
  if (left_ || too_large_ || cut_) return Received::unwanted;
  wire_bytes_ = 0;
  if (meter_) metered_ = meter_->bytes_read();
  last_bytes_ = now();
  const std::size_t before = received_.size() + taken_;
  const std::size_t room = limit() - std::min(limit(), before);
  const bool fits = piece.size() <= room && afford(before + piece.size());
  if (fits || is_error()) received_.append(piece.substr(0, room));
  cut_ = !fits && is_error();
  // Only one who takes pieces makes room.
  const bool hold =
      !fits && !cut_ && interest_ == Interest::pieces && before > 0 && piece.size() <= limit();
  too_large_ = !fits && !cut_ && !hold;
  if (hold) held_ = Held{piece, std::move(resume)};
  wake();
  return hold ? Received::held : fits ? Received::taken : Received::unwanted;
}

void Exchange::count_wire_bytes(std::size_t bytes) {
  const base::Lock lock(mutex_);
  meter_ = nullptr;
  add_wire_bytes(bytes);
}

bool Exchange::afford(std::size_t bytes) {
  const bool affordable = share_.hold(bytes);
  crowded_out_ = !affordable;
  return affordable;
}

bool Exchange::count_by(std::shared_ptr<const SocketMeter> meter, bool stop) {
  const base::Lock lock(mutex_);
  if (left_) return false;
  metered_ = meter->bytes_read();
  meter_ = std::move(meter);
  stop_by_meter_ = stop;
  changed_.notify_all();
  return true;
}

void Exchange::read_meter() {
  const std::size_t total = meter_->bytes_read();
  add_wire_bytes(total - std::min(total, metered_));
  metered_ = total;
}

void Exchange::add_wire_bytes(std::size_t bytes) {
  wire_bytes_ += bytes;
  const bool fits = wire_bytes_ <= limit() || wire_bytes_ - limit() <= wire_slack;
  if (fits && afford(received_.size() + taken_ + wire_bytes_)) return;
  (is_error() ? cut_ : too_large_) = true;
  wake();
}

void Exchange::count_handshake_bytes(std::size_t bytes) {
  const base::Lock lock(mutex_);
  meter_ = nullptr;
  handshake_bytes_ += bytes;
  if (handshake_bytes_ <= most_handshake_bytes || finished_) return;
  verification_failure_ = endless_handshake;
  finished_ = true;
  failure_ = Failure{"Error in SSL handshake", 0, false};
  wake();
}

void Exchange::fail_verification(std::string why) {
  const base::Lock lock(mutex_);
  verification_failure_ = std::move(why);
}

void Exchange::finish(std::optional<Failure> failure) {
  const base::Lock lock(mutex_);
  if (finished_) return;
  finished_ = true;
  meter_ = nullptr;
  failure_ = std::move(failure);
  wake();
}

void Exchange::release() {
  const base::Lock lock(mutex_);
  released_ = true;
  wake();
}

void Exchange::wake() {
  const bool over = released_ || failure_ || too_large_ || cut_;
  if (interest_ == Interest::pieces || over) changed_.notify_all();
}

template <class Ready>
Exchange::Wake Exchange::wait(base::MonotonicTime deadline, const std::stop_token& stop,
                              Ready ready) {
  base::Lock lock(mutex_);
  while (true) {
    const bool metered = meter_ != nullptr;
    const auto until = metered ? std::min(deadline, now() + meter_interval) : deadline;
    changed_.wait_until(lock, stop, until, [&]() REQUIRES(mutex_) {
      return ready() || metered != (meter_ != nullptr);
    });
    // An answer that is there counts even when the deadline has passed meanwhile.
    if (ready()) return Wake::event;
    if (stop.stop_requested()) return Wake::stopped;
    if (now() >= deadline) return Wake::timeout;
    if (meter_) read_meter();
  }
}

Exchange::Wake Exchange::await_open(base::MonotonicTime deadline, const std::stop_token& stop) {
  if (interest_ == Interest::pieces) {
    return wait(deadline, stop, [this]() REQUIRES(mutex_) { return opened_ || ended(); });
  }
  const Wake wake = wait(deadline, stop, [this]() REQUIRES(mutex_) {
    return (finished_ && released_) || failure_ || too_large_ || cut_;
  });
  const base::Lock lock(mutex_);
  return finished_ ? Wake::event : wake;  // an answer that is whole is one, held or not
}

Exchange::Wake Exchange::await_end(base::MonotonicTime deadline, const std::stop_token& stop) {
  return wait(deadline, stop, [this]() REQUIRES(mutex_) { return ended(); });
}

Exchange::Wake Exchange::await_piece(base::Duration idle_limit, base::MonotonicTime deadline,
                                     const std::stop_token& stop, base::SecretString& piece) {
  piece.clear();
  {
    const base::Lock lock(mutex_);
    taken_ = 0;
    deadline = std::min(deadline, last_bytes_ + idle_limit);
  }
  const Wake wake = wait(
      deadline, stop, [this]() REQUIRES(mutex_) { return !received_.empty() || held_ || ended(); });
  std::optional<Held> held;
  {
    const base::Lock lock(mutex_);
    piece = std::move(received_);
    received_.clear();
    // Its wait was for the caller, who is no silent server.
    if (held_) last_bytes_ = now();
    held = std::exchange(held_, std::nullopt);
    // Nothing but the end is an empty piece.
    if (held) (piece.empty() ? piece : received_).append(held->piece);
    taken_ = piece.size();
    // Less than before, or what was held back and is there anyway.
    static_cast<void>(share_.hold(received_.size() + taken_));
  }
  if (held) held->resume(true);
  return wake;
}

bool Exchange::await_release() {
  return wait(now() + release_limit, {}, [this]() REQUIRES(mutex_) { return released_; }) ==
         Wake::event;
}

bool Exchange::leave() {
  std::optional<Held> held;
  bool maybe_sent = false;
  {
    const base::Lock lock(mutex_);
    left_ = true;
    if (meter_ && stop_by_meter_) meter_->stop();
    meter_ = nullptr;
    received_ = {};
    static_cast<void>(share_.hold(0));
    held = std::exchange(held_, std::nullopt);
    maybe_sent = sending_ || connecting_;
  }
  if (held) held->resume(false);
  return maybe_sent;
}

bool Exchange::too_large() {
  const base::Lock lock(mutex_);
  return too_large_;
}

bool Exchange::crowded_out() {
  const base::Lock lock(mutex_);
  return too_large_ && crowded_out_;
}

bool Exchange::cut() {
  const base::Lock lock(mutex_);
  return cut_;
}

std::optional<Exchange::Failure> Exchange::failure() {
  const base::Lock lock(mutex_);
  return failure_;
}

std::string Exchange::verification_failure() {
  const base::Lock lock(mutex_);
  return verification_failure_;
}

bool Exchange::sending() {
  const base::Lock lock(mutex_);
  return sending_;
}

int Exchange::status() {
  const base::Lock lock(mutex_);
  return status_;
}

std::vector<Header> Exchange::take_headers() {
  const base::Lock lock(mutex_);
  return std::move(headers_);
}

base::SecretString Exchange::take_body() {
  const base::Lock lock(mutex_);
  return std::move(received_);
}

}  // namespace quay_rotator::http
