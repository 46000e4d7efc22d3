#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "unit/credential/machines.h"

namespace quay_rotator::credential {
namespace {

using std::chrono::seconds;
using End = Outcome::End;

// A whole life over a Quay and an API server that fail in every way, with crashes between any two
// steps. What must hold at every step: a POST only under a ledger that is stored, after a
// preflight, and never while an earlier one can still be in flight.
class Life {
 public:
  explicit Life(std::uint32_t seed) : random_(seed) {}

  void live() {
    for (int start = 0; start < 12; ++start) run_once(true);
    for (int start = 0; start < 6; ++start) {
      now_ += hold;
      run_once(false);  // nothing fails any more
    }
    EXPECT_FALSE(stored_ledger_);
    EXPECT_EQ(published_, quay_) << "the target must hold what Quay holds (I1)";
    for (const auto& [id, made] : made_by_) EXPECT_LE(made, 1) << "ledger " << id << " (I2)";
  }

 private:
  bool chance(int percent) { return std::uniform_int_distribution<int>(0, 99)(random_) < percent; }

  void run_once(bool faults) {
    Machines machines(choose(faults), {true, known_});
    while (const Ask* ask = machines.ask()) {
      now_ += seconds(1);
      if (faults && chance(8)) return forget();  // kill -9 before the step …
      Answer answer = perform(*ask, faults);
      if (faults && chance(8)) return forget();  // … or right after it
      machines.resume(std::move(answer));
    }
    const Outcome& outcome = *machines.outcome();
    if (outcome.stale != stale_ && (outcome.stale || outcome.fingerprint)) {
      stale_ = outcome.stale;
      stale_since_ = now_;
    }
    if (faults && chance(10)) return;  // the status could not be written
    if (outcome.end == End::done) {
      if (known_ && known_ != outcome.fingerprint && quay_ != outcome.fingerprint) {
        EXPECT_FALSE(was_known_.contains(*outcome.fingerprint)) << "an older token is no news (I1)";
      }
      known_ = outcome.fingerprint;
      was_known_.insert(*known_);
      if (outcome.ledger) was_known_.insert(outcome.ledger->previous);
    }
    if (outcome.clear_ledger) stored_ledger_.reset();
    if (outcome.hold_left) now_ += *outcome.hold_left;
  }

  Obtain choose(bool faults) {
    Known known = credential::known(known_);
    for (const Fingerprint token : was_known_) {
      if (token != known_) known.supersede(token);
    }
    known.stale = stale_;
    known.stale_for = now_ - stale_since_;
    ++rotations_;
    if (!stored_ledger_ && !(faults && chance(60))) return Adopting(AdoptInput{std::move(known)});
    RegenerateInput input;
    input.known = std::move(known);
    input.id = "rotation " + std::to_string(rotations_);
    if (stored_ledger_) {
      see(*stored_ledger_);
      input.ledger = stored_ledger_;
      input.ledger_seen_for = now_ - seen_at_;
    }
    return Regenerating(std::move(input));
  }

  void forget() {
    seen_.reset();
    stale_.reset();
  }

  void see(const api::Ledger& ledger) {
    const auto which = std::pair(ledger.id, ledger.attempt);
    if (seen_ == which) return;
    seen_ = which;
    seen_at_ = now_;
  }

  Answer perform(const Ask& ask, bool faults) {
    using Kind = quay::Error::Kind;
    const bool fails = faults && chance(20);
    if (std::holds_alternative<ReadRobot>(ask)) {
      if (fails) return quay_says(Kind::unreachable);
      held_ = faults && chance(20) ? before_ : quay_;  // from a replica that lags
      if (!known_ && !stored_ledger_ && chance(20)) {
        if (chance(50)) held_ = before_;
        return RobotRead{held_, /*listed=*/true};
      }
      return RobotRead{held_};
    }
    if (std::holds_alternative<DryRunTargets>(ask)) {
      accepted_ = !fails;
      return fails ? refused() : all_well();
    }
    if (std::holds_alternative<LogIn>(ask)) {
      if (fails) return quay_says(Kind::registry_unavailable);
      if (held_ != quay_) return quay_says(Kind::login_refused);
      return LoggedIn{};
    }
    if (const auto* write = std::get_if<WriteLedger>(&ask)) {
      EXPECT_TRUE(accepted_) << "preflight before the ledger (I3)";
      if (fails && chance(50)) return kube_says(kube::Error::Kind::unreachable);
      stored_ledger_ = write->ledger;
      see(*stored_ledger_);
      if (fails) return kube_says(kube::Error::Kind::unreachable);  // written, the answer lost
      return LedgerWritten{};
    }
    if (std::holds_alternative<Regenerate>(ask)) {
      EXPECT_TRUE(stored_ledger_) << "no POST without a stored ledger";
      EXPECT_EQ(stored_ledger_->previous, quay_);
      before_ = quay_;
      if (fails && chance(30)) return quay_says(Kind::read_only);
      if (fails && chance(50)) return quay_says(Kind::unreachable, true);
      quay_ = Fingerprint::of("token " + std::to_string(++tokens_));
      ++made_by_[stored_ledger_->id];
      if (fails) return quay_says(Kind::server_error, true);
      held_ = quay_;
      return Regenerated{quay_};
    }
    if (fails) return refused();
    published_ = held_;
    return all_well();
  }

  std::mt19937 random_;
  int tokens_ = 0;
  int rotations_ = 0;
  base::Duration now_{};
  Fingerprint quay_ = Fingerprint::of("first");
  Fingerprint before_ = quay_;  // its token before that
  std::set<Fingerprint> was_known_;
  std::optional<Fingerprint> stale_;
  base::Duration stale_since_{};
  Fingerprint held_;       // by the process
  Fingerprint published_;  // in the Secret
  std::optional<Fingerprint> known_;
  std::optional<api::Ledger> stored_ledger_;
  std::optional<std::pair<std::string, int>> seen_;
  base::Duration seen_at_{};
  bool accepted_ = false;
  std::map<std::string, int> made_by_;
};

TEST(Credential, KeepsItsPromisesThroughThousandsOfFailingLives) {
  for (std::uint32_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life(seed).live();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace quay_rotator::credential
