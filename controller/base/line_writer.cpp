#include "base/line_writer.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace quay_rotator::base {

namespace {

constexpr Duration look_for_room = std::chrono::milliseconds(20);

std::size_t cost(const std::string& line) {
  return line.size() + sizeof(std::string);
}

// A pipe that is ready takes PIPE_BUF bytes at once; a descriptor that is broken is ready, too.
bool is_ready(int descriptor) {
  pollfd one{descriptor, POLLOUT, 0};
  return ::poll(&one, 1, 0) > 0;
}

}  // namespace

LineWriter::LineWriter(int descriptor, Gap gap, Executor& executor, LineLimits limits)
    : descriptor_(descriptor),
      gap_(std::move(gap)),
      executor_(executor),
      limits_(limits),
      changed_(executor.make_signal()) {
  thread_ = executor.spawn("log", [this](const std::stop_token& stop) { run(stop); });
}

LineWriter::~LineWriter() {
  {
    const Lock lock(mutex_);
    end_ = executor_.now() + limits_.farewell;
  }
  thread_->request_stop();
  thread_->join();
}

void LineWriter::write(std::string line) {
  const Lock lock(mutex_);
  bytes_ += cost(line);
  lines_.push_back(std::move(line));
  while (bytes_ > limits_.most_bytes) drop_oldest();
  changed_->notify_all();
}

bool LineWriter::flush(Duration limit) {
  const MonotonicTime deadline = executor_.now() + limit;
  const std::stop_token never;
  Lock lock(mutex_);
  const auto all_written = [this]() REQUIRES(mutex_) { return lines_.empty() && !writing_; };
  while (!all_written() && changed_->wait_until(lock, deadline, never)) continue;
  return all_written();
}

std::uint64_t LineWriter::dropped() const {
  const Lock lock(mutex_);
  return dropped_;
}

void LineWriter::drop_oldest() {
  bytes_ -= cost(lines_.front());
  lines_.pop_front();
  ++dropped_;
  ++untold_;
}

std::string LineWriter::take() {
  std::string line = std::move(lines_.front());
  bytes_ -= cost(line);
  lines_.pop_front();
  if (untold_ == 0) return line;
  return gap_(std::exchange(untold_, 0)) + line;
}

void LineWriter::run(const std::stop_token& stop) {
  Lock lock(mutex_);
  while (true) {
    if (lines_.empty()) {
      if (stop.stop_requested()) return;
      changed_->wait_until(lock, executor_.now() + std::chrono::hours(1), stop);
      continue;
    }
    const std::uint64_t missing = untold_;
    const std::string text = take();
    writing_ = true;
    lock.unlock();
    const bool written = write_whole(text, stop);
    lock.lock();
    writing_ = false;
    if (!written) {
      ++dropped_;
      untold_ += missing + 1;
      while (is_over(stop) && !lines_.empty()) drop_oldest();
    }
    changed_->notify_all();
  }
}

bool LineWriter::write_whole(std::string_view text, const std::stop_token& stop) const {
  const std::stop_token never;
  while (!text.empty()) {
    ssize_t written = -1;
    errno = EAGAIN;
    if (is_ready(descriptor_)) {
      written = ::write(descriptor_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    }
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    } else {
      {
        const Lock lock(mutex_);
        if (is_over(stop)) return false;
      }
      executor_.sleep_for(look_for_room, never);
    }
  }
  return true;
}

bool LineWriter::is_over(const std::stop_token& stop) const {
  return stop.stop_requested() && executor_.now() >= end_;
}

}  // namespace quay_rotator::base
