// A whole life of a world: what there is, what people want, what goes wrong and when. Afterwards
// faults stop, and within World::time_to_settle everything must be right.
//
// A seed draws a plan; the plan alone (with its seed, for what is left to chance while it runs)
// makes the life, so a plan with fewer faults is a life with fewer faults.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "simulation/fault.h"
#include "simulation/world.h"

namespace quay_rotator::simulation {

struct Plan {
  std::uint64_t seed = 0;
  std::size_t replicas = 1;
  bool leader_elect = true;                       // else all of them lead
  int election_scale = 20;                        // see ReplicaOptions
  base::Duration hold = std::chrono::minutes(2);  // --regenerate-hold of all of them
  base::Duration longest_lag{};                   // see SimulatedQuay
  std::vector<RotationOptions> rotations;         // the first one or two are there from the start
  std::size_t at_start = 1;
  std::size_t quays = 1;
  std::vector<ConnectionOptions> connections = {ConnectionOptions()};
  int workers = 6;  // of each replica
  base::Duration length{};
  std::vector<Fault> faults;  // by their time
};

Plan draw_plan(std::uint64_t seed);
// … and then all of these together, of one resource that is asked to rotate meanwhile: for who
// looks for what chance seldom brings together.
struct Aim {
  FaultKind kind{};
  std::optional<Step> step;  // nothing: of the time, or of chance
};
Plan draw_plan(std::uint64_t seed, const std::vector<Aim>& together);

struct Outcome {
  std::vector<std::string> violations;
  std::vector<std::string> trace;  // what happened, with the virtual time
  int commits = 0;                 // regenerations by the operator
  int foreign = 0;                 // … in the UI
  int deaths = 0;                  // of replicas
  int late_sends = 0;              // POSTs of processes that were frozen before them
  int extra_regenerations = 0;     // … that cost a token more
  int outages_timed = 0;
  int requests_timed = 0;      // of undisturbed resources
  int posts_of_copies = 0;     // of a second cluster
  std::uint64_t requests = 0;  // to Quay and the API server
  Coverage coverage;
};

// The same plan gives the same life. `with_logs`: the trace holds the replicas' logs too.
Outcome run_schedule(const Plan& plan, bool with_logs = false);
inline Outcome run_schedule(std::uint64_t seed, bool with_logs = false) {
  return run_schedule(draw_plan(seed), with_logs);
}

// A plan of as few of the faults as break the same promise, found by leaving out more and more.
Plan shrink(const Plan& failing);
// … or as still `fails`.
Plan shrink(const Plan& failing, const std::function<bool(const Plan&)>& fails);

}  // namespace quay_rotator::simulation
