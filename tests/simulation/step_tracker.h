// Follows one replica through the protocol, by what its driver logs before each action.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "simulation/border.h"
#include "simulation/fault.h"

namespace quay_rotator::simulation {

struct Message;

// Passes every line on to another sink, which it does not own. One thread of control at a time.
class StepTracker final : public base::LogSink {
 public:
  explicit StepTracker(base::LogSink& next) : next_(next) {}

  std::function<void(Step)> on_enter;  // may be empty

  void write(base::LogLevel level, std::string_view message,
             const std::vector<base::LogField>& fields) override;
  // The reconciliation of `resource` has ended.
  void leave(const std::string& resource) {
    const Border border(Border::Side::world);
    steps_.erase(resource);
  }

  // The steps that are under way, one for each resource; idle when there is none.
  [[nodiscard]] std::vector<Step> current() const;
  // What a request of this replica is for.
  [[nodiscard]] Step step_of(const Message& message) const;

 private:
  [[nodiscard]] Step furthest() const;
  [[nodiscard]] bool in(Step step) const;

  base::LogSink& next_;
  std::map<std::string, Step> steps_;  // by resource
};

}  // namespace quay_rotator::simulation
