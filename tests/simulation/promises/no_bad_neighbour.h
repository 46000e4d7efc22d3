// I8 no bad neighbour. Whoever is undisturbed (its Quay, its namespace, the API server and the one
// process that leads are calm) is served as if it were alone, whatever others do: a rotate request
// is handled within `served_within`, and a Secret that holds a dead token is right within
// `settled_within` of the last that disturbed it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

class NoBadNeighbour final : public Checker {
 public:
  using Checker::Checker;

  static constexpr base::Duration served_within = std::chrono::seconds(2);
  // A request that began in trouble runs out (30 s), and the longest back-off with a ledger (15 s).
  // A minute, and the 80 s in which the slowest connection that is drawn (0.05 requests a second)
  // gets the permits of a run.
  static constexpr base::Duration settled_within = std::chrono::seconds(140);

  // Since when the one process that leads does its work; nothing: none does, or more than one.
  std::function<std::optional<base::MonotonicTime>()> serving_since;

  void on_rotation(const Change& change) override;
  void on_secret(const Change& change) override;
  void on_commit(const Sent& sent) override;
  // Now and then: whoever waits for too long need not do so to the end.
  void look();

  // How many requests were held against the bound.
  [[nodiscard]] int timed() const { return timed_; }

 private:
  struct Wait {  // for a rotate request
    std::string uid;
    std::string request;
    base::MonotonicTime since;
  };
  struct Outage {
    std::string uid;
    std::string token;
    base::MonotonicTime began;
    std::set<kube::ObjectKey> pending;
  };

  // Nothing but the operator itself and its neighbours can be in its way.
  [[nodiscard]] bool undisturbed(const Rotation& rotation, base::MonotonicTime since) const;
  void end(const kube::ObjectKey& key, const Outage& outage);

  std::map<kube::ObjectKey, Wait> waits_;
  std::map<kube::ObjectKey, Outage> outages_;
  int timed_ = 0;
};

}  // namespace quay_rotator::simulation
