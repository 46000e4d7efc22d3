// I7 one owner. No ledger is written for any but the owner of a robot, which is the first that Quay
// let read it, and no Secret once the others can know; the others say Conflict.
#pragma once

#include <string>
#include <vector>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class OneOwner final : public Checker {
 public:
  using Checker::Checker;

  void on_rotation(const Change& change) override;
  void on_secret(const Change& change) override;
  void add_unsettled(std::vector<std::string>& problems) const override;

 private:
  [[nodiscard]] bool owns(const Rotation& rotation) const;
};

}  // namespace quay_rotator::simulation
