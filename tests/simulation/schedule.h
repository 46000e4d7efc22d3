// A whole life of a world, drawn by a seed: what there is, what people do, what goes wrong and
// when. Afterwards faults stop, and within World::time_to_settle everything must be right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quay_rotator::simulation {

struct Outcome {
  std::vector<std::string> violations;
  std::vector<std::string> trace;  // what happened, with the virtual time
  int commits = 0;                 // regenerations by the operator
  int foreign = 0;                 // … in the UI
  int deaths = 0;                  // of replicas
  std::uint64_t requests = 0;      // to Quay and the API server
};

// The same seed gives the same life. `with_logs`: the trace holds the replicas' logs too.
Outcome run_schedule(std::uint64_t seed, bool with_logs = false);

}  // namespace quay_rotator::simulation
