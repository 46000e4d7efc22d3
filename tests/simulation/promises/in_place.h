// I4 in place. No operator deletes a Secret that is a target, unless it became one again after that
// operator looked; no UID changes.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class InPlace final : public Checker {
 public:
  using Checker::Checker;

  void on_request(const Message& message, const Address& address,
                  const base::Executor& caller) override;
  void on_secret(const Change& change) override;

 private:
  // The targets that a replica read in a rotation, by its process.
  std::map<std::pair<const base::Executor*, kube::ObjectKey>, std::vector<kube::ObjectKey>> read_;
};

}  // namespace quay_rotator::simulation
