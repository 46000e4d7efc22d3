// I7 one owner. No Secret or ledger is written for any but the owner of a robot; the others say
// Conflict.
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
