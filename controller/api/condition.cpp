#include "api/condition.h"

#include <algorithm>

namespace quay_rotator::api {
namespace {

constexpr std::size_t most_message = 1024;

// Ends at a whole UTF-8 character: half a one would make the status invalid JSON.
std::string shortened(std::string_view message) {
  if (message.size() <= most_message) return std::string(message);
  std::size_t end = most_message - std::string_view("…").size();
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0U) == 0x80U) --end;
  return std::string(message.substr(0, end)) + "…";
}

}  // namespace

std::string internal_error_message(const std::string& exception) {
  return "quay-rotator could not work on this (" + exception + "): a bug; it is tried again";
}

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

}  // namespace quay_rotator::api
