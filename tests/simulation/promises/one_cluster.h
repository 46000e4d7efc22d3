// I9 one cluster. A cluster that was made from a copy of another's objects, and shares its Quays,
// regenerates no robot but of a resource that bears its own mark, and takes no other mark away.
#pragma once

#include <map>
#include <string>

#include "simulation/promises/checker.h"

namespace quay_rotator::simulation {

// Of the copy, by what it holds: known() is of the first cluster.
class OneCluster final : public Checker {
 public:
  using Checker::Checker;

  // The copy's UID, a change in it, a POST of one of its processes.
  void begin(const std::string& copy) { copy_ = copy; }
  void on_copied(const Change& change);
  void on_copys_post(const std::string& robot);

  [[nodiscard]] int posts() const { return posts_; }

 private:
  std::map<kube::ObjectKey, SimulatedApiServer::Object> rotations_;
  std::string copy_;
  int posts_ = 0;
};

}  // namespace quay_rotator::simulation
