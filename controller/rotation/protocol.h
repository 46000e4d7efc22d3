// The rotation protocol as a pure state machine: next() says what to do, advance() takes what came
// of it. No IO, no clock, no token: only fingerprints. Nothing else may decide to regenerate.
//
// The order for a rotation is: read the robot, dry-run every target, log in with the current token,
// write the ledger, regenerate once, publish, verify, finish. A ledger that is found (after a
// crash, a lost answer, a change of leader) starts at reading the robot: a new fingerprint means
// that the regeneration happened; the ledger's own, that it has not happened yet.
//
// Quay's reads may lag (read replicas, caches). A fingerprint that is known to be older than the
// newest is a stale read: it is never published, and Quay is asked again. Only one that stays for
// the whole hold, and that the registry accepts, is the truth: a backup of Quay was put back.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "kube/client.h"
#include "quay/error.h"
#include "target/problem.h"

namespace quay_rotator::rotation {

enum class Goal {
  synchronize,  // targets get the token that Quay holds: adoption, healing, foreign rotation
  rotate,       // … and then a new one
  resume,       // a ledger is there: find out whether it happened, then finish it
};

struct ProtocolInput {
  Goal goal = Goal::synchronize;
  api::RotationReason reason = api::RotationReason::interval;  // rotate
  std::string rotation_id;                                     // rotate: for a new ledger
  std::string rotate_request;                                  // rotate: what it serves
  std::optional<api::Ledger> ledger;                           // resume
  // There is one, and nobody knows what it says: a POST may still be carried out for it.
  bool ledger_unreadable = false;
  // Since this process first saw this ledger, on its own monotonic clock.
  base::Duration ledger_seen_for{};
  std::optional<base::Fingerprint> known;     // status.tokenFingerprint
  std::vector<base::Fingerprint> superseded;  // that were current before it
  // What Quay answered when it was last asked, if that was a stale read, and since when it has
  // answered nothing else, on this process's monotonic clock.
  std::optional<base::Fingerprint> stale;
  base::Duration stale_for{};
  // False while suspended or in conflict: a ledger is settled, but nothing new is regenerated.
  bool may_regenerate = true;
  bool verify = true;                 // verify.level Login
  bool verified = false;              // the known token has been verified already
  base::Duration request_deadline{};  // of one POST: goes into the ledger
  // How long a POST of which nobody knows what became of it may still be carried out; at least
  // twice the deadline, also that of whoever wrote the ledger.
  base::Duration hold{};
};

// What to do. After each, exactly one of the matching outcomes is due.
struct ReadRobot {};      // -> RobotRead | QuayFailed
struct DryRunTargets {};  // -> TargetsAnswered
struct LogIn {};          // with the token that was read or made last -> LoggedIn | QuayFailed
struct WriteLedger {      // with a resourceVersion precondition
  api::Ledger ledger;     // started_at is the driver's to fill in
};                        // -> LedgerWritten | KubeFailed
struct Regenerate {};     // -> Regenerated | QuayFailed | LedgerTooOld
struct Publish {};        // the token that was read or made last -> TargetsAnswered

// How it ended, as much as the status, the event and the queue need.
struct Report {
  enum class End {
    done,               // every target holds Quay's token
    preflight_refused,  // nothing was regenerated; targets or the registry said no
    quay_failed,        // nothing was regenerated now; quay_error says why
    unclear,            // it may have been regenerated: the ledger stays
    unpublished,        // some targets do not hold the token yet
    stale_read,         // Quay answered with an older token: nothing was written
    start_over,         // another writer was faster, or the ledger grew old: look again at once
    api_server,         // the ledger could not be written
  };
  End end = End::done;
  bool regenerated = false;  // this rotation (or the ledger found) made a new token
  bool foreign = false;      // Quay held another token than the status knew
  bool clear_ledger = false;
  std::optional<base::Fingerprint> fingerprint;  // what Quay is known to hold
  std::optional<base::Fingerprint> made;         // regenerated: the token that came of it
  std::optional<base::Fingerprint> stale;        // Quay's last answer was this older one
  std::optional<api::Ledger> ledger;             // of this rotation
  std::optional<quay::Error> quay_error;
  std::optional<kube::Error> kube_error;
  std::vector<target::Problem> problems;       // of targets, from dry run or publish
  std::optional<quay::Error> preflight_error;  // the registry refused the current token
  // Verification of `fingerprint`: not done, good, refused, or unknown (with the error)
  enum class Verified { not_done, good, refused, unknown };
  Verified verified = Verified::not_done;
  std::optional<quay::Error> verify_error;
  // unclear, and Quay holds the token of before: for so long nothing is sent again. done, beside an
  // unreadable ledger: it is settled by what Quay says when so long is over.
  std::optional<base::Duration> hold_left;
  // A POST that the ledger covered may still be carried out, for so long: read the robot again.
  std::optional<base::Duration> watch;
};
struct Finish {
  Report report;
};
using Action =
    std::variant<ReadRobot, DryRunTargets, LogIn, WriteLedger, Regenerate, Publish, Finish>;
std::string_view name(const Action& action);

// What came of it.
struct RobotRead {
  base::Fingerprint fingerprint;
  // It comes from a list, which may be older than an answer of the robot's own would be: it counts
  // once the registry has accepted it, else the robot is read again, then by itself.
  bool listed = false;
};
struct Regenerated {
  base::Fingerprint fingerprint;
};
struct LoggedIn {};
struct TargetsAnswered {
  std::vector<target::Problem> problems;
};
struct LedgerWritten {};
struct LedgerTooOld {};  // older than the request deadline on the driver's clock; nothing was sent
struct QuayFailed {
  quay::Error error;
};
struct KubeFailed {
  kube::Error error;
};
using Outcome = std::variant<RobotRead, Regenerated, LoggedIn, TargetsAnswered, LedgerWritten,
                             LedgerTooOld, QuayFailed, KubeFailed>;

// A value; not synchronized.
class Protocol {
 public:
  explicit Protocol(ProtocolInput input);
  [[nodiscard]] const Action& next() const { return next_; }
  // `outcome` must be one that the action calls for.
  void advance(Outcome outcome);

 private:
  enum class Phase {
    observe,
    judge_listed,
    judge_restored,
    judge_previous,
    preflight_targets,
    preflight_login,
    ledger,
    regenerate,
    read_back,
    publish,
    verify,
    read_after_refusal,
    finished
  };
  void on_observed(base::Fingerprint fingerprint);
  void on_previous();
  void on_older(base::Fingerprint fingerprint);
  void on_judged(bool restored, const Outcome& outcome);
  void on_read_after_refusal(const Outcome& outcome);
  [[nodiscard]] bool is_older(base::Fingerprint fingerprint) const;
  // It has been answered, and nothing else, for the whole hold.
  [[nodiscard]] bool persists(base::Fingerprint fingerprint) const;
  void supersede(base::Fingerprint fingerprint);
  void refuse_preflight();
  void write_ledger();
  void on_new_token(base::Fingerprint fingerprint);
  void publish();
  void verify();
  void on_login_failed(quay::Error error);
  void finish_stale(base::Fingerprint fingerprint);
  void finish(Report::End end);

  ProtocolInput input_;
  Phase phase_ = Phase::observe;
  Action next_ = ReadRobot{};
  Report report_;
  base::Fingerprint current_{};
  bool judged_ = false;  // the registry has just accepted `current_`
  int republished_ = 0;
};

}  // namespace quay_rotator::rotation
