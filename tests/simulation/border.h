// The border between the operator and the simulated world, for whoever measures only one of them.
#pragma once

namespace quay_rotator::simulation {

// While it lives, this thread of control is on that side; threads begin in the world. Costs next to
// nothing while nobody listens.
class Border {
 public:
  enum class Side { world, shipped };
  // Called by the thread that changes sides. Set it before there is a World, and give that
  // testing::make_threads: fibers share one side.
  static inline void (*on_cross)() = nullptr;

  explicit Border(Side side) {
    if (on_cross != nullptr) before_ = cross(side);
  }
  ~Border() {
    if (on_cross != nullptr) cross(before_);
  }
  Border(const Border&) = delete;
  Border& operator=(const Border&) = delete;

 private:
  static Side cross(Side side) {
    thread_local Side here = Side::world;
    const Side before = here;
    here = side;
    if (side != before) on_cross();
    return before;
  }

  Side before_ = Side::world;
};

}  // namespace quay_rotator::simulation
