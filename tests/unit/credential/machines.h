// Runs the machines as rotation/run does, with answers that are given beforehand.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "credential/deliver.h"
#include "credential/obtain.h"

namespace quay_rotator::credential {

using base::Fingerprint;

inline const Fingerprint old_token = Fingerprint::of("old");
inline const Fingerprint new_token = Fingerprint::of("new");
inline const Fingerprint third_token = Fingerprint::of("third");
constexpr base::Duration hold = std::chrono::minutes(10);

inline QuayFailed quay_says(quay::Error::Kind kind, bool maybe_changed = false) {
  quay::Error error;
  error.kind = kind;
  error.message = "Quay said no";
  error.maybe_changed = maybe_changed;
  return {error};
}
inline KubeFailed kube_says(kube::Error::Kind kind) {
  kube::Error error;
  error.kind = kind;
  error.message = "the API server said no";
  return {error};
}
inline TargetsAnswered all_well() {
  return {};
}
inline TargetsAnswered refused() {
  return {{{{"team", "pull"}, "Secret", "Immutable", "cannot be changed", true}}};
}

inline Known known(std::optional<Fingerprint> token) {
  Known known;
  known.token = token;
  known.hold = hold;
  return known;
}
inline AdoptInput adopt(std::optional<Fingerprint> token) {
  AdoptInput input;
  input.known = known(token);
  return input;
}
inline RegenerateInput rotate() {
  RegenerateInput input;
  input.known = known(old_token);
  input.id = "id";
  return input;
}
inline RegenerateInput resume_ledger(base::Duration seen_for) {
  RegenerateInput input = rotate();
  input.ledger =
      api::Ledger{"id", "acme+puller", api::RotationReason::interval, {}, old_token, 1, ""};
  input.ledger_seen_for = seen_for;
  return input;
}

// Obtaining, then delivering, as one machine.
class Machines {
 public:
  Machines(Obtain obtain, DeliverInput deliver)
      : obtain_(std::move(obtain)), input_(deliver), step_(begin(obtain_)) {}

  // Null at the end.
  [[nodiscard]] const Ask* ask() const { return std::get_if<Ask>(&step_); }
  [[nodiscard]] const Outcome* outcome() const { return std::get_if<Outcome>(&step_); }
  void resume(Answer answer) {
    if (deliver_) return take(deliver_->resume(std::move(answer)));
    step_ = credential::resume(obtain_, std::move(answer));
    auto* obtained = std::get_if<Obtained>(&step_);
    if (obtained == nullptr) return;
    deliver_.emplace(std::move(*obtained), input_);
    take(deliver_->begin());
  }

 private:
  void take(Delivering::Step step) {
    std::visit([this](auto& what) { step_ = std::move(what); }, step);
  }

  Obtain obtain_;
  DeliverInput input_;
  Step step_;
  std::optional<Delivering> deliver_;
};

// The names of what was asked for, and the outcome at the end, unless "…" is the last name.
struct Trace {
  std::vector<std::string> asks;
  Outcome outcome;
};

inline Trace run(Obtain obtain, DeliverInput deliver, std::vector<Answer> answers) {
  Trace trace;
  Machines machines(std::move(obtain), deliver);
  for (Answer& answer : answers) {
    if (machines.ask() == nullptr) {
      ADD_FAILURE() << "over before the last answer";
      break;
    }
    trace.asks.emplace_back(name(*machines.ask()));
    machines.resume(std::move(answer));
  }
  if (machines.ask() != nullptr) trace.asks.emplace_back("…");
  if (machines.outcome() != nullptr) trace.outcome = *machines.outcome();
  return trace;
}
inline Trace run(AdoptInput input, std::vector<Answer> answers,
                 std::optional<Fingerprint> verified = {}) {
  const bool verify = input.verify;
  return run(Adopting(std::move(input)), {verify, verified}, std::move(answers));
}
inline Trace run(RegenerateInput input, std::vector<Answer> answers) {
  const bool verify = input.verify;
  return run(Regenerating(std::move(input)), {verify, {}}, std::move(answers));
}

// A rotation up to and with its regeneration, then `rest`.
inline Trace run_from_regenerate(Answer regenerate, std::vector<Answer> rest) {
  std::vector<Answer> answers{RobotRead{old_token}, all_well(), LoggedIn{}, LedgerWritten{},
                              std::move(regenerate)};
  for (Answer& answer : rest) answers.push_back(std::move(answer));
  return run(rotate(), std::move(answers));
}

}  // namespace quay_rotator::credential
