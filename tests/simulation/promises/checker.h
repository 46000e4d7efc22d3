// Holds what happens against one promise. Each promise has a file of its own beside this one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "simulation/promises/journal.h"
#include "simulation/promises/knowledge.h"

namespace quay_rotator::simulation {

// One world, one thread of control at a time: no locks. The knowledge has taken in what a checker
// is told.
class Checker {
 public:
  // Both must outlive it.
  Checker(const Knowledge& known, Journal& journal) : known_(known), journal_(journal) {}
  virtual ~Checker() = default;
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  virtual void on_rotation(const Change& /*change*/) {}
  virtual void on_secret(const Change& /*change*/) {}
  // An operator's, before it is handled.
  virtual void on_request(const Message& /*message*/, const Address& /*address*/,
                          const base::Executor& /*caller*/) {}
  virtual void on_dry_run(const kube::ObjectKey& /*secret*/, std::uint64_t /*order*/) {}
  virtual void on_regenerate(const Sent& /*sent*/) {}
  virtual void on_commit(const Sent& /*sent*/) {}
  // Everything is calm and reachable: adds what does not hold what it should, "I1 …".
  virtual void add_unsettled(std::vector<std::string>& /*problems*/) const {}

 protected:
  void violate(const std::string& what) { journal_.violate(what); }
  void note(const std::string& text) { journal_.note(text); }
  [[nodiscard]] const Knowledge& known() const { return known_; }

 private:
  const Knowledge& known_;
  Journal& journal_;
};

}  // namespace quay_rotator::simulation
