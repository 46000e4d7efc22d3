// Brings the token that was obtained to every target, and tries it at the registry.
//
// Guarantees: a token that is known to be superseded, also by one of this very run, is never
// published. Ends with done only when every target has taken the token; only then is the ledger
// cleared. Where somebody rotates meanwhile, that token is published, a few times at most.
// Assumptions: the driver holds the obtained token, and answers each Ask with one of its answers.
// Errors: Outcome with End::unpublished; what the registry says is in `verified`, and ends nothing.
#pragma once

#include <optional>
#include <variant>

#include "base/fingerprint.h"
#include "credential/step.h"

namespace quay_rotator::credential {

struct DeliverInput {
  bool verify = true;                                        // verify.level Login
  std::optional<base::Fingerprint> verified = std::nullopt;  // that token has been verified already
  bool trusted = false;           // … or whichever it is: one like it was
  bool leave_federation = false;  // when every target has it
};

// A value; not synchronized.
class Delivering {
 public:
  using Step = std::variant<Ask, Outcome>;

  Delivering(Obtained obtained, DeliverInput input);
  [[nodiscard]] Step begin() const { return Ask(Publish{}); }
  Step resume(Answer answer);

 private:
  enum class Phase { publish, verify, read_after_refusal, leave_federation };
  Step verify();
  Step on_login_failed(quay::Error error);
  Step on_read_after_refusal(const Answer& answer);
  Step ask(Phase phase, Ask ask);
  Step done(Outcome::Verified verified);
  Step end();

  DeliverInput input_;
  Obtained obtained_;
  Phase phase_ = Phase::publish;
  int republished_ = 0;
  Outcome outcome_;
};

}  // namespace quay_rotator::credential
