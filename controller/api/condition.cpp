#include "api/condition.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api/field_reader.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

constexpr std::size_t most_message = 1024;

std::string_view text(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::true_:
      return "True";
    case ConditionStatus::false_:
      return "False";
    case ConditionStatus::unknown:
      break;
  }
  return "Unknown";
}

// Ends at a whole UTF-8 character: half a one would make the status invalid JSON.
std::string shortened(std::string_view message) {
  if (message.size() <= most_message) return std::string(message);
  std::size_t end = most_message - std::string_view("…").size();
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0U) == 0x80U) --end;
  return std::string(message.substr(0, end)) + "…";
}

}  // namespace

const Condition* Conditions::find(std::string_view type) const {
  const auto found = std::find_if(conditions_.begin(), conditions_.end(),
                                  [&](const Condition& one) { return one.type == type; });
  return found == conditions_.end() ? nullptr : &*found;
}

bool Conditions::is_true(std::string_view type) const {
  const Condition* condition = find(type);
  return condition != nullptr && condition->status == ConditionStatus::true_;
}

void Conditions::set(std::string_view type, ConditionStatus status, std::string_view reason,
                     std::string_view message, std::int64_t generation, base::WallTime now) {
  auto place = std::find_if(conditions_.begin(), conditions_.end(),
                            [&](const Condition& one) { return one.type == type; });
  const bool added = place == conditions_.end();
  if (added) {
    place = conditions_.emplace(place);
    place->type = type;
  }
  if (added || place->status != status) {
    // As it comes back from the API server.
    place->last_transition_time = std::chrono::floor<std::chrono::seconds>(now);
  }
  place->status = status;
  place->reason = reason;
  place->message = shortened(message);
  place->observed_generation = generation;
}

void Conditions::remove(std::string_view type) {
  std::erase_if(conditions_, [&](const Condition& one) { return one.type == type; });
}

base::Expected<Conditions> Conditions::from_json(const json& array) {
  const json object{{"conditions", array}};
  FieldReader reader(object);
  Conditions conditions;
  reader.each("conditions", [&](FieldReader& element) {
    Condition condition;
    condition.type = element.required_text("type");
    condition.status = element.choice<ConditionStatus>("status", ConditionStatus::unknown,
                                                       {{"True", ConditionStatus::true_},
                                                        {"False", ConditionStatus::false_},
                                                        {"Unknown", ConditionStatus::unknown}});
    condition.reason = element.text("reason");
    condition.message = element.text("message");
    condition.observed_generation = element.integer("observedGeneration", 0);
    condition.last_transition_time = element.time("lastTransitionTime").value_or(base::WallTime{});
    conditions.conditions_.push_back(std::move(condition));
  });
  if (reader.problem()) return tl::unexpected(base::Error{*reader.problem()});
  return conditions;
}

json Conditions::to_json() const {
  json array = json::array();
  for (const Condition& condition : conditions_) {
    array.push_back({{"type", condition.type},
                     {"status", text(condition.status)},
                     {"reason", condition.reason},
                     {"message", condition.message},
                     {"observedGeneration", condition.observed_generation},
                     {"lastTransitionTime", base::format_time(condition.last_transition_time)}});
  }
  return array;
}

}  // namespace quay_rotator::api
