// Conditions as Kubernetes tools read them (metav1.Condition, kstatus).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/describe.h"
#include "base/time.h"

namespace quay_rotator::api {

// A look at a resource ended with an exception.
inline constexpr std::string_view internal_error_reason = "InternalError";
std::string internal_error_message(const std::string& exception);

enum class ConditionStatus { true_, false_, unknown };
constexpr auto spellings(ConditionStatus /*which*/) {
  return std::array<Spelling<ConditionStatus>, 3>{{{"True", ConditionStatus::true_},
                                                   {"False", ConditionStatus::false_},
                                                   {"Unknown", ConditionStatus::unknown}}};
}

struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::unknown;
  std::string reason;   // CamelCase
  std::string message;  // for people; at most 1,024 characters are kept; never a secret
  std::int64_t observed_generation = 0;
  base::WallTime last_transition_time{};
  bool operator==(const Condition&) const = default;
};
template <class V>
void describe(V& v, kube::Is<Condition> auto& condition) {
  v("type", condition.type, {.required = true, .shared = true});
  v("status", condition.status, {.always = true});
  v("reason", condition.reason, {.always = true, .shared = true});
  v("message", condition.message, {.always = true, .shared = true});
  v("observedGeneration", condition.observed_generation, {.always = true});
  v("lastTransitionTime", condition.last_transition_time, {.always = true});
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

  // To whoever reads, writes or keeps them (api/describe.h) they are their list.
  friend auto& same_as(kube::Is<Conditions> auto& conditions) { return conditions.conditions_; }

 private:
  std::vector<Condition> conditions_;
};

}  // namespace quay_rotator::api
