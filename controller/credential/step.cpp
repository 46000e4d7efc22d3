#include "credential/step.h"

#include <type_traits>

namespace quay_rotator::credential {

std::string_view name(const Ask& ask) {
  return std::visit([](const auto& what) { return std::decay_t<decltype(what)>::name; }, ask);
}

bool login_refused(const Answer& answer) {
  const auto* failed = std::get_if<QuayFailed>(&answer);
  return failed != nullptr && failed->error.kind == quay::Error::Kind::login_refused;
}

}  // namespace quay_rotator::credential
