#include "credential/federate.h"

namespace quay_rotator::credential {

Step Federating::resume(Answer answer) {
  Outcome over;
  if (auto* none = std::get_if<NoIdentity>(&answer)) {
    over.end = Outcome::End::no_identity;
    over.refusal = std::move(none->refusal);
    return over;
  }
  if (auto* failed = std::get_if<KubeFailed>(&answer)) {
    const bool conflict = failed->error.kind == kube::Error::Kind::conflict;
    over.end = conflict ? Outcome::End::start_over : Outcome::End::api_server;
    over.kube_error = std::move(failed->error);
    return over;
  }
  if (auto* failed = std::get_if<QuayFailed>(&answer)) {
    const bool missing = failed->error.kind == quay::Error::Kind::not_federated;
    if (missing && input_.manage && phase_ == Phase::exchange) {
      phase_ = Phase::keep;
      return Ask(KeepFederation{});
    }
    over.end = Outcome::End::quay_failed;
    over.quay_error = std::move(failed->error);
    return over;
  }
  if (phase_ == Phase::keep) {
    phase_ = Phase::exchange_again;
    return Ask(Exchange{});
  }
  const auto& exchanged = std::get<Exchanged>(answer);
  Obtained result;
  result.token = exchanged.fingerprint;
  result.expires = exchanged.expires;
  return result;
}

}  // namespace quay_rotator::credential
