// Looks on at all that happens in a world and holds it against the promises: one checker for each,
// in promises/.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "simulation/promises/in_place.h"
#include "simulation/promises/journal.h"
#include "simulation/promises/knowledge.h"
#include "simulation/promises/look_first.h"
#include "simulation/promises/no_bad_neighbour.h"
#include "simulation/promises/no_leak.h"
#include "simulation/promises/no_loss.h"
#include "simulation/promises/one_cluster.h"
#include "simulation/promises/one_owner.h"
#include "simulation/promises/short_outage.h"
#include "simulation/promises/single_shot.h"

namespace quay_rotator::simulation {

// Also the sink of every replica's log. One world, one thread of control at a time: no locks.
class Observer final : public base::LogSink {
 public:
  // Adds itself to all of them. All must outlive it.
  Observer(testing::VirtualExecutor& world, SimulatedApiServer& api, const Quays& quays);
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  // Looks on at one more of the Quays that it was given.
  void watch(SimulatedQuay& quay);
  // … at a second cluster, whose processes are told to it as they start.
  void watch_copy(SimulatedApiServer& copy);
  void add_to_copy(const Process& process) { of_copy_.insert(&process); }
  // What was restored from a backup as another object is the same to the promises.
  void carry_over(const std::string& old_uid, const std::string& new_uid);
  // What has to be forgotten when the API server is put back, and known again.
  using Done = std::pair<Knowledge::Requests, SingleShot::Accounts>;
  [[nodiscard]] Done done() const { return {known_.done(), single_shot_.accounts()}; }
  void put_back(Done done);

  // What went against a promise: "I2 …", the oldest first.
  [[nodiscard]] const std::vector<std::string>& violations() const { return journal_.violations(); }
  // Everything is calm and reachable: what does not hold what it should? "I1 …", "I7 …"
  [[nodiscard]] std::vector<std::string> unsettled() const;
  void violate(const std::string& what) { journal_.violate(what); }
  // Something has gone wrong or was changed by somebody.
  [[nodiscard]] Calm& calm() { return known_.calm; }
  void clocks_lie() { known_.clocks_lie = true; }
  [[nodiscard]] int late_sends() const { return single_shot_.late_sends(); }
  [[nodiscard]] int extra_regenerations() const { return single_shot_.extra_regenerations(); }
  [[nodiscard]] int outages_timed() const { return short_outage_.timed(); }
  [[nodiscard]] int requests_timed() const { return no_bad_neighbour_.timed(); }
  [[nodiscard]] int posts_of_copies() const { return one_cluster_.posts(); }
  // See NoBadNeighbour.
  void ask_who_serves(std::function<std::optional<base::MonotonicTime>()> since) {
    no_bad_neighbour_.serving_since = std::move(since);
  }
  // `text` is public: a metric, a message.
  void check_public(std::string_view where, std::string_view text) { no_leak_.check(where, text); }
  // A line for the trace, with the virtual time; and whether the replicas' logs go there too.
  void note(const std::string& text) { journal_.note(text); }
  void trace_logs(bool on) { trace_logs_ = on; }
  [[nodiscard]] const std::vector<std::string>& trace() const { return journal_.trace(); }
  void forget_trace() { journal_.forget_trace(); }

  void write(base::LogLevel level, std::string_view message,
             const std::vector<base::LogField>& fields) override;

 private:
  void on_change(const Change& change);
  void on_commit(SimulatedQuay& quay, const SimulatedQuay::Post& post, const std::string& token);

  Journal journal_;
  Knowledge known_;
  NoLoss no_loss_{known_, journal_};
  SingleShot single_shot_{known_, journal_};
  LookFirst look_first_{known_, journal_};
  InPlace in_place_{known_, journal_};
  NoLeak no_leak_{known_, journal_};
  ShortOutage short_outage_{known_, journal_};
  OneOwner one_owner_{known_, journal_};
  NoBadNeighbour no_bad_neighbour_{known_, journal_};
  OneCluster one_cluster_{known_, journal_};
  std::vector<Checker*> checkers_{&no_loss_,   &single_shot_,      &look_first_,
                                  &in_place_,  &no_leak_,          &short_outage_,
                                  &one_owner_, &no_bad_neighbour_, &one_cluster_};
  std::set<const base::Executor*> of_copy_;
  bool trace_logs_ = false;
};

}  // namespace quay_rotator::simulation
