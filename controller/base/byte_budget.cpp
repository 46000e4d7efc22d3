#include "base/byte_budget.h"

#include <utility>

namespace quay_rotator::base {

bool ByteBudget::take(std::size_t bytes) {
  std::size_t taken = taken_;
  do {
    if (bytes > most_ - taken) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + bytes));
  return true;
}

void ByteBudget::give_back(std::size_t bytes) {
  taken_ -= bytes;
}

ByteShare::ByteShare(std::shared_ptr<ByteBudget> budget, std::size_t free)
    : budget_(std::move(budget)), free_(free) {}

ByteShare::ByteShare(ByteShare&& other) noexcept
    : budget_(std::move(other.budget_)),
      free_(other.free_),
      taken_(std::exchange(other.taken_, 0)) {}

ByteShare::~ByteShare() {
  if (budget_) budget_->give_back(taken_);
}

bool ByteShare::hold(std::size_t bytes) {
  if (!budget_) return true;
  const std::size_t wanted = bytes - (bytes < free_ ? bytes : free_);
  if (wanted > taken_ && !budget_->take(wanted - taken_)) return false;
  if (wanted < taken_) budget_->give_back(taken_ - wanted);
  taken_ = wanted;
  return true;
}

}  // namespace quay_rotator::base
