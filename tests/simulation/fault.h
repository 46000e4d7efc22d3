// What can go wrong in a simulated world, as data: a schedule is a list of these.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace quay_rotator::simulation {

// Where in the rotation protocol a replica is; `idle` is everything else that it does.
enum class Step { idle, observe, preflight, record, regenerate, publish, verify, commit };
inline constexpr std::size_t step_count = 8;
std::string_view name(Step step);

enum class FaultKind {
  // The way to the API server and what it does.
  api_refused,
  api_request_lost,
  api_answer_lost,  // the write is applied
  api_slow,
  api_late_write,  // applied after the client has given up
  api_too_many,    // 429 with Retry-After
  api_broken,      // 500, nothing written
  api_broken_after,
  api_down,
  watch_cut,
  watch_mute,
  watch_lag,
  history_lost,  // watches get 410
  page_expired,  // lists come in pages, and their continue tokens expire
  admission_denied,
  quota_denied,    // no new Secrets
  namespace_gone,  // terminating, then gone with all that is in it; made anew later
  secret_immutable,
  secret_wrong_type,
  secret_damaged,
  secret_deleted,
  // The way to Quay and what it does.
  quay_refused,
  quay_request_lost,
  quay_answer_lost,  // of a regeneration too: commit, then reset
  quay_slow,
  quay_broken,        // 500, nothing changed
  quay_broken_after,  // commit, then 500
  quay_bad_gateway,
  quay_gateway_timeout,  // a regeneration may be committed later
  quay_rate_limited,
  quay_unreadable,   // half an answer after the commit
  quay_late_commit,  // committed after the client has given up, rarely even after the hold
  quay_stale_read,   // robots, lists or logins are answered as they were a while ago
  quay_retry_after,  // 503 with "Retry-After: 3600", before or after a commit
  quay_down,
  quay_read_only,
  quay_audit_broken,     // 500 to what it has done
  quay_locked,           // the database: 500 after 10 s, 504 after 60 s
  quay_undecryptable,    // a GET of the robot is 500
  quay_no_rights,        // insufficient_scope
  organization_missing,  // 400
  robot_missing,         // deleted, and made anew with another token
  robots_disallowed,     // at the registry
  owner_disabled,        // at the registry
  api_token_replaced,    // the Secret gets the new one later
  api_token_foreign,     // a JWT of somebody else's
  ui_regenerate,
  quay_put_back,    // from a backup: the robot has the token of before again
  concurrent_post,  // the UI's button at the very moment of a POST
  // The processes.
  crash,
  crash_after_step,
  stop,
  freeze,
  freeze_before_send,  // between the driver's last check and the socket
  clock_jump,
  everything_down,
  // What people want.
  rotate_now,
  edit_targets,
  suspend,
  delete_rotation,
  create_rotation,
  // What a neighbour's Quay does to whoever asks it, and to nobody else.
  quay_silent,         // takes requests, does them and does not answer
  quay_trickles,       // answers a byte a second
  quay_endless_list,   // a list of robots, or one name in it, that does not end
  quay_nonsense_list,  // what is no list, no robot, no token, no UTF-8
  quay_others_robots,  // lists the robots of others
  quay_much_later,     // 429 and 503 with a Retry-After of up to a hundred years
  registry_nonsense,   // challenges, realms, tokens; names of others' hosts
  // What befalls the cluster as a whole.
  restored_without_status,  // from a backup, as another object
  versions_back,            // the API server's storage is put back to an older state
  cluster_copied,           // a second cluster is made from the objects, and has the same Quays
};
inline constexpr std::size_t fault_kind_count =
    static_cast<std::size_t>(FaultKind::cluster_copied) + 1;
// Those before it are drawn in every schedule.
inline constexpr FaultKind first_rare_kind = FaultKind::quay_silent;
std::string_view name(FaultKind kind);
// By that name; nothing: there is none.
std::optional<FaultKind> fault_kind(std::string_view name);
std::optional<Step> step(std::string_view name);

struct Fault {
  FaultKind kind{};
  base::Duration at{};       // after the start of the schedule
  std::optional<Step> step;  // begins when, from `at` on, a replica enters this step
  base::Duration duration{};
  double rate = 1;           // of the requests that it is about
  std::uint64_t choice = 0;  // of a victim, or a variety

  // One line for people: "quay-late-commit from +12.3s on entering regenerate for 40s, 50 %".
  [[nodiscard]] std::string text() const;
};

// Which fault met which step, how often.
class Coverage {
 public:
  void add(FaultKind kind, Step step, std::uint64_t times = 1) {
    counts_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(step)] += times;
  }
  void add(const Coverage& other);
  [[nodiscard]] std::uint64_t count(FaultKind kind, Step step) const {
    return counts_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(step)];
  }
  [[nodiscard]] std::string table() const;
  // "crash-after-step × idle": zero cells for which impossible() has no reason.
  [[nodiscard]] std::string unexplained() const;

 private:
  std::array<std::array<std::uint64_t, step_count>, fault_kind_count> counts_{};
};

// Why a fault cannot meet a step; "" when it can.
std::string_view impossible(FaultKind kind, Step step);

}  // namespace quay_rotator::simulation
