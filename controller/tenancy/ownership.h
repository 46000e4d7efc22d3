// Promise I7: which RobotTokenRotation owns a robot. The others say Conflict and call nothing.
//
// A claim counts once it is proven: Quay has let that very resource read the robot, through its
// connection's present url. An unproven claim ranks behind every proven one and blocks nobody. The
// proof is in the status (api::Ownership), which tenants cannot write, and so survives a restart.
//
// A robot is named by its Quay's host and port and its full name. One Quay may be reached by
// several names; that is noticed by the name that it gives itself, its alias. Anybody's server can
// give itself any name, and behind a proxy of one's own with a CA of one's own anything can be any
// host: what could be made up ranks behind what could not, and never keeps it from being proven.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/mutex.h"
#include "base/time.h"
#include "kube/object.h"

namespace quay_rotator::tenancy {

// How long Quay must refuse what it once allowed until the proof lapses: an API token that is being
// replaced moves no ownership, one that is gone for good does.
inline constexpr base::Duration proof_lapses_after = std::chrono::hours(1);

// "quay.example.com" or "quay.example.com:8443": lower case, no trailing dot, no port that is the
// default of http or https. The scheme is no part of it.
std::string quay_key(std::string_view host, std::uint16_t port);
// Of a name that Quay gives itself, "host" or "host:port"; "" for anything else. A digest, because
// the text is a server's and is kept in a status; equal for the spellings that quay_key makes one.
std::string alias_of(std::string_view self_given_name);

// The way from a resource to its Quay, as its connection is now.
struct Way {
  std::string connection;  // its name
  std::string quay;        // quay_key of its url; "" while the connection is not known
  // Through a proxy that the connection names, without a server that an authority of the
  // administrator's vouches for: its writer may have made up all that comes back.
  bool forgeable = false;
  bool operator==(const Way&) const = default;
};

// The proof was made on that way. A connection that is not known just now changes nothing.
bool made_on(const api::Ownership& ownership, const Way& way);
// What the status says once Quay has let the resource read the robot. `alias` is alias_of what Quay
// calls itself; nothing: that was not to be learned now.
api::Ownership proven(const std::optional<api::Ownership>& before, const Way& way,
                      const std::optional<std::string>& alias, base::WallTime now);
// … and has compared it with the second one, which this is the short name of.
api::Ownership proven_standby(api::Ownership before, const std::string& standby,
                              base::WallTime now);
// … once Quay has refused to: unproven after proof_lapses_after.
std::optional<api::Ownership> refused(std::optional<api::Ownership> before, base::WallTime now);
// … of one that is in conflict: it calls nothing, so nothing proves its claim any more.
std::optional<api::Ownership> unproven(std::optional<api::Ownership> before);

struct Claim {
  kube::ObjectKey key;
  base::WallTime created{};
  api::RobotName robot;
  std::string standby;    // the short name of the second one, or ""
  std::string full_name;  // of either, as Quay told it, or ""
  Way way;
  std::optional<api::Ownership> ownership;
  // The resourceVersion that brought this, "" for what was there when the process started.
  std::string version;
};

// Thread-safe. Among the proven the first proof owns the robot: first in the order of resource
// versions, which all replicas see alike, and for what a process found at its start by the proofs'
// dates, then creationTimestamp, then namespace/name. One call costs the logarithm of the number of
// claims, and as many steps as there are resources whose owner it changes.
class Owners {
 public:
  struct Standing {
    std::optional<kube::ObjectKey> owner;  // another that is in the way
    bool proven = false;
    bool standby_proven = false;  // or there is none
    std::string since_version;    // of Claim::version, when the proof was first seen
    bool contested = false;       // others claim the robot too
  };

  // Puts in or replaces the claim of claim.key. Returns the other keys whose standing has changed.
  std::vector<kube::ObjectKey> claim(const Claim& claim);
  std::vector<kube::ObjectKey> release(const kube::ObjectKey& key);
  [[nodiscard]] Standing standing(const kube::ObjectKey& key) const;
  // Claims that were looked at so far: what all calls have cost.
  [[nodiscard]] std::uint64_t steps() const;

 private:
  // 128 bits of a digest: there are many robots, and none may be made to look like another.
  using Robot = std::pair<std::uint64_t, std::uint64_t>;
  // By the Quay's own name, by what may have been made up, or not at all.
  enum class Rank : std::uint8_t { own, word, none };
  struct Name {
    Robot robot;
    Rank rank = Rank::none;       // of the claim to it
    Rank if_proven = Rank::none;  // … and what that would be
  };
  struct Claimed {
    std::array<Name, 3> names;
    std::size_t count = 0;
    std::optional<base::WallTime> since;  // proven, and the proof stands …
    std::uint64_t way = 0;                // … for this way; a digest
    std::uint64_t seen = 0;               // the version of the proof's first sight
    base::WallTime created{};
  };
  using Claims = std::unordered_map<kube::ObjectKey, Claimed>;
  struct Seat {
    Robot robot;
    Rank rank;
    const Claims::value_type* claim;
  };
  struct BySeniority {
    using is_transparent = void;
    bool operator()(const Seat& left, const Seat& right) const;
    bool operator()(const Seat& seat, const Robot& robot) const { return seat.robot < robot; }
    bool operator()(const Robot& robot, const Seat& seat) const { return robot < seat.robot; }
  };

  // The second robot is claimed by a key of its own, which is no object's.
  static kube::ObjectKey standby_key(const kube::ObjectKey& key);
  static kube::ObjectKey object_key(const kube::ObjectKey& key);
  std::vector<kube::ObjectKey> enter(const Claim& claim) REQUIRES(mutex_);
  void add_standing(const kube::ObjectKey& key, const Claimed& claimed, Standing& result) const
      REQUIRES(mutex_);
  static Robot robot_of(std::string_view quay_digest, std::string_view full_name);
  static Claimed claimed(const Claim& claim);
  static void add(Claimed& claimed, Robot robot, Rank if_proven);
  // A null claim releases.
  std::vector<kube::ObjectKey> replace(const kube::ObjectKey& key, std::optional<Claimed> claim)
      REQUIRES(mutex_);
  [[nodiscard]] const Seat* first(const Robot& robot) const REQUIRES(mutex_);
  [[nodiscard]] std::optional<kube::ObjectKey> owner_of(const Robot& robot) const REQUIRES(mutex_);

  mutable base::Mutex mutex_;
  Claims claims_ GUARDED_BY(mutex_);  // its nodes do not move: seats_ points to them
  std::set<Seat, BySeniority> seats_ GUARDED_BY(mutex_);
  mutable std::uint64_t steps_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quay_rotator::tenancy
