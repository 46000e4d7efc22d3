// Finds out which token Quay holds, to deliver that: adoption, healing, foreign rotation.
//
// Guarantees: never asks to regenerate or to write anything. An older token than one that is known
// (see known.h), and a listed one that the registry has not accepted, are never obtained.
// Assumptions: the driver answers each Ask with one of its answers.
// Errors: Outcome with End::quay_failed or stale_read.
#pragma once

#include <utility>

#include "base/fingerprint.h"
#include "base/time.h"
#include "credential/step.h"

namespace quay_rotator::credential {

struct AdoptInput {
  Known known;
  bool verify = true;  // verify.level Login
  // There is a ledger, and nobody knows what it says: a POST may still be carried out for it.
  bool ledger_unreadable = false;
  // Since this process first saw it, on its own monotonic clock.
  base::Duration ledger_seen_for{};
};

// A value; not synchronized.
class Adopting {
 public:
  explicit Adopting(AdoptInput input) : input_(std::move(input)) {}
  [[nodiscard]] Step begin() const { return Ask(ReadRobot{}); }
  Step resume(Answer answer);

 private:
  enum class Phase { read, judge_listed, judge_restored };
  Step on_read(base::Fingerprint fingerprint);
  Step ask(Phase phase, Ask ask);
  [[nodiscard]] Outcome stale_read() const;
  Step restored();
  [[nodiscard]] Obtained obtained() const;

  AdoptInput input_;
  Phase phase_ = Phase::read;
  base::Fingerprint token_{};
  bool accepted_ = false;  // the registry has just accepted `token_`
};

}  // namespace quay_rotator::credential
