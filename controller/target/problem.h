// Why a target could not be written, in words for its owner. Pure.
#pragma once

#include <string>
#include <vector>

#include "kube/client.h"
#include "kube/object.h"

namespace quay_rotator::target {

struct Problem {
  kube::ObjectKey object;
  std::string kind;       // of the object: "Secret"
  std::string reason;     // NotOwned, ControlledByAnother, WouldLoseEntries, ContentUnreadable,
                          // WrongType, Immutable, QuotaExceeded, AdmissionDenied, Forbidden,
                          // NamespaceTerminating, NamespaceNotFound, Invalid, ApiServerUnavailable
  std::string message;    // what happened and what to do
  bool permanent = true;  // false: trying again at once may help
};

// What a refused read or write of the Secret means for the target.
Problem problem_of(const kube::ObjectKey& secret, const kube::Error& error);

// Who holds the fields that an apply without force was refused, in the order of the conflicts.
std::vector<std::string> managers_of(const kube::Error& conflict);

}  // namespace quay_rotator::target
