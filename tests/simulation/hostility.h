// What a Quay does to whoever asks it, out of malice or broken beyond an error: a neighbour that
// nobody else may suffer from. Part of a SimulatedQuay.
#pragma once

#include <optional>
#include <utility>

#include "simulation/network.h"

namespace quay_rotator::simulation {

struct Hostility {
  bool silent = false;         // takes requests, does them, and does not answer
  bool trickles = false;       // … answers, a byte a second
  bool endless_lists = false;  // lists of robots do not end
  bool nonsense_lists = false;
  bool others_robots = false;  // lists hold robots of other organizations and users
  bool much_later = false;     // come back in a hundred years
  bool registry = false;       // nonsense of every kind from the registry; names of other hosts

  // What it answers instead of a Quay, and which fault that is; nothing: what a Quay would.
  [[nodiscard]] std::optional<std::pair<FaultKind, Reply>> answer(const Message& message,
                                                                  Process& caller,
                                                                  Dice& dice) const;
  // How much later its answer comes, and which fault that is.
  [[nodiscard]] std::optional<std::pair<FaultKind, base::Duration>> delay(
      const Message& message) const;
};

}  // namespace quay_rotator::simulation
