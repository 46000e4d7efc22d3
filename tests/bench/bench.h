// What the sections of a run share, and the sections. Each measures one side of the operator at the
// size that the population has, adds its rows to the table and leaves everything as it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "bench/population.h"
#include "bench/shipped_operator.h"
#include "bench/table.h"
#include "cluster/audit_log.h"

namespace quay_rotator::bench {

struct Bench {
  Table& table;
  Population& population;
  cluster::AuditLog& audit;
  bool quick = false;  // fewer repetitions, shorter windows

  [[nodiscard]] std::size_t size() const { return population.size(); }
};

// Figures of the first, smallest size, which those of other sizes are compared with.
struct Baseline {
  std::optional<double> value;
  // The ratio to the first figure that was given.
  double compare(double figure) {
    if (!value) value = figure;
    return figure / *value;
  }
};

pid_t process_of_environment(const std::string& name);
// Seconds of CPU that the API server has used.
double api_server_cpu();
// kubectl reads every resource, managed Secret and connection as JSON, into a file.
struct Reading {
  double seconds = 0;
  double peak = 0;  // MiB of resident memory
};
Reading kubectl_reads_all();

// When the operator's writes of a resource's two Secrets had ended, the first of each that ended
// after `from`; nothing while one is missing.
std::optional<base::WallTime> published(const std::vector<cluster::AuditEntry>& log,
                                        std::size_t resource, base::WallTime from);

// kill -9 while Quay has committed a rotation of that resource and holds its answer back.
void kill_after_commit(Bench& bench, ShippedOperator& dying, std::size_t resource);

// Has an operator adopt what was created since the last time.
void adopt(Bench& bench, std::size_t before);
// From the start to synced, memory, CPU at rest.
void measure_scale(Bench& bench);
// CPU of rotations, and many that are due at once.
void measure_rotations(Bench& bench);
// After kill -9, and right after a start.
void measure_recovery(Bench& bench);
// How long a rotation leaves pods without a valid credential, and how soon changes are noticed.
void measure_outage(Bench& bench);
// Requests of a rotation.
void measure_requests(Bench& bench);
// What each of them costs the API server, and what others in its place would.
void measure_verbs(Bench& bench);
// What Quay is asked at a start and at rest.
void measure_load(Bench& bench);
// Every watch expires at once.
void measure_storm(Bench& bench);
// What a tenant notices of neighbours whose Quays are dead, slow, dear or limited.
void measure_neighbours(Bench& bench);
// What hostile answers cost in memory.
void measure_memory(Bench& bench);
// From nothing to the first request; what is on the disk.
void measure_start(Bench& bench);

}  // namespace quay_rotator::bench
