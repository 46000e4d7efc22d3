// How many bytes of others' answers a process holds at once, whoever sent them and however many of
// them send at the same time.
//
// Each call takes what it needs while its answer comes (ByteShare). A little is always free, so
// that ordinary answers need nothing of it: whoever sends large ones is in the way of large ones
// alone. Nobody waits: what there is no room for is refused, and asked for again later.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace quay_rotator::base {

// Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t most) : most_(most) {}

  // False: nothing was taken.
  bool take(std::size_t bytes);
  void give_back(std::size_t bytes);
  [[nodiscard]] std::size_t taken() const { return taken_; }

 private:
  const std::size_t most_;
  std::atomic<std::size_t> taken_ = 0;
};

// What one call holds; given back when this is destroyed. Not synchronized.
class ByteShare {
 public:
  // Without a budget everything is free.
  ByteShare() = default;
  ByteShare(std::shared_ptr<ByteBudget> budget, std::size_t free);
  ~ByteShare();
  ByteShare(ByteShare&& other) noexcept;
  ByteShare& operator=(ByteShare&&) = delete;

  // So many in all from now on. False: it is as it was.
  bool hold(std::size_t bytes);

 private:
  std::shared_ptr<ByteBudget> budget_;
  std::size_t free_ = 0;
  std::size_t taken_ = 0;  // beyond what is free
};

}  // namespace quay_rotator::base
