// What a machine says next: what it asks of the driver, or how it ended; and what it is answered.
// None of it holds a token: the machines see fingerprints, and the driver holds the token that was
// read or made last.
#pragma once

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "credential/known.h"
#include "credential/outcome.h"
#include "kube/client.h"
#include "quay/error.h"
#include "target/problem.h"

namespace quay_rotator::credential {

// `name` is for logs and for tests, which end the process after a step.
struct ReadRobot {  // -> RobotRead | QuayFailed
  static constexpr std::string_view name = "read-robot";
};
struct CompareRobots {  // the two of Alternate -> RobotsCompared | QuayFailed
  static constexpr std::string_view name = "compare";
};
struct DryRunTargets {  // -> TargetsAnswered
  static constexpr std::string_view name = "dry-run";
};
struct LogIn {  // with the token that was read or made last -> LoggedIn | QuayFailed
  static constexpr std::string_view name = "login";
};
// With the token that the targets hold, which is another robot's: to try the standby's own would be
// a use of it. -> LoggedIn | QuayFailed
struct LogInAsActive {
  static constexpr std::string_view name = "login-active";
};
struct WriteLedger {  // with a resourceVersion precondition -> LedgerWritten | KubeFailed
  static constexpr std::string_view name = "ledger";
  api::Ledger ledger;  // robot and started_at are the driver's to fill in
};
struct Regenerate {  // -> Regenerated | QuayFailed | LedgerTooOld
  static constexpr std::string_view name = "regenerate";
};
struct Publish {  // the token that was read or made last -> TargetsAnswered
  static constexpr std::string_view name = "publish";
};
// A ServiceAccount's token for a credential -> Exchanged | NoIdentity | QuayFailed
struct Exchange {
  static constexpr std::string_view name = "exchange";
};
// Have the robot take tokens of the ServiceAccount whose token was exchanged last
// -> FederationWritten | QuayFailed | KubeFailed
struct KeepFederation {
  static constexpr std::string_view name = "keep-federation";
};
// Take from the robot what KeepFederation has put in, by the status
// -> FederationWritten | QuayFailed
struct LeaveFederation {
  static constexpr std::string_view name = "leave-federation";
};
// After each, exactly one of its answers is due.
using Ask = std::variant<ReadRobot, CompareRobots, DryRunTargets, LogIn, LogInAsActive, WriteLedger,
                         Regenerate, Publish, Exchange, KeepFederation, LeaveFederation>;
std::string_view name(const Ask& ask);

struct RobotRead {
  base::Fingerprint fingerprint;
  // It comes from a list, which may be older than an answer of the robot's own would be: it counts
  // once the registry has accepted it, else the robot is read again, then by itself.
  bool listed = false;
};
struct RobotsCompared {
  Comparison comparison;
};
struct Regenerated {
  base::Fingerprint fingerprint;
};
struct Exchanged {
  base::Fingerprint fingerprint;
  base::WallTime expires{};
};
// There is no token of the ServiceAccount to exchange.
struct NoIdentity {
  Refusal refusal;
};
struct FederationWritten {};
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
using Answer =
    std::variant<RobotRead, RobotsCompared, Regenerated, LoggedIn, TargetsAnswered, LedgerWritten,
                 LedgerTooOld, Exchanged, NoIdentity, FederationWritten, QuayFailed, KubeFailed>;

// The registry does not know that password: of a token that Quay has just told, a riddle.
bool login_refused(const Answer& answer);

// The driver holds a token to deliver.
struct Obtained {
  base::Fingerprint token{};
  bool made = false;      // by the ledger's regeneration
  bool foreign = false;   // another one than the status knew, and not made by us
  bool accepted = false;  // the registry has just let it in
  // It ends by itself: a credential of a federation, beside the robot's own token.
  std::optional<base::WallTime> expires = std::nullopt;
  Known known;                        // with what the run has learnt: what is superseded by `token`
  std::optional<api::Ledger> ledger;  // settled by the delivery, …
  // … which then tells these; see Outcome.
  std::optional<base::Duration> watch;
  std::optional<base::Duration> hold_left;
};

// An Outcome: it is over, and there is nothing to deliver.
using Step = std::variant<Ask, Obtained, Outcome>;

}  // namespace quay_rotator::credential
