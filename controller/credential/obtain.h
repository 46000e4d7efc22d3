// The strategies: each is a machine that ends with a token to deliver, or says why there is none.
// Pure: no IO, no clock, no token, only fingerprints.
//
// To add one: its machine in a file of its own (begin() and resume() as of those here), its line
// below, and what it is begun with in rotation/run.
#pragma once

#include <utility>
#include <variant>

#include "credential/adopt.h"
#include "credential/alternate.h"
#include "credential/federate.h"
#include "credential/regenerate.h"
#include "credential/step.h"

namespace quay_rotator::credential {

using Obtain = std::variant<Adopting, Alternating, Federating, Regenerating>;

inline Step begin(const Obtain& obtain) {
  return std::visit([](const auto& machine) { return machine.begin(); }, obtain);
}

// `answer` must be one that is due to the last Ask.
inline Step resume(Obtain& obtain, Answer answer) {
  return std::visit([&](auto& machine) { return machine.resume(std::move(answer)); }, obtain);
}

}  // namespace quay_rotator::credential
