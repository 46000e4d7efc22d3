// Has Quay make a credential of an hour from a ServiceAccount's token: keyless. Nothing of before
// dies by it, so there is no ledger, no preflight and no second thought.
//
// Where Quay does not take the ServiceAccount's tokens for the robot (any more) and the spec lets
// us manage that, the robot's federation is seen to and the exchange made once more.
//
// Guarantees: asks to write Quay's list at most once in a run, and only after a refusal that says
// that an entry is missing.
// Assumptions: the driver answers each Ask with one of its answers.
// Errors: Outcome with End::no_identity (no token of the ServiceAccount), quay_failed, api_server
// or start_over.
#pragma once

#include <utility>

#include "credential/step.h"

namespace quay_rotator::credential {

struct FederateInput {
  bool manage = true;  // keep the robot's entry in Quay
};

// A value; not synchronized.
class Federating {
 public:
  explicit Federating(FederateInput input) : input_(input) {}
  [[nodiscard]] Step begin() const { return Ask(Exchange{}); }
  Step resume(Answer answer);

 private:
  enum class Phase { exchange, keep, exchange_again };

  FederateInput input_;
  Phase phase_ = Phase::exchange;
};

}  // namespace quay_rotator::credential
