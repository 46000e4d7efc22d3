// Two robots that take turns: the standby's token is regenerated and delivered, and the other's
// stays valid until it is retired. This is what comes before either: are the two robots equal, and
// does anybody still use the token that would die?
//
// Guarantees: nothing is regenerated where the robots differ, or where the standby was used after
// `unused_since`. The robot whose token the targets hold is never regenerated, and the standby's
// token of before is never logged in with.
// Assumptions: the driver's robot is the standby, except to adopt.
// Errors: as of the machine that follows; Outcome with End::preflight_refused or quay_failed.
#pragma once

#include <optional>
#include <variant>

#include "base/time.h"
#include "credential/adopt.h"
#include "credential/regenerate.h"
#include "credential/step.h"

namespace quay_rotator::credential {

// Quay notes a use once a minute at most, its clock is not ours, and who has just read the Secret
// of before still pulls with that.
inline constexpr base::Duration latest_use = std::chrono::minutes(2);

struct AlternateInput {
  bool must_equal = true;  // the robots' rights, for what follows
  // When the targets lost the standby's token; nothing: whoever uses it, it may die.
  std::optional<base::WallTime> unused_since = std::nullopt;
};

// A value; not synchronized.
class Alternating {
 public:
  // `next` is what follows. Adopting goes on whatever the comparison says: it is only told.
  explicit Alternating(Adopting next);
  Alternating(Regenerating next, AlternateInput input);
  [[nodiscard]] Step begin() const { return Ask(CompareRobots{}); }
  Step resume(Answer answer);

 private:
  Step on_compared(Answer answer);

  AlternateInput input_;
  std::variant<Adopting, Regenerating> next_;
  bool compared_ = false;
};

}  // namespace quay_rotator::credential
