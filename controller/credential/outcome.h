// What came of obtaining and delivering a token: the one type that carries it from the machines to
// the status, the Event, the metrics and the queue.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/client.h"
#include "quay/error.h"
#include "target/problem.h"

namespace quay_rotator::credential {

// Why there is no token of a ServiceAccount.
struct Refusal {
  std::string reason;   // as a condition's
  std::string message;  // with what to do
};

// What Quay says of the two robots of Alternate.
struct Comparison {
  std::vector<std::string> differences;        // what one may do and the other not, for people
  std::optional<base::WallTime> standby_used;  // last, by Quay
};

struct Outcome {
  enum class End {
    done,               // every target holds Quay's token
    retired,            // a token that no target holds is dead, or a ledger for it was given up
    preflight_refused,  // nothing was regenerated; targets or the registry said no
    quay_failed,        // nothing was regenerated now; quay_error says why
    no_identity,        // refusal says why the ServiceAccount has no token for us
    unclear,            // it may have been regenerated: the ledger stays
    unpublished,        // some targets do not hold the token yet
    stale_read,         // Quay answered with an older token: nothing was written
    start_over,         // another writer was faster, or the ledger grew old: look again at once
    api_server,         // the ledger could not be written
  };
  // Verification of `fingerprint`: not done, good, refused, or unknown (with the error)
  enum class Verified { not_done, good, refused, unknown };

  End end = End::done;
  bool regenerated = false;  // this rotation (or the ledger found) made a new token
  bool foreign = false;      // Quay held another token than the status knew
  bool clear_ledger = false;
  std::optional<base::Fingerprint> fingerprint;  // what Quay is known to hold
  std::optional<base::Fingerprint> made;         // regenerated: the token that came of it
  std::optional<base::Fingerprint> stale;        // Quay's last answer was this older one
  std::optional<base::WallTime> expires;         // when that ends by itself
  std::optional<api::Ledger> ledger;             // of this rotation
  std::optional<Refusal> refusal;
  // Our entry in the robot's federation is gone, or could not be removed.
  bool left_federation = false;
  std::optional<quay::Error> leave_error;
  bool in_use = false;  // preflight_refused: somebody still uses the token that would die
  std::optional<quay::Error> quay_error;
  std::optional<kube::Error> kube_error;
  std::vector<target::Problem> problems;       // of targets, from dry run or publish
  std::optional<quay::Error> preflight_error;  // the registry refused the current token
  Verified verified = Verified::not_done;
  std::optional<quay::Error> verify_error;
  // unclear, and Quay holds the token of before: for so long nothing is sent again. done, beside an
  // unreadable ledger: it is settled by what Quay says when so long is over.
  std::optional<base::Duration> hold_left;
  // A POST that the ledger covered may still be carried out, for so long: read the robot again.
  std::optional<base::Duration> watch;

  // What only the driver knows: the full name, when Quay told it; of a regeneration, how long from
  // the POST to the last target, never too short.
  std::string robot;
  bool standby = false;  // the targets do not hold the token that it is about
  std::optional<base::Duration> outage;
  // When the last target was written, by Quay's own clock.
  std::optional<base::WallTime> published;
  std::optional<Comparison> compared;
  std::optional<quay::Error> compare_error;
  [[nodiscard]] bool robots_differ() const { return compared && !compared->differences.empty(); }
};

}  // namespace quay_rotator::credential
