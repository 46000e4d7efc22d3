#include "http/exchange.h"

#include <algorithm>
#include <chrono>

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
  const std::scoped_lock lock(mutex_);
  if (!may_begin()) return false;
  sending_ = true;
  return true;
}

bool Exchange::begin_connecting() {
  const std::scoped_lock lock(mutex_);
  if (!may_begin()) return false;
  connecting_ = true;
  return true;
}

void Exchange::open(int status, std::vector<Header> headers) {
  const std::scoped_lock lock(mutex_);
  opened_ = true;
  status_ = status;
  headers_ = std::move(headers);
  last_bytes_ = now();
  wake();
}

bool Exchange::receive(std::string_view piece) {
  const std::scoped_lock lock(mutex_);
  if (left_ || too_large_) return false;
  wire_bytes_ = 0;
  if (meter_) metered_ = meter_->bytes_read();
  last_bytes_ = now();
  too_large_ = piece.size() > max_buffered_ - (received_.size() + taken_);
  if (!too_large_) received_.append(piece);
  wake();
  return !too_large_;
}

void Exchange::count_wire_bytes(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  meter_ = nullptr;
  add_wire_bytes(bytes);
}

bool Exchange::count_by(std::shared_ptr<const SocketMeter> meter, bool stop) {
  const std::scoped_lock lock(mutex_);
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
  if (wire_bytes_ <= max_buffered_ || wire_bytes_ - max_buffered_ <= wire_slack) return;
  too_large_ = true;
  wake();
}

void Exchange::fail_verification(std::string why) {
  const std::scoped_lock lock(mutex_);
  verification_failure_ = std::move(why);
}

void Exchange::finish(std::optional<Failure> failure) {
  const std::scoped_lock lock(mutex_);
  finished_ = true;
  meter_ = nullptr;
  failure_ = std::move(failure);
  wake();
}

void Exchange::release() {
  const std::scoped_lock lock(mutex_);
  released_ = true;
  wake();
}

void Exchange::wake() {
  const bool over = released_ || failure_ || too_large_;
  if (interest_ == Interest::pieces || over) changed_.notify_all();
}

template <class Ready>
Exchange::Wake Exchange::wait(base::MonotonicTime deadline, const std::stop_token& stop,
                              Ready ready) {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool metered = meter_ != nullptr;
    const auto until = metered ? std::min(deadline, now() + meter_interval) : deadline;
    changed_.wait_until(lock, stop, until,
                        [&] { return ready() || metered != (meter_ != nullptr); });
    // An answer that is there counts even when the deadline has passed meanwhile.
    if (ready()) return Wake::event;
    if (stop.stop_requested()) return Wake::stopped;
    if (now() >= deadline) return Wake::timeout;
    if (meter_) read_meter();
  }
}

Exchange::Wake Exchange::await_open(base::MonotonicTime deadline, const std::stop_token& stop) {
  if (interest_ == Interest::pieces) {
    return wait(deadline, stop, [this] { return opened_ || finished_ || too_large_; });
  }
  const Wake wake =
      wait(deadline, stop, [this] { return (finished_ && released_) || failure_ || too_large_; });
  const std::scoped_lock lock(mutex_);
  return finished_ ? Wake::event : wake;  // an answer that is whole is one, held or not
}

Exchange::Wake Exchange::await_end(base::MonotonicTime deadline, const std::stop_token& stop) {
  return wait(deadline, stop, [this] { return finished_ || too_large_; });
}

Exchange::Wake Exchange::await_piece(base::Duration idle_limit, const std::stop_token& stop,
                                     base::SecretString& piece) {
  piece.clear();
  base::MonotonicTime deadline;
  {
    const std::scoped_lock lock(mutex_);
    taken_ = 0;
    deadline = last_bytes_ + idle_limit;
  }
  const Wake wake =
      wait(deadline, stop, [this] { return !received_.empty() || finished_ || too_large_; });
  const std::scoped_lock lock(mutex_);
  piece = std::move(received_);
  received_.clear();
  taken_ = piece.size();
  return wake;
}

bool Exchange::await_release() {
  return wait(now() + release_limit, {}, [this] { return released_; }) == Wake::event;
}

bool Exchange::leave() {
  const std::scoped_lock lock(mutex_);
  left_ = true;
  if (meter_ && stop_by_meter_) meter_->stop();
  meter_ = nullptr;
  received_.clear();
  return sending_ || connecting_;
}

bool Exchange::too_large() {
  const std::scoped_lock lock(mutex_);
  return too_large_;
}

std::optional<Exchange::Failure> Exchange::failure() {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

std::string Exchange::verification_failure() {
  const std::scoped_lock lock(mutex_);
  return verification_failure_;
}

bool Exchange::sending() {
  const std::scoped_lock lock(mutex_);
  return sending_;
}

int Exchange::status() {
  const std::scoped_lock lock(mutex_);
  return status_;
}

std::vector<Header> Exchange::take_headers() {
  const std::scoped_lock lock(mutex_);
  return std::move(headers_);
}

base::SecretString Exchange::take_body() {
  const std::scoped_lock lock(mutex_);
  return std::move(received_);
}

}  // namespace quay_rotator::http
