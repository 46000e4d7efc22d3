// I3 look before you leap. Every target has accepted a dry run since the last POST, before the
// ledger.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class LookFirst final : public Checker {
 public:
  using Checker::Checker;

  void on_dry_run(const kube::ObjectKey& secret, std::uint64_t order) override;
  void on_rotation(const Change& change) override;
  void on_regenerate(const Sent& sent) override;
  // The API server was: whoever tries targets may have begun before the last POST.
  void put_back();

 private:
  std::map<kube::ObjectKey, std::uint64_t> dry_runs_;  // the last that was accepted
  std::map<RobotId, std::uint64_t> posts_;             // the last
  // By uid: targets without a dry run when the resource's ledger was written.
  std::map<std::string, std::vector<kube::ObjectKey>> unseen_;
};

}  // namespace quay_rotator::simulation
