#include "credential/alternate.h"

#include <utility>

namespace quay_rotator::credential {

Alternating::Alternating(Adopting next) : next_(std::move(next)) {}

Alternating::Alternating(Regenerating next, AlternateInput input)
    : input_(input), next_(std::move(next)) {}

Step Alternating::resume(Answer answer) {
  if (!compared_) return on_compared(std::move(answer));
  return std::visit([&](auto& next) { return next.resume(std::move(answer)); }, next_);
}

Step Alternating::on_compared(Answer answer) {
  compared_ = true;
  Outcome outcome;
  outcome.end = Outcome::End::preflight_refused;
  if (!std::holds_alternative<Adopting>(next_)) {
    if (auto* failed = std::get_if<QuayFailed>(&answer)) {
      outcome.end = Outcome::End::quay_failed;
      outcome.quay_error = std::move(failed->error);
      return outcome;
    }
    const Comparison& comparison = std::get<RobotsCompared>(answer).comparison;
    if (input_.must_equal && !comparison.differences.empty()) return outcome;
    outcome.in_use = input_.unused_since && comparison.standby_used &&
                     *comparison.standby_used > *input_.unused_since + latest_use;
    if (outcome.in_use) return outcome;
  }
  return std::visit([](const auto& next) { return next.begin(); }, next_);
}

}  // namespace quay_rotator::credential
