// Conditions as Kubernetes tools read them (metav1.Condition, kstatus).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "base/time.h"
#include "kube/packing.h"

namespace quay_rotator::api {

enum class ConditionStatus { true_, false_, unknown };

struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::unknown;
  std::string reason;   // CamelCase
  std::string message;  // for people; at most 1,024 characters are kept; never a secret
  std::int64_t observed_generation = 0;
  base::WallTime last_transition_time{};
  bool operator==(const Condition&) const = default;
};
template <class Archive>
void fields(Archive& archive, kube::Is<Condition> auto& condition) {
  archive.shared(condition.type, condition.reason, condition.message);
  archive(condition.status, condition.observed_generation, condition.last_transition_time);
}

// Ordered as they were first set.
class Conditions {
 public:
  [[nodiscard]] const Condition* find(std::string_view type) const;
  [[nodiscard]] bool is_true(std::string_view type) const;
  // Replaces the condition of that type; last_transition_time moves only when the status changes.
  void set(std::string_view type, ConditionStatus status, std::string_view reason,
           std::string_view message, std::int64_t generation, base::WallTime now);
  void remove(std::string_view type);
  bool operator==(const Conditions&) const = default;

  static base::Expected<Conditions> from_json(const nlohmann::json& array);
  [[nodiscard]] nlohmann::json to_json() const;

  template <class Archive>
  friend void fields(Archive& archive, kube::Is<Conditions> auto& conditions) {
    archive(conditions.conditions_);
  }

 private:
  std::vector<Condition> conditions_;
};

}  // namespace quay_rotator::api
