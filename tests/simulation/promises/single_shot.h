// I2 single shot. Each change of a token by a POST is charged to the ledger that its sender had
// written for it: a request that nobody has served yet, an interval that is over, or the one
// initial rotation. A POST whose sender was frozen between its last check and the socket until its
// ledger was older than the request deadline is charged to nobody, and neither is one that Quay
// carries out after the hold: it may cost one more regeneration. Nor is anything where a backup of
// Quay was put back: that undid what was charged. While clocks are wrong, one due moment is what
// the status says, whatever the time.
#pragma once

#include <map>
#include <set>
#include <string>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class SingleShot final : public Checker {
 public:
  using Checker::Checker;

  void on_rotation(const Change& change) override;
  void on_regenerate(const Sent& sent) override;
  void on_commit(const Sent& sent) override;

  // See Knowledge::carry_over and put_back().
  void carry_over(const std::string& old_uid, const std::string& new_uid);
  struct Account {                  // of one RobotTokenRotation
    base::WallTime last{};          // its last regeneration, or its creation
    std::set<std::string> excused;  // requests served by a process that was frozen; "": no request
    bool initial = false;           // the initial rotation is done
    int due = 0;                    // the due moment that the status speaks of …
    int charged_due = -1;           // … and the one that was used up
    int retired_due = -1;           // … and after which the standby was retired
  };
  using Accounts = std::map<std::string, Account>;  // by uid
  [[nodiscard]] Accounts accounts() const { return accounts_; }
  void put_back(Accounts accounts) { accounts_ = std::move(accounts); }

  // How often a frozen process sent what it should not have; how often that cost a token more.
  [[nodiscard]] int late_sends() const { return late_sends_; }
  [[nodiscard]] int extra_regenerations() const { return extra_; }

 private:
  void charge(const Sent& sent);
  void charge_retirement(const Sent& sent, Account& account);
  void excuse(const Sent& sent, Account& account);
  void count_extra();

  Accounts accounts_;
  int late_sends_ = 0;
  int extra_ = 0;
};

}  // namespace quay_rotator::simulation
