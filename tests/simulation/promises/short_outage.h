// I6 short outage. From a commit to the last target's write, where nothing is in its way: the
// answer's way back and one round of requests, however many targets there are. What a status tells
// of an outage is never less than it was. Where two robots take turns there is none.
#pragma once

#include <map>
#include <set>
#include <string>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class ShortOutage final : public Checker {
 public:
  using Checker::Checker;

  void on_commit(const Sent& sent) override;
  void on_secret(const Change& change) override;
  void on_rotation(const Change& change) override;

  [[nodiscard]] int timed() const { return timed_; }

 private:
  void check_turn(const Sent& sent);

  struct Outage {
    Rotation rotation;
    base::MonotonicTime began;
    base::Duration allowed{};
    std::string token;
    std::set<kube::ObjectKey> pending;
    bool same_targets = true;  // … as the operator's run set out for
  };

  struct Measured {
    std::string token;
    base::Duration took{};
  };

  std::map<RobotId, Outage> outages_;
  std::map<RobotId, Measured> measured_;  // of the last that was over
  int timed_ = 0;
};

}  // namespace quay_rotator::simulation
