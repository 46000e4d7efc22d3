#include "target/problem.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace quay_rotator::target {

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

Problem problem_of(const kube::ObjectKey& secret, const kube::Error& error) {
  using Kind = kube::Error::Kind;
  const auto problem = [&](std::string_view reason, std::string message, bool permanent = true) {
    return Problem{secret, std::string(kube::secrets.kind), std::string(reason), std::move(message),
                   permanent};
  };
  // Policies choose their own status code, so the text decides.
  if (has(error.message, "denied the request") || has(error.message, "denied request")) {
    return problem("AdmissionDenied", error.message);
  }
  switch (error.kind) {
    case Kind::forbidden:
      if (has(error.message, "exceeded quota")) {
        return problem("QuotaExceeded",
                       error.message + ": raise the quota or remove a Secret that is not needed");
      }
      if (has(error.message, "being terminated")) {
        return problem("NamespaceTerminating", error.message);
      }
      if (has(error.message, "ValidatingAdmissionPolicy") ||
          has(error.message, "admission webhook")) {
        return problem("AdmissionDenied", error.message);
      }
      return problem("Forbidden", kube::explain(error));
    case Kind::not_found:
      return problem("NamespaceNotFound", error.message);
    case Kind::invalid:
      if (has(error.message, "when `immutable` is set")) {
        return problem("Immutable",
                       error.message + ": delete the Secret yourself or choose another name");
      }
      if (has(error.message, "type: Invalid value")) {
        return problem("WrongType",
                       error.message + ": delete the Secret yourself or choose another name");
      }
      return problem("Invalid", error.message);
    case Kind::conflict:
    case Kind::already_exists:
      // Looked at once more already, so somebody changes it as fast as we look.
      return problem("NotOwned", error.message + ": somebody else writes this Secret", false);
    case Kind::cancelled:
      return problem("ApiServerUnavailable", "stopped before the Secret was written", false);
    case Kind::expired:
    case Kind::ahead:
    case Kind::too_many_requests:
    case Kind::server:
    case Kind::unreachable:
    case Kind::malformed:
    case Kind::unauthorized:
    case Kind::credentials:
      break;
  }
  return problem("ApiServerUnavailable", error.message, false);
}

std::vector<std::string> managers_of(const kube::Error& conflict) {
  std::vector<std::string> managers;
  if (conflict.kind != kube::Error::Kind::conflict) return managers;
  for (const auto& cause : conflict.causes) {
    // conflict with "kubectl-create" using v1
    const auto open = cause.message.find('"');
    const auto close = cause.message.find('"', open + 1);
    if (open == std::string::npos || close == std::string::npos) continue;
    auto manager = cause.message.substr(open + 1, close - open - 1);
    if (std::find(managers.begin(), managers.end(), manager) == managers.end()) {
      managers.push_back(std::move(manager));
    }
  }
  return managers;
}

}  // namespace quay_rotator::target
