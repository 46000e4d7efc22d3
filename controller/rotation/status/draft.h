// A status while it is made: what the tellers beside it write into. Pure.
//
// Guarantees: Ready, Reconciling and Stalled never contradict each other; times are whole seconds;
// a condition's transition time moves only when its status does; the history and the list of
// failing targets stay within their limits.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/fingerprint.h"
#include "base/time.h"
#include "credential/outcome.h"
#include "kube/event_recorder.h"
#include "rotation/status/update.h"
#include "target/problem.h"
#include "tenancy/ownership.h"

namespace quay_rotator::rotation {

// `rotation` must outlive it.
class Draft {
 public:
  Draft(const api::RobotTokenRotation& rotation, base::WallTime now);

  api::RobotTokenRotationStatus& status() { return update_.status; }
  // The active robot; without a name where there was none.
  api::RobotStatus& active();
  // Quay has told the active robot's name.
  void name_active(const std::string& full_name);
  // The targets hold the token of that robot now: if it was another's, that one has been replaced.
  // When that was, by Quay's clock, if it is known.
  void activate(const std::string& full_name, std::optional<base::WallTime> when = {});
  // The two robots were compared.
  void compared(const credential::Comparison& comparison);
  [[nodiscard]] base::WallTime now() const { return now_; }

  // --- Conditions
  void set(std::string_view type, api::ConditionStatus status, std::string_view reason,
           std::string_view message);
  // Every target holds the robot's token; what was failing is over.
  void ready();
  // Not ready, and only a person can change that.
  void stalled(std::string_view reason, std::string_view message);
  // Not ready, and tried again by itself.
  void retrying(std::string_view reason, std::string_view message);
  // The same of two robots that cannot take turns, though the Secrets may be right; told once.
  void cannot_turn(std::string_view reason, const std::string& message);
  // What it says was so; nobody knows whether it still is.
  void unknown(std::string_view type, std::string_view reason, std::string_view message);
  void unknown(std::string_view reason, std::string_view message);  // Published and Verified
  // The same where nothing can be looked at: Preflight and Conflict speak of nothing either.
  void unseen(std::string_view reason, std::string_view message);
  void published();
  // The status is not what it should be, and what would mend it has just failed.
  void unreadable();

  // --- Numbers and lists
  void succeed();
  void fail(base::Duration delay);
  // What this look says of the claim to the robot; see tenancy/ownership.h.
  enum class Claim { read, refused, unknown };
  void claim(Claim look, const tenancy::Way& way, const std::optional<std::string>& alias);
  // Each with the time since which it has failed so.
  void failing(const std::vector<target::Problem>& problems);
  void remember(std::string_view reason, std::string_view result,
                std::optional<base::Duration> outage, std::optional<base::Fingerprint> fingerprint,
                std::optional<base::Fingerprint> previous = {});
  void remember(std::string robot, std::string_view reason, std::string_view result,
                std::optional<base::Duration> outage, std::optional<base::Fingerprint> fingerprint,
                std::optional<base::Fingerprint> previous);

  // --- Events
  void notice(kube::EventType type, std::string reason, std::string note);
  void warn(std::string reason, std::string note);
  // … once: not where that condition had this reason before.
  void warn_once(std::string_view type, std::string_view reason, std::string note);

  // It is left without contents by either. With what is next:
  StatusUpdate take();
  // As long as it stays so nothing is rotated.
  StatusUpdate take_halted();

 private:
  // Who was Active in another spec's time stays so until the targets hold another's token; of the
  // others only `standby` is kept, and whom the ledger names.
  void drop_former_robots(std::string_view standby);

  const api::RobotTokenRotation& rotation_;
  base::WallTime now_;
  StatusUpdate update_;
};

}  // namespace quay_rotator::rotation
