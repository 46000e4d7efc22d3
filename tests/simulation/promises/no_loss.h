// I1 no loss. When faults have stopped every target has Quay's token, every resource is Ready and
// has handled the request that it was given. At every step, a rotation is over only when each
// target has had its token, only tokens are written, and no status goes back to a token that it
// knew before, unless Quay has.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/fingerprint.h"
#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class NoLoss final : public Checker {
 public:
  using Checker::Checker;

  void on_rotation(const Change& change) override;
  void on_secret(const Change& change) override;
  void add_unsettled(std::vector<std::string>& problems) const override;

 private:
  // What is wrong with a Secret; "" for nothing.
  [[nodiscard]] std::string check_target(const Rotation& rotation, const kube::ObjectKey& target,
                                         const std::string& token) const;

  // The tokens that a Secret has ever had: none comes twice.
  std::map<kube::ObjectKey, std::vector<base::Fingerprint>> held_;
  void check_goes_on(const Change& change);
  [[nodiscard]] bool spares_standby(const Rotation& rotation) const;
  [[nodiscard]] bool may_go_back(const RobotId& robot, const std::string& fingerprint) const;

  // By uid: the tokens that a status has ever known, as fingerprints.
  std::map<std::string, std::set<std::string>> knew_;
  // By uid: a resource's targets ever since it wrote its ledger.
  std::map<std::string, std::vector<kube::ObjectKey>> promised_;
};

}  // namespace quay_rotator::simulation
